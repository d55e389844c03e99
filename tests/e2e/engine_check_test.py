"""`aioss engine inspect`, `check` and `add` on plugins that lie, crash, hang or are of another
make: verdicts, exit codes, one clear sentence, and nothing installed that was refused.

AIOSS_LONG=1: those that hang, too, which takes minutes."""
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402
from aioss_server import MODELS, SMOLLM2  # noqa: E402
from engine_plugins import build_hostile  # noqa: E402

MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
LONG = os.environ.get("AIOSS_LONG") == "1"
SECONDS = 400  # more than any of them may take
FAILED, REFUSED = 1, 2

# name: (what is wrong with it, exit code, what the error says); of all three commands.
UNUSABLE = {
    "no-entry": (["NO_ENTRY"], REFUSED, "does not export aioss_engine_entry"),
    "no-table": (["NO_TABLE"], REFUSED, "gives no table"),
    "newer": (["ABI=7"], REFUSED, "speaks ABI version 7, this program version"),
    "short-table": (["TABLE_BYTES=16"], REFUSED, "shorter than this program needs"),
    "lacks-decode": (["LACKS=decode"], REFUSED, "missing functions"),
    "bad-name": (['NAME="../x"'], REFUSED, "calls itself '../x'"),
    "endless-name": (["ENDLESS_NAME"], REFUSED, "longer than 256 bytes"),
    "crashes-at-start": (["CRASHES_AT_START"], FAILED, "signal 11 (Segmentation fault)"),
    "ends-at-start": (["ENDS_AT_START"], FAILED, "exit code 0"),
    "crash-profiles": (["CRASHES_IN=profiles"], FAILED, "signal 11 (Segmentation fault)"),
    "crash-device": (["CRASHES_IN=device"], FAILED, "signal 11 (Segmentation fault)"),
    "threads": (["STARTS_A_THREAD"], REFUSED, "starts threads as it is opened"),
}
# name: (what is wrong with it, a check that must fail); they keep the form.
WRONG = {
    "drifts": (["DRIFTS"], "same_bits.again"),
    "no-logits": (["NO_LOGITS"], "abi.logits_range"),
    "vocabulary-7": (["VOCABULARY=7"], "abi.bad_batch.token_beyond"),
    "plans-too-much": (["PLANS=UINT64_MAX"], "plan.scales"),
    "plans-weights": (["PLANS_WEIGHTS=100000000"], "plan.weights"),
    "no-state": (["STATE_BYTES=0"], "session.save"),
    "endless-state": (["STATE_BYTES=SIZE_MAX"], "session.save"),
}
CRASHING = ("model_open", "model_facts", "model_close", "session_create", "session_close", "decode",
            "logits", "sequence_remove", "sequence_copy", "sequence_save", "sequence_load",
            "counters")


