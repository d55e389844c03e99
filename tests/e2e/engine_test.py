"""Engines that are plugins: the example, built from nothing but its source and the header, is
inspected, checked, installed, run and served; and what is not trusted is left out."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402
from aioss_server import MODELS, SMOLLM2, AiossServer  # noqa: E402
from engine_plugins import ROOT, build_example, build_hostile  # noqa: E402

MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"


@unittest.skipUnless(MODELS and MODEL.exists(), f"{SMOLLM2} is not in AIOSS_MODELS_DIR")
class EngineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = pathlib.Path(tempfile.mkdtemp(prefix="aioss-engine-built-"))
        cls.plugin = build_example(cls.built)

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
                       "AIOSS_ENGINES_DIR": str(self.engines),
                       "AIOSS_MODELS_DIR": str(self.models)}
        result = aioss_server.run(*arguments, env=environment)
        if expect is not None:
            self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result

    def server(self, *flags):
        return AiossServer("--engines-dir", self.engines, *flags, models=self.models)

    def expect_parrot(self, server, **more):
        status, _, answer = server.post("/v1/completions", {
            "model": "smol", "prompt": "red green blue red green", "temperature": 0,
            "max_tokens": 4, **more})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["choices"][0]["text"], " blue red green blue")

    # ---- one that does what it should ----

    def test_the_example_says_what_it_is(self):
        report = json.loads(self.aioss("engine", "inspect", self.plugin, "--json").stdout)
        self.assertEqual((report["name"], report["version"]), ("minimal", "1.0.0"))
        self.assertEqual(report["profiles"], ["fast", "reproducible", "evidence"])
        self.assertEqual(report["sha256"], hashlib.sha256(self.plugin.read_bytes()).hexdigest())
        self.assertIn("minimal", self.aioss("engine", "inspect", self.plugin).stdout)

    def test_the_example_passes_the_conformance_suite(self):
        checked = self.aioss("engine", "check", self.plugin, "--model", MODEL, "--quick", "--json")
        report = json.loads(checked.stdout)
        self.assertTrue(report["passed"])
        self.assertGreater(len(report["checks"]), 100)

    def test_a_check_of_an_engine_for_gpus_says_that_none_was_tried(self):
        plugin = build_hostile(self.folder / "vulkan.so")
        checked = json.loads(self.aioss("engine", "check", plugin, "--model", MODEL, "--quick",
                                        "--json").stdout)
        self.assertTrue(checked["passed"])
        self.assertIn(("device", "skipped"),
                      [(one["name"], one["verdict"]) for one in checked["checks"]])
        refused = self.aioss("engine", "check", plugin, "--model", MODEL, "--device", "vulkan:9",
                             expect=2)
        self.assertIn("there are cpu", refused.stderr)

    def test_the_example_is_installed_and_answers(self):
        self.aioss("engine", "add", self.plugin)
        listed = json.loads(self.aioss("engine", "list", "--json").stdout)
        self.assertIn(("minimal", None), [(one["name"], one["problem"]) for one in listed])
        said = self.aioss("run", "--engine", "minimal", "smol", "--raw", "to be or not to",
                          "--max-tokens", 4, "--temperature", 0)
        self.assertEqual(said.stdout.strip(), "to be or not")
        planned = json.loads(self.aioss("plan", "smol", "--engine", "minimal", "--json").stdout)
        self.assertEqual(planned["engine"], "minimal")

        self.assertEqual(self.aioss("engine", "add", self.plugin, expect=4).stdout, "")
        self.aioss("engine", "add", self.plugin, "--force")
        self.aioss("engine", "remove", "minimal")
        self.assertEqual(list(self.engines.iterdir()), [])
        gone = self.aioss("run", "--engine", "minimal", "smol", "Hello", expect=2)
        self.assertIn("there is no engine 'minimal'; there is ", gone.stderr)

    def test_the_ledger_says_what_computed(self):
        self.aioss("engine", "add", self.plugin)
        (self.models / "smol.toml").write_text('engine = "minimal"\n')
        with self.server() as server:
            self.expect_parrot(server)
            server.stop()
            starts = [r["body"] for r in server.records() if r["type"] == "ENGINE_START"]
            python = subprocess.run(
                [sys.executable, ROOT / "tools" / "aioss_verify.py", server.ledger, "--key",
                 server.vkey], capture_output=True, text=True)
            self.assertEqual(python.returncode, 0, python.stdout + python.stderr)
        self.assertEqual([start["engine"] for start in starts], ["minimal"])
        self.assertEqual(starts[0]["file_sha256"],
                         hashlib.sha256(self.plugin.read_bytes()).hexdigest())

    def test_a_model_of_its_own_engine_stands_beside_the_others(self):
        self.aioss("engine", "add", self.plugin)
        (self.models / "plain.gguf").symlink_to(MODEL)
        with self.server() as server:
            (self.models / "smol.toml").write_text('engine = "minimal"\n')
            server.post("/admin/models/rescan", {})
            status, _, answer = server.post("/v1/completions", {
                "model": "plain", "prompt": "The capital of France is", "max_tokens": 4,
                "temperature": 0})
            self.assertEqual(status, 200, answer)
            self.assertIn("Paris", answer["choices"][0]["text"])

    # ---- trust ----

    def left_out(self, *flags):
        """Why the server started without the engine; it serves all the same."""
        with self.server(*flags) as server:
            status, _, answer = server.post("/v1/completions", {
                "model": "smol", "prompt": "One, two,", "max_tokens": 2})
            self.assertEqual(status, 200, answer)
            self.assertIn("an engine is left out", server.log_text())
            return server.log_text()

    def test_a_changed_file_is_left_out(self):
        self.aioss("engine", "add", self.plugin)
        with open(self.engines / "minimal.so", "ab") as file:
            file.write(b"one more byte")
        self.assertIn("is not the file that was installed", self.left_out())
        listed = json.loads(self.aioss("engine", "list", "--json").stdout)
        problem = {one["name"]: one["problem"] for one in listed}["minimal"]
        self.assertIn("SHA-256", problem)

    def test_only_what_the_publisher_signed_is_taken(self):
        key = self.folder / "publisher.key"
        vkey = self.aioss("engine", "sign", self.plugin, "--sign", key, "--new-key",
                          "engines.example").stdout.strip()
        note = pathlib.Path(f"{self.plugin}.note")
        self.addCleanup(note.unlink, True)
        other = self.aioss("engine", "sign", self.plugin, "--sign", self.folder / "other.key",
                           "--new-key", "other.example").stdout.strip()
        # The note is the other's now.
        refused = self.aioss("engine", "add", self.plugin, "--engines-key", vkey, expect=None)
        self.assertIn("not signed by engines.example", refused.stderr)
        self.aioss("engine", "add", self.plugin, "--engines-key", other)
        self.assertIn("not signed by engines.example", self.left_out("--engines-key", vkey))
        with self.server("--engines-key", other, "--engine", "minimal") as server:
            self.expect_parrot(server)
        # A signature of another file.
        manifest = json.loads((self.engines / "minimal.json").read_text())
        forged = build_hostile(self.engines / "minimal.so", 'VERSION="1.0.0"')
        manifest["sha256"] = hashlib.sha256(forged.read_bytes()).hexdigest()
        (self.engines / "minimal.json").write_text(json.dumps(manifest))
        self.assertIn("is not the one that other.example has signed",
                      self.left_out("--engines-key", other))

    def test_an_unsigned_engine_is_left_out_where_signatures_are_wanted(self):
        vkey = self.aioss("engine", "sign", self.plugin, "--sign", self.folder / "k", "--new-key",
                          "engines.example").stdout.strip()
        pathlib.Path(f"{self.plugin}.note").unlink()
        self.aioss("engine", "add", self.plugin)
        self.assertIn("it is not signed", self.left_out("--engines-key", vkey))

    def test_nothing_of_a_plugin_runs_before_it_is_trusted(self):
        vkey = self.aioss("engine", "sign", self.plugin, "--sign", self.folder / "k", "--new-key",
                          "engines.example").stdout.strip()
        self.addCleanup(pathlib.Path(f"{self.plugin}.note").unlink, True)
        crashing = build_hostile(self.folder / "crashing.so", "CRASHES_AT_START")
        allowed = self.folder / "allow"
        allowed.write_text(f"{'0' * 64}  minimal.so\n")
        for trust, words in ((("--engines-key", vkey), "it is not signed"),
                             (("--engines-allow", allowed), "not in the list")):
            for order in (("engine", "add", crashing),
                          ("update", "apply", self.folder, "--unsigned")):
                refused = self.aioss(*order, *trust, expect=None)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(words, refused.stderr)

    def test_an_engine_that_aioss_carries_is_not_replaced(self):
        for own in {one["name"] for one in
                    json.loads(self.aioss("engine", "list", "--json").stdout)}:
            plugin = build_hostile(self.folder / own / f"{own}.so", f'NAME="{own}"')
            for order in (("engine", "add", plugin, "--force"),
                          ("update", "apply", plugin.parent, "--unsigned"),
                          ("update", "rollback", own)):
                refused = self.aioss(*order, expect=None)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(f"'{own}' in itself", refused.stderr)
        self.assertFalse(list(self.engines.glob("*.so")))

    def test_only_listed_files_are_taken(self):
        self.aioss("engine", "add", self.plugin)
        allowed = self.folder / "allow"
        allowed.write_text(f"{'0' * 64}  minimal.so\n")
        self.left_out("--engines-allow", allowed)
        digest = hashlib.sha256(self.plugin.read_bytes()).hexdigest()
        allowed.write_text(f"{digest}  minimal.so\n")
        with self.server("--engines-allow", allowed, "--engine", "minimal") as server:
            self.expect_parrot(server)


if __name__ == "__main__":
    unittest.main()
