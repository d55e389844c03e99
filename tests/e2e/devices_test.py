"""Devices: what `aioss devices` says, where models are put, and that a device which is lost in the
middle of an answer costs nobody anything but a moment. The fake engine plays GPUs
(AIOSS_FAKE_GPUS); its scripts say when one is lost."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402
from aioss_server import AiossServer, wait_until  # noqa: E402

MIB = 1 << 20
GPUS = f"{64 * MIB},{256 * MIB}"  # fake:0 and fake:1


class Devices(unittest.TestCase):
    def setUp(self):
        self.models = pathlib.Path(tempfile.mkdtemp(prefix="aioss-devices-"))
        self.addCleanup(shutil.rmtree, self.models, True)
        os.environ["AIOSS_FAKE_GPUS"] = GPUS
        self.addCleanup(os.environ.pop, "AIOSS_FAKE_GPUS")

    def script(self, name, *lines):
        text = "\n".join(["aioss-fake 1", "reply One two three four five six.", *lines]) + "\n"
        (self.models / f"{name}.fake").write_text(text)

    def server(self, *flags):
        return AiossServer(*flags, fake=True, models=self.models)

    def chat(self, server, model, text="hello"):
        return server.post("/v1/chat/completions", {
            "model": model, "messages": [{"role": "user", "content": text}], "temperature": 0})

    def books(self, server):
        _, _, page = server.get("/admin/memory")
        return {device["device"]: device for device in page["devices"]}

    def used(self, server, device):
        book = self.books(server).get(device)
        return book["used_bytes"] if book else 0

    def places(self, server):
        """Where the layers of each load are, as recorded."""
        return [(r["body"]["device"], r["body"].get("gpu_layers")) for r in server.records()
                if r["type"] == "MODEL_LOAD"]

    def decisions(self, server, count=1):
        """They are counted for a second before they are written."""
        def found():
            bodies = [r["body"] for r in server.records()
                      if r["type"] == "DECISION" and r["body"]["kind"] == "device"]
            return bodies if len(bodies) >= count else None
        return wait_until(found, what=f"{count} decisions about devices")

    # ---- what there is ----

    def test_devices_are_shown(self):
        shown = json.loads(aioss_server.run("devices", "--json", "--fake-models").stdout)
        self.assertGreaterEqual(shown["cpu"]["usable_cores"], 1)
        self.assertGreater(shown["cpu"]["read_bytes_per_second"], 1 << 20)
        self.assertEqual([(gpu["name"], gpu["total"]) for gpu in shown["gpus"]],
                         [("fake:0", 64 * MIB), ("fake:1", 256 * MIB)])
        os.environ["AIOSS_FAKE_GPUS"] = ""
        shown = aioss_server.run("devices", "--no-bandwidth")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("no GPU", shown.stdout)

    # ---- where models are put ----

    def test_auto_takes_the_gpu_with_the_most_memory(self):
        self.script("small", f"weight_bytes {100 * MIB}", f"memory overhead={5 * MIB}")
        with self.server() as server:
            before = self.books(server).get("CPU", {"leased_bytes": 0})["leased_bytes"]
            self.assertEqual(self.chat(server, "small")[0], 200)
            # What it needs of the host is leased in the host's book, and there is no other.
            self.assertGreaterEqual(self.books(server)["CPU"]["leased_bytes"], before + 5 * MIB)
            self.assertEqual(set(self.books(server)), {"CPU", "fake:0", "fake:1"})
            self.assertGreaterEqual(self.used(server, "fake:1"), 100 * MIB)
            self.assertLess(self.used(server, "fake:0"), MIB)
            self.assertEqual(self.places(server), [("fake:1", None)])

    def test_what_is_too_large_for_one_is_split_and_the_rest_stays_with_the_cpu(self):
        self.script("large", f"weight_bytes {400 * MIB}", "layers 10")
        with self.server() as server:
            self.assertEqual(self.chat(server, "large")[0], 200)
            on_0, on_1 = self.used(server, "fake:0"), self.used(server, "fake:1")
            self.assertGreater(on_0, 0)
            self.assertLessEqual(on_0, 64 * MIB)
            self.assertGreater(on_1, 0)
            [(device, layers)] = self.places(server)
            self.assertEqual(device, "fake:1,fake:0")
            self.assertIn(layers, range(1, 10))

    def test_names_are_obeyed(self):
        self.script("m", f"weight_bytes {10 * MIB}")
        with self.server("--device", "fake:0") as server:
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertGreaterEqual(self.used(server, "fake:0"), 10 * MIB)
        with self.server("--device", "cpu") as server:
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertEqual(self.used(server, "fake:0") + self.used(server, "fake:1"), 0)
            self.assertEqual(self.places(server), [("cpu", None)])

    def test_a_model_has_a_device_of_its_own(self):
        self.script("m", f"weight_bytes {10 * MIB}")
        (self.models / "m.toml").write_text('device = "fake:0"\n')
        with self.server("--device", "cpu") as server:
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertGreaterEqual(self.used(server, "fake:0"), 10 * MIB)

    def test_a_device_that_is_not_there_is_named_with_those_that_are(self):
        self.script("m")
        with self.server("--device", "fake:7") as server:
            status, _, answer = self.chat(server, "m")
            self.assertGreaterEqual(status, 400)
            self.assertIn("there are cpu, fake:0, fake:1", json.dumps(answer))
        refused = aioss_server.run("serve", "--device", "GPU!", "--port", "0")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("aioss devices", refused.stderr)

    def test_models_make_room_for_one_another_on_a_gpu(self):
        os.environ["AIOSS_FAKE_GPUS"] = str(128 * MIB)
        for name in ("a", "b"):
            self.script(name, f"weight_bytes {100 * MIB}")
        with self.server("--device", "fake:0", "--warm-keep-alive", "0") as server:
            self.assertEqual(self.chat(server, "a")[0], 200)
            self.assertEqual(self.chat(server, "b")[0], 200)
            self.assertLessEqual(self.used(server, "fake:0"), 128 * MIB)
        with self.server() as server:  # who chooses takes nobody's place
            self.assertEqual(self.chat(server, "a")[0], 200)
            self.assertEqual(self.chat(server, "b")[0], 200)
            self.assertGreaterEqual(self.used(server, "fake:0"), 100 * MIB)
            self.assertLessEqual(self.used(server, "fake:0"), 128 * MIB)

    # ---- devices that fail ----

    def test_a_device_that_is_lost_mid_stream_costs_no_token(self):
        os.environ["AIOSS_FAKE_GPUS"] = str(64 * MIB)
        self.script("m", f"weight_bytes {10 * MIB}")
        with self.server() as server:
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertGreaterEqual(self.used(server, "fake:0"), 10 * MIB)
            status, _, answer = self.chat(server, "m", "hello [[lose 9]]")
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["choices"][0]["message"]["content"],
                             "One two three four five six.")
            found = self.decisions(server)
            self.assertEqual([(d["outcome"], d["model"]) for d in found], [("failed", "m")])
            self.assertIn("device fake:0", found[0]["details"])
            # Another model keeps away from it.
            self.script("n", f"weight_bytes {10 * MIB}")
            self.assertEqual(server.post("/admin/models/rescan", {})[0], 200)
            self.assertEqual(self.chat(server, "n")[0], 200)
            self.assertEqual(self.used(server, "fake:0"), 0)

    def test_what_crashes_on_the_cpu_afterwards_is_found(self):
        os.environ["AIOSS_FAKE_GPUS"] = str(64 * MIB)
        self.script("m", f"weight_bytes {10 * MIB}")
        with self.server() as server:
            self.assertEqual(self.chat(server, "m", "hello [[lose 9]]")[0], 200)
            # No device is lost by it: it is the cause, and is not tried for ever.
            self.assertGreaterEqual(self.chat(server, "m", "hello [[crash 3]]")[0], 500)
            self.assertEqual(self.chat(server, "m", "hello [[crash 3]]")[0], 403)
            self.assertEqual(self.chat(server, "m")[0], 200)
            # And that is no word for the device, which another request has lost.
            self.assertEqual([d["outcome"] for d in self.decisions(server)], ["failed"])
            self.assertEqual(self.used(server, "fake:0"), 0)

    def test_a_request_that_ends_every_worker_takes_no_device_along(self):
        for name in ("m", "n"):
            self.script(name, f"weight_bytes {10 * MIB}")
        with self.server() as server:
            # On both GPUs, then with the CPU: it is the cause.
            self.assertGreaterEqual(self.chat(server, "m", "hello [[crash 3]]")[0], 500)
            found = self.decisions(server, 4)
            self.assertEqual(sorted((d["outcome"], d["details"][0]) for d in found), [
                ("failed", "device fake:0"), ("failed", "device fake:1"),
                ("given_back", "device fake:0"), ("given_back", "device fake:1")])
            self.assertEqual(self.chat(server, "m", "hello [[crash 3]]")[0], 403)
            self.assertEqual(self.chat(server, "n")[0], 200)
            self.assertGreaterEqual(self.used(server, "fake:1"), 10 * MIB)

    def test_a_device_that_fails_at_start_is_taken_out(self):
        self.script("m", "fail_device yes")
        with self.server() as server:
            status, _, answer = self.chat(server, "m")
            self.assertEqual(status, 200, answer)
            found = self.decisions(server, 2)
            self.assertEqual({d["details"][0] for d in found}, {"device fake:0", "device fake:1"})
            self.assertEqual(self.used(server, "fake:0") + self.used(server, "fake:1"), 0)

    def test_of_a_model_that_is_too_large_experts_stay_with_the_cpu_first(self):
        os.environ["AIOSS_FAKE_GPUS"] = str(256 * MIB)
        # A layer takes 30 MiB, and its experts 27 of them.
        self.script("m", f"weight_bytes {300 * MIB}", "layers 10", "experts_percent 90",
                    "memory kv=0")
        self.script("huge", f"weight_bytes {10_000 * MIB}", "layers 10", "experts_percent 90",
                    "memory kv=0")
        with self.server() as server:
            # Not one whole layer, and with all experts elsewhere two: they take 100 MiB each.
            _, _, plan = server.get("/admin/plan?model=huge")
            self.assertEqual((plan["gpu_layers"], plan["cpu_expert_layers"]), (2, 10), plan)
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertAlmostEqual(self.used(server, "fake:0"), (300 - 2 * 27) * MIB, delta=MIB)
            self.assertEqual(self.places(server), [("fake:0", None)])
            [load] = [r["body"] for r in server.records() if r["type"] == "MODEL_LOAD"]
            self.assertEqual(load["cpu_expert_layers"], 2)

    def test_a_model_that_cannot_be_planned_on_a_device_is_loaded_elsewhere(self):
        """And that is held against no device: its driver did begin."""
        self.script("m", "fail_placing yes")
        self.script("n")
        with self.server() as server:
            status, _, answer = self.chat(server, "m")
            self.assertEqual(status, 200, answer)
            self.assertEqual(self.chat(server, "n")[0], 200)
            self.assertEqual([place for place, _ in self.places(server)], ["cpu", "fake:1"])

    def test_a_model_that_was_ordered_where_it_cannot_be_is_loaded_on_the_cpu(self):
        self.script("m", "fail_placing yes")
        with self.server("--device", "fake:0") as server:
            self.assertEqual(self.chat(server, "m")[0], 200)
            self.assertEqual(self.places(server), [("cpu", None)])

    def test_a_model_that_was_ordered_there_goes_on_with_the_cpu(self):
        self.script("m")
        with self.server("--device", "fake:0") as server:
            self.assertEqual(self.chat(server, "m", "hello [[lose 3]]")[0], 200)
            self.assertEqual(self.chat(server, "m", "hello [[lose 3]]")[0], 200)
            self.assertEqual(len(self.decisions(server)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