@unittest.skipUnless(MODELS and MODEL.exists(), f"{SMOLLM2} is not in AIOSS_MODELS_DIR")
class EngineCheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-engine-check-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.engines = self.folder / "engines"

    def aioss(self, *arguments, expect):
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"),
                       "XDG_CONFIG_HOME": str(self.folder / "config"),
                       "AIOSS_ENGINES_DIR": str(self.engines)}
        result = aioss_server.run(*arguments, env=environment, timeout=SECONDS)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        if result.stderr:
            self.assertRegex(result.stderr, r"\Aaioss: .+\n\Z")
            if arguments[1] != "check":  # which prints the verdicts that it has
                self.assertEqual(result.stdout, "")
        return result

    def build(self, name, *faults):
        return build_hostile(self.folder / f"{name}.so", *faults)

    def check(self, plugin, *flags, expect):
        return self.aioss("engine", "check", plugin, "--model", MODEL, "--quick", *flags,
                          expect=expect)

    def installed(self):
        return sorted(path.name for path in self.engines.glob("*"))

    def test_one_that_keeps_its_promises(self):
        plugin = self.build("sound")
        report = json.loads(self.check(plugin, "--json", expect=0).stdout)
        self.assertTrue(report["passed"])
        self.assertNotIn("FAIL", [one["verdict"] for one in report["checks"]])
        self.assertRegex(self.check(plugin, expect=0).stdout, r"\npassed: \d+ checks, 0 failed\n\Z")
        self.aioss("engine", "add", plugin, expect=0)
        self.assertEqual(self.installed(), ["sound.json", "sound.so"])

    def test_those_of_the_binary_go_by_their_names(self):
        listed = json.loads(self.aioss("engine", "list", "--json", expect=0).stdout)
        self.assertEqual({one["origin"] for one in listed} - {"linked", "embedded"}, set())
        self.assertLessEqual({"llama", "fake"}, {one["name"] for one in listed})
        for one in listed:
            said = json.loads(
                self.aioss("engine", "inspect", one["name"], "--json", expect=0).stdout)
            for field in ("name", "version", "origin", "sha256"):
                self.assertEqual(said[field], one[field])
        for name in {one["name"] for one in listed} - {"llama"}:  # that takes a minute
            checked = self.aioss("engine", "check", name, "--model", MODEL, "--quick", expect=0)
            self.assertRegex(checked.stdout, r"\npassed: \d+ checks, 0 failed\n\Z")
        unknown = self.aioss("engine", "inspect", "nope", expect=3)
        self.assertIn("there is no engine 'nope'; 'aioss engine list'", unknown.stderr)

    def test_what_cannot_be_used_is_refused_by_all(self):
        for name, (faults, code, said) in UNUSABLE.items():
            with self.subTest(name):
                plugin = self.build(name, *faults)
                for order in ("inspect", "add"):
                    refused = self.aioss("engine", order, plugin, expect=code)
                    self.assertIn(said, refused.stderr)
                    self.assertIn(str(plugin), refused.stderr)
                refused = self.check(plugin, expect=code)
                self.assertIn(f"{plugin}: ", refused.stderr)
                self.assertIn(said, refused.stderr)
                self.assertTrue(code == FAILED or not refused.stdout, refused.stdout)
        self.assertEqual(self.installed(), [])

    def test_what_computes_wrongly_fails(self):
        for name, (faults, check) in WRONG.items():
            with self.subTest(name):
                plugin = self.build(name, *faults)
                report = json.loads(self.check(plugin, "--json", expect=FAILED).stdout)
                self.assertFalse(report["passed"])
                failed = [one["name"] for one in report["checks"] if one["verdict"] == "FAIL"]
                self.assertIn(check, [name.split(".at_")[0] for name in failed])
                text = self.check(plugin, expect=FAILED).stdout
                self.assertIn(f"\nFAILED: {len(report['checks'])} checks, {len(failed)} failed\n",
                              text)
                self.assertEqual(self.aioss("engine", "inspect", plugin, expect=0).stderr, "")

    def test_one_that_crashes_has_not_passed(self):
        for call in CRASHING:
            with self.subTest(call):
                plugin = self.build("crashing", f"CRASHES_IN={call}")
                for flags in ((), ("--json",)):
                    ended = self.check(plugin, *flags, expect=FAILED)
                    self.assertRegex(ended.stderr, r"the engine ended its process after "
                                     r"[a-z_.0-9-]+: signal 11 \(Segmentation fault\)")
                    if flags:  # what was found before is kept
                        report = json.loads(ended.stdout)
                        self.assertFalse(report["passed"])
                        self.assertIn(report["ended_by"], ended.stderr)
                        last = report["checks"][-1]["name"]
                        self.assertIn(f"after {last}: signal 11", report["ended_by"])
                self.aioss("engine", "inspect", plugin, expect=0)

    def test_one_that_takes_memory_does_not_take_all(self):
        plugin = self.build("takes", "TAKES_MIB=9000")  # with each session
        report = json.loads(self.check(plugin, "--json", expect=FAILED).stdout)
        failed = [one["name"] for one in report["checks"] if one["verdict"] == "FAIL"]
        self.assertIn("plan.session", failed)
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertLess(peak_kib, 4 << 20, "the process of a check has 8 GiB and a little")

    @unittest.skipUnless(LONG, "takes minutes: AIOSS_LONG=1")
    def test_one_that_hangs_is_given_up(self):
        starting, computing = self.build("starting", "HANGS_AT_START"), self.build(
            "computing", "HANGS_IN=decode")
        errors = {}

        def order(name, *words):
            errors[name] = aioss_server.run("engine", *words, timeout=SECONDS)
        orders = {"inspect": ("inspect", starting),
                  "add": ("add", starting, "--engines-dir", self.engines),
                  "check": ("check", computing, "--model", MODEL, "--quick")}
        asking = [threading.Thread(target=order, args=(name, *words))
                  for name, words in orders.items()]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        for name, said in (("inspect", "did not come back within"),
                           ("add", "did not come back within"), ("check", "the engine hangs")):
            self.assertEqual(errors[name].returncode, FAILED, errors[name])
            self.assertIn(said, errors[name].stderr)
        self.assertEqual(self.installed(), [])


if __name__ == "__main__":
    unittest.main()
