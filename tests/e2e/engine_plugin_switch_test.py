"""Switches between plugins, whose answers are known to the byte: the example engine under two
names. What computes something else, or crashes, is not taken; updates of a file, and back."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402
from aioss_server import MODELS, SMOLLM2, AiossServer, wait_until  # noqa: E402
from engine_plugins import build_example, build_hostile  # noqa: E402

MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
CLIENTS = 8
SWITCHES = 50 if os.environ.get("AIOSS_LONG") == "1" else 6
BODY = {"model": "smol", "prompt": "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 4,
        "max_tokens": 1500, "temperature": 0, "ignore_eos": True}


@unittest.skipUnless(MODELS and MODEL.exists(), f"{SMOLLM2} is not in AIOSS_MODELS_DIR")
class PluginSwitches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = pathlib.Path(tempfile.mkdtemp(prefix="aioss-engine-built-"))
        cls.minimal = build_example(cls.built)
        cls.parrot = build_hostile(cls.built / "parrot.so")
        cls.crashing = build_hostile(cls.built / "crashing.so", "CRASHES_IN=decode")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.built, ignore_errors=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-engine-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.engines = self.folder / "engines"
        self.models = self.folder / "models"
        self.models.mkdir()
        (self.models / "smol.gguf").symlink_to(MODEL)

    def aioss(self, *arguments, expect=0):
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"),
                       "XDG_CONFIG_HOME": str(self.folder / "config"),
                       "AIOSS_ENGINES_DIR": str(self.engines)}
        result = aioss_server.run(*arguments, env=environment)
        if expect is not None:
            self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result

    def serve(self, *flags):
        return AiossServer("--engines-dir", self.engines, "--parallel", 12, "--ctx", 2048, *flags,
                           models=self.models)

    def ask(self, server, **more):
        status, _, answer = server.post("/v1/completions", {**BODY, **more})
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["text"]

    def state(self, server):
        return server.get("/v1/models/smol")[2]["aioss"]

    def switch(self, server, engine):
        status, _, page = server.post("/admin/models/smol/engine", {"engine": engine})
        self.assertEqual(status, 200, page)
        number = page["aioss"]["engine_switch"]["orders"]

        def over():
            now = self.state(server)["engine_switch"]
            self.assertEqual(now["orders"], number)
            return now if now["outcome"] else None
        return wait_until(over, seconds=120, what="the switch")

    def test_answers_are_the_same_to_the_byte(self):
        for plugin in (self.minimal, self.parrot):
            self.aioss("engine", "add", plugin)
        with self.serve("--engine", "minimal") as server:
            whole = self.ask(server)
            self.assertGreater(len(whole), 1000)
            stop, problems, answers = threading.Event(), [], []

            def client():
                while not stop.is_set() and not problems:
                    try:
                        text = self.ask(server)
                    except Exception as error:  # noqa: BLE001: a thread's end must be told
                        problems.append(repr(error))
                        return
                    answers.append(text)
                    if text != whole:
                        problems.append(f"another text of {len(text)} bytes instead of "
                                        f"{len(whole)}")
            clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
            for one in clients:
                one.start()
            try:
                for turn in range(SWITCHES):
                    name = "minimal" if turn % 2 else "parrot"
                    found = self.switch(server, name)
                    self.assertEqual(found["outcome"], "done", found)
                    self.assertIn("unlikely=0", found["reason"])
                    self.assertEqual(self.state(server)["engine"], name)
            finally:
                stop.set()
                for one in clients:
                    one.join(300)
            self.assertEqual(problems, [])
            self.assertTrue(answers)
            server.stop()
            records = server.records()
            self.assertNotIn("INFER_ABORT", [record["type"] for record in records])
            moved = [r for r in records if r["type"] == "DECISION"
                     and r["body"].get("reason") == "engine_switch"]
            self.assertTrue(moved, "nothing was moved")
            print(f"{SWITCHES} switches, {len(answers)} answers", file=sys.stderr)

    def test_what_computes_something_else_or_crashes_is_not_taken(self):
        for plugin in (self.parrot, self.crashing):
            self.aioss("engine", "add", plugin)
        with self.serve() as server:
            whole = self.ask(server, max_tokens=24)
            found = self.switch(server, "parrot")
            self.assertEqual(found["outcome"], "failed", found)
            self.assertIn("computes something else", found["reason"])
            found = self.switch(server, "crashing")
            self.assertEqual(found["outcome"], "failed", found)
            self.assertEqual(self.state(server)["engine"], "llama")
            self.assertEqual(self.ask(server, max_tokens=24), whole)
            refused = self.aioss("engine", "switch", "smol", "parrot", "--port", server.port,
                                 expect=None)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("stays with engine 'llama'", refused.stderr)

    def test_an_update_and_the_way_back(self):
        def version():
            return json.loads((self.engines / "minimal.json").read_text())["version"]
        self.aioss("engine", "add", self.minimal)
        new, bad = self.folder / "new", self.folder / "bad"
        build_hostile(new / "minimal.so", 'NAME="minimal"', 'VERSION="2.0.0"')
        build_hostile(bad / "minimal.so", 'NAME="minimal"', 'VERSION="3.0.0"', "CRASHES_IN=decode")
        key = self.folder / "publisher.key"
        vkey = self.aioss("engine", "sign", new / "minimal.so", "--sign", key,
                          "--new-key", "engines.example/test").stdout.strip()
        self.aioss("engine", "sign", bad / "minimal.so", "--sign", key)
        with self.serve("--engine", "minimal") as server:
            whole = self.ask(server)
            at = ("--port", server.port)
            self.aioss("update", "apply", new, *at, expect=2)  # by whom?
            self.aioss("update", "apply", new, "--engines-key", vkey, *at)
            self.assertEqual(version(), "2.0.0")
            wait_until(lambda: self.state(server)["engine_switch"]["outcome"] == "done",
                       what="the switch")
            self.assertEqual(self.ask(server), whole)
            failed = self.aioss("update", "apply", bad, "--engines-key", vkey, *at, expect=None)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn("taken back", failed.stderr)
            self.assertEqual(version(), "2.0.0")
            self.assertEqual(self.ask(server), whole)
            unsigned = self.folder / "unsigned"
            unsigned.mkdir()
            shutil.copy(bad / "minimal.so", unsigned)
            self.aioss("update", "apply", unsigned, "--engines-key", vkey, *at,
                       expect=None)
            self.assertEqual(version(), "2.0.0")
            server.stop()
            actions = [r["body"]["action"] for r in server.records()
                       if r["type"] == "ADMIN_ACTION"]
            self.assertIn("engines_changed", actions)


if __name__ == "__main__":
    unittest.main(verbosity=2)
