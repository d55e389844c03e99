"""Warm models: a worker gives back all but its weights, comes back sooner than a load, and answers
as before. Prints what both take.
Usage: warm_test.py"""
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer, wait_until  # noqa: E402

MIB = 1 << 20
# Beside weights and tables: stacks, the allocator's rest, code that was touched.
REST = 24 * MIB
PROMPT = "The clerk counted the records of the court. On Monday there were"


def anonymous(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Warm(unittest.TestCase):
    flags = ("--parallel", 4, "--ctx", 4096, "--threads", min(2, os.cpu_count()),
             "--prefix-mib", 64)

    def ask(self, server, model, expect=200, **more):
        status, _, answer = server.post("/v1/completions", {
            "model": model, "prompt": PROMPT, "max_tokens": 24, "temperature": 0, **more})
        self.assertEqual(status, expect, answer)
        return answer["choices"][0]["text"] if expect == 200 else answer

    def state(self, server, model):
        status, _, page = server.get("/v1/models/" + model)
        self.assertEqual(status, 200, page)
        return page["aioss"]["state"] if "aioss" in page else page["state"]

    def books(self, server, model, state):
        """Once they say that it is in that state: they are about a second old."""
        def look():
            _, _, page = server.get("/admin/memory")
            for device in page["devices"]:
                for one in device["models"]:
                    if one["model"] == model and one["state"] == state:
                        return one
            return None
        return wait_until(look, what=f"books of a model that is {state}")

    def park_after_use(self, profile, model):
        with AiossServer("--profile", profile, "--warm-keep-alive", "1h", *self.flags) as server:
            began = time.monotonic()
            expected = self.ask(server, model)
            load = time.monotonic() - began
            (pid,) = server.worker_pids()
            for _ in range(2):
                ready = anonymous(pid)
                # Two requests, so that nothing is parked before both figures are there.
                self.assertEqual(self.ask(server, model, keep_alive=1), expected)
                wait_until(lambda: self.state(server, model) == "warm", what="a warm model")
                leases = self.books(server, model, "warm")["leases"]
                parked = anonymous(pid)
                self.assertEqual(set(leases) - {"weights", "vocabulary", "overhead", "prefixes"},
                                 set())
                most = leases["weights"] + leases["vocabulary"] + leases["overhead"] + REST
                self.assertLess(parked, most)
                self.assertLess(parked, ready)
                began = time.monotonic()
                self.assertEqual(self.ask(server, model, keep_alive="1h"), expected)
                wake = time.monotonic() - began
                self.assertEqual(server.worker_pids(), [pid])
                waking = self.books(server, model, "ready")["wake_ms"]
                print(f"{model} {profile}: RssAnon {ready / MIB:.0f} MiB, parked "
                      f"{parked / MIB:.0f} MiB; answer {load:.2f} s after a load, {wake:.2f} s "
                      f"after a wake ({waking} ms of it waking)")
            self.ask(server, model, keep_alive=0)
            wait_until(lambda: self.state(server, model) == "cold", what="a cold model")
            wait_until(lambda: not server.worker_pids(), what="the end of the worker")

    def test_fast(self):
        self.park_after_use("fast", SMOLLM2)

    def test_reproducible(self):
        self.park_after_use("reproducible", SMOLLM2)

    def test_a_sliding_window(self):
        self.park_after_use("fast", GEMMA)

    def test_models_that_take_turns_keep_their_weights(self):
        sizes = {}
        with AiossServer(*self.flags) as server:
            want = {}
            for model in (SMOLLM2, GEMMA):
                want[model] = self.ask(server, model)
                sizes[model] = self.books(server, model, "ready")["leases"]
        weights = sum(s["weights"] + s["vocabulary"] + s["overhead"] for s in sizes.values())
        sessions = [sum(s.get(k, 0) for k in ("kv", "compute", "output")) for s in sizes.values()]
        limit = weights + max(sessions) + min(sessions) // 2
        with AiossServer("--memory-max", limit, "--spill-mib", 0, "--prefix-mib", 0,
                         *self.flags[:6]) as server:
            for model in (SMOLLM2, GEMMA):
                self.ask(server, model)
            pids = sorted(server.worker_pids())
            self.assertEqual(len(pids), 2)
            for turn in range(6):
                model = (SMOLLM2, GEMMA)[turn % 2]
                began = time.monotonic()
                self.assertEqual(self.ask(server, model), want[model])
                print(f"turn {turn}: {model} {time.monotonic() - began:.2f} s")
                self.assertEqual(sorted(server.worker_pids()), pids)
                other = (GEMMA, SMOLLM2)[turn % 2]
                self.assertEqual(self.state(server, other), "warm")


if __name__ == "__main__":
    unittest.main()
