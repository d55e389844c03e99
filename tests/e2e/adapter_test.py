"""LoRA adapters on a real model: what scale 0 changes (nothing), what scale 1 does (what llama.cpp
itself says), that a base-model stream beside one has the bytes that it has alone, that an answer
goes on under its adapter when its worker dies, and what the ledger says of it.
Usage: adapter_test.py PROGRAM"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import lora  # noqa: E402
from aioss_server import MODELS, SMOLLM2, AiossServer, run, wait_until  # noqa: E402

REFERENCE = sys.argv.pop(1)
TOKENS = 24
THREADS = min(2, os.cpu_count())
PROMPT = "The clerk of the court keeps the record, and whoever asks for it"


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.models = pathlib.Path(tempfile.mkdtemp(prefix="aioss-lora-"))
        os.symlink(f"{MODELS}/{SMOLLM2}.gguf", cls.models / "smol.gguf")
        cls.files = {"one": lora.adapter(1), "two": lora.adapter(2),
                     "foreign": lora.adapter(3, architecture="gemma3"),
                     "torn": lora.adapter(4)[:-4096],
                     "wide": lora.adapter(5, shapes={"blk.0.attn_q.weight.lora_a": (640, 4),
                                                     "blk.0.attn_q.weight.lora_b": (4, 576)})}
        for name, content in cls.files.items():
            (cls.models / f"{name}.lora.gguf").write_bytes(content)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.models)

    def server(self, *flags, profile="reproducible", parallel=4):
        return AiossServer("--profile", profile, "--parallel", parallel, "--ctx", 1024,
                           "--threads", THREADS, "--speculation", "off", *flags,
                           models=self.models)

    def body(self, adapters=None, **more):
        body = {"model": "smol", "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0,
                "ignore_eos": True, "logprobs": 2, "seed": 7}
        if adapters is not None:
            body["lora"] = [{"name": n, "scale": s} for n, s in adapters]
        return {**body, **more}

    def ask(self, server, adapters=None, **more):
        status, _, answer = server.post("/v1/completions", self.body(adapters, **more))
        self.assertEqual(status, 200, answer)
        choice = answer["choices"][0]
        return json.dumps([choice["text"], choice["logprobs"]])

    def text(self, answer):
        return json.loads(answer)[0]

    def test_scales_and_neighbours(self):
        with self.server() as server:
            base = self.ask(server)
            self.assertEqual(self.ask(server, [("one", 0)]), base)
            one = self.ask(server, [("one", 1)])
            self.assertNotEqual(self.text(one), self.text(base))
            half = self.ask(server, [("one", 0.5)])
            both = self.ask(server, [("one", 1), ("two", 1)])
            self.assertEqual(len({base, one, half, both}), 4)
            self.assertEqual(self.ask(server), base)
            # A neighbour of each kind for each, more than there are streams.
            kinds = {"base": (None, base), "one": ([("one", 1)], one),
                     "half": ([("one", 0.5)], half), "both": ([("one", 1), ("two", 1)], both)}
            wrong = []

            def work(name):
                adapters, expected = kinds[name]
                for _ in range(3):
                    if self.ask(server, adapters) != expected:
                        wrong.append(name)

            threads = [threading.Thread(target=work, args=(n,)) for n in [*kinds, *kinds]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])

    def test_what_llama_cpp_says(self):
        prompts = self.models / "prompts.txt"
        prompts.write_text(PROMPT + "\n")
        for profile, flags in (("fast", []), ("reproducible", ["--reproducible"])):
            with self.server(profile=profile, parallel=1) as server:
                for scale in (0, 1):
                    out = subprocess.run(
                        [REFERENCE, str(self.models / "smol.gguf"), str(prompts), str(TOKENS),
                         "--threads", str(THREADS), "--lora", str(self.models / "one.lora.gguf"),
                         str(scale), *flags], capture_output=True, text=True, check=True).stdout
                    expected = b"".join(bytes.fromhex(t.split(":")[1]) for t in out.split())
                    answer = self.text(self.ask(server, [("one", scale)], ignore_eos=False))
                    self.assertEqual(answer, expected.decode(errors="replace"), (profile, scale))

    def test_goes_on_when_its_worker_dies(self):
        with self.server() as server:
            adapters = [("one", 1)]
            expected = self.text(self.ask(server, adapters, max_tokens=200, logprobs=None))
            got = []

            def work():
                got.append(self.text(self.ask(server, adapters, max_tokens=200, logprobs=None)))

            thread = threading.Thread(target=work)
            thread.start()
            wait_until(lambda: server.get("/health")[2]["running"] >= 1, what="a running request")
            for pid in server.worker_pids():
                os.kill(pid, signal.SIGKILL)
            thread.join()
            self.assertEqual(got, [expected])

    def test_what_cannot_be_used_is_said(self):
        with self.server() as server:
            base = self.ask(server)
            cases = (("nobody", 404, "has no adapter"), ("foreign", None, "architecture"),
                     ("torn", None, "truncated"), ("wide", None, "shape"))
            for name, status, words in cases:
                got, _, answer = server.post("/v1/completions", self.body([(name, 1)]))
                self.assertIn(words, json.dumps(answer), name)
                self.assertTrue(400 <= got < 600 and status in (None, got), (name, got, answer))
            for bad in ("one", [3], [{"name": "one", "scale": "1"}], [{"id": 0, "scale": 1}],
                        [{"name": "one", "scale": 1000}], [{"name": "one"}, {"name": "one"}]):
                got, _, answer = server.post("/v1/completions", {**self.body(), "lora": bad})
                self.assertEqual(got, 400, answer)
            self.assertEqual(self.ask(server), base)
            self.assertEqual(len(server.worker_pids()), 1)

    def test_lists_and_records(self):
        with self.server() as server:
            _, _, model = server.get("/v1/models/smol")
            self.assertEqual(model["aioss"]["adapters"], sorted(self.files))
            self.ask(server)
            self.ask(server, [("one", 1), ("two", 0.5)])
            wait_until(lambda: '"adapters"' in json.dumps(server.get("/admin/memory")[2]),
                       what="the adapters in the books")
            server.stop()
            server.verify()
            records = server.records()
            requests = [r["body"] for r in records if r["type"] == "INFER_REQUEST"]
            self.assertNotIn("adapters", requests[0])
            used = requests[1]["adapters"]
            self.assertEqual([(a["adapter"], a["scale"]) for a in used], [("one", 1), ("two", 0.5)])
            loads = {r["index"]: r["body"] for r in records if r["type"] == "MODEL_LOAD"}
            for one in used:
                digest = hashlib.sha256(self.files[one["adapter"]]).hexdigest()
                self.assertEqual(one["sha256"], digest)
                load = loads[one["load"]]
                self.assertEqual(load["sha256"], digest)
                self.assertEqual(loads[load["adapter_of"]]["model"], "smol")
            ends = {r["body"]["ref"] for r in records if r["type"] == "MODEL_UNLOAD"}
            self.assertEqual(ends, set(loads))
            server.start()

    def test_only_those_of_the_list(self):
        listed = self.models / "allowed.sha256"
        lines = []
        for name in ("smol.gguf", "one.lora.gguf"):
            digest = hashlib.sha256((self.models / name).read_bytes()).hexdigest()
            lines.append(f"{digest}  {name}\n")
        lines.append(f"{'0' * 64}  two.lora.gguf\n")
        listed.write_text("".join(lines))
        with self.server("--models-allow", listed) as server:
            self.assertNotEqual(self.ask(server, [("one", 1)]), self.ask(server))
            status, _, answer = server.post("/v1/completions", self.body([("two", 1)]))
            self.assertEqual(status, 403, answer)

    def test_models_commands(self):
        listed = run("models", "--models-dir", self.models, "--json")
        self.assertEqual([a["name"] for a in json.loads(listed.stdout)["adapters"]],
                         sorted(self.files))
        verified = run("models", "verify", "one", "--models-dir", self.models, "--json")
        self.assertEqual(json.loads(verified.stdout)["files"][0]["sha256"],
                         hashlib.sha256(self.files["one"]).hexdigest())
        shown = run("models", "show", "smol", "--models-dir", self.models, "--json")
        self.assertEqual(json.loads(shown.stdout)["adapters"], sorted(self.files))
        added = run("models", "add", self.models / "one.lora.gguf", "--name", "copy.lora",
                    "--models-dir", self.models)
        self.assertEqual(added.returncode, 0, added.stderr)
        self.assertTrue((self.models / "copy.lora.gguf").exists())
        removed = run("models", "rm", "copy", "--models-dir", self.models)
        self.assertEqual(removed.returncode, 0, removed.stderr)
        self.assertFalse((self.models / "copy.lora.gguf").exists())

    def test_plan_counts_them(self):
        def plan(*flags):
            out = run("plan", "smol", "--models-dir", self.models, "--json", *flags)
            self.assertEqual(out.returncode, 0, out.stderr)
            return json.loads(out.stdout)

        self.assertIn(f'"adapters": {len(self.files["one"])}',
                      json.dumps(plan("--lora", "one")))
        self.assertNotIn('"adapters"', json.dumps(plan()))

    def test_run(self):
        home = pathlib.Path(tempfile.mkdtemp(prefix="aioss-run-"))
        made = run("ledger", "init", home / "ledger", "--origin", "test")
        self.assertEqual(made.returncode, 0, made.stderr)

        def answer(*flags):
            out = run("run", "smol", PROMPT, "--raw", "--temperature", "0", "--max-tokens", TOKENS,
                      "--profile", "reproducible", "--models-dir", self.models, "--ledger",
                      home / "ledger", *flags)
            self.assertEqual(out.returncode, 0, out.stderr)
            return out.stdout

        base = answer()
        self.assertEqual(answer("--lora", "one=0"), base)
        changed = answer("--lora", "one")
        self.assertNotEqual(changed, base)
        self.assertEqual(answer("--lora", self.models / "one.lora.gguf"), changed)
        shutil.rmtree(home)


if __name__ == "__main__":
    unittest.main(verbosity=2)
