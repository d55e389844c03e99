"""Plugins that crash, hang, lie or are of another make, in one server: each model that is to be
computed with one fails with a clear error, and between any two of them another model answers.

The quick form leaves out those whose end takes minutes (AIOSS_LONG=1)."""
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import FIXTURES, MODELS, SMOLLM2, AiossServer  # noqa: E402
from engine_plugins import build_hostile, write_manifest  # noqa: E402

MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
LONG = os.environ.get("AIOSS_LONG") == "1"

# name: (what is wrong with it, what the error says)
REFUSED = {
    "no-entry": (["NO_ENTRY"], "does not export aioss_engine_entry"),
    "no-table": (["NO_TABLE"], "gives no table"),
    "newer": (["ABI=7"], "update aioss"),
    "short-table": (["TABLE_BYTES=16"], "shorter than this program needs"),
    "huge-table": (["TABLE_BYTES=4000000000u"], "claims to be of 4000000000 bytes"),
    "lacks-decode": (["LACKS=decode"], "missing functions"),
    "lacks-plan": (["LACKS=plan"], "missing functions"),
    "other-name": (['NAME="llama"'], "calls itself 'llama'"),
    "bad-name": (['NAME="../x"'], "calls itself '../x'"),
    "endless-name": (["ENDLESS_NAME"], "is longer than"),
    "other-version": (['VERSION="2"'], "is installed as version 1.0.0"),
    "crashes-at-start": (["CRASHES_AT_START"], "crashed"),
    "ends-at-start": (["ENDS_AT_START"], "'ends-at-start' or this file is broken"),
    "starts-a-thread": (["STARTS_A_THREAD"], "before any thread is started"),
    "vocabulary-7": (["VOCABULARY=7"], "computes logits of 7 tokens"),
    "plans-the-world": (["PLANS=(1ull<<50)"], "needs 1.13 PB of memory"),
    "plans-too-much": (["PLANS=UINT64_MAX"], "or this file is broken"),
    "crash-plan": (["CRASHES_IN=plan"], "or this file is broken"),
    "crash-identity": (["CRASHES_IN=identity"], "crashed"),
    "crash-profiles": (["CRASHES_IN=profiles"], "or this file is broken"),
    "crash-grid": (["CRASHES_IN=prefill_grid_tokens"], "or this file is broken"),
    "crash-model-open": (["CRASHES_IN=model_open"], "or this file is broken"),
    "crash-facts": (["CRASHES_IN=model_facts"], "or this file is broken"),
    "crash-devices": (["CRASHES_IN=device_count"], "or this file is broken"),
    "crash-session": (["CRASHES_IN=session_create"], ""),
    "crash-decode": (["CRASHES_IN=decode"], ""),
    "crash-logits": (["CRASHES_IN=logits"], ""),
    "no-logits": (["NO_LOGITS"], ""),
}
SLOW = {
    "hangs-at-start": (["HANGS_AT_START"], "did not come back within 20 s"),
    "hang-plan": (["HANGS_IN=plan"], "took over 60 s"),
    "hang-model-open": (["HANGS_IN=model_open"], "took over 60 s"),
}
# They do no harm that anybody could see.
HARMLESS = {
    "takes-300-mib": ["TAKES_MIB=300"],
    "absurd-state": ["STATE_BYTES=SIZE_MAX"],
    "crash-save": ["CRASHES_IN=sequence_save"],
    "reads-at-start": ["READS_AT_START"],  # it crashes if it can
}


@unittest.skipUnless(MODELS and MODEL.exists(), f"{SMOLLM2} is not in AIOSS_MODELS_DIR")
class HostileEngineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-hostile-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.engines, cls.models = cls.folder / "engines", cls.folder / "models"
        cls.models.mkdir()
        shutil.copy(FIXTURES / "tiny.fake", cls.models / "good.fake")
        cls.refused = {**REFUSED, **(SLOW if LONG else {})}
        every = {**{name: one[0] for name, one in cls.refused.items()}, **HARMLESS}
        if LONG:
            every["hang-decode"] = ["HANGS_IN=decode"]
        for name, defines in every.items():
            cls.install(name, *defines)

    @classmethod
    def install(cls, name, *defines):
        write_manifest(build_hostile(cls.engines / f"{name}.so", *defines))
        (cls.models / f"{name}.gguf").symlink_to(MODEL)
        (cls.models / f"{name}.toml").write_text(f'engine = "{name}"\n')

    def server(self):
        return AiossServer("--engines-dir", self.engines, fake=True, models=self.models)

    def ask(self, server, model, **more):
        return server.post("/v1/completions", {
            "model": model, "prompt": f"One, two, {model}", "max_tokens": 2, **more})

    def expect_good(self, server):
        status, _, answer = self.ask(server, "good")
        self.assertEqual(status, 200, answer)

    def test_each_is_refused_or_contained(self):
        with self.server() as server:
            self.expect_good(server)
            for name, (_, said) in self.refused.items():
                with self.subTest(name):
                    began = time.monotonic()
                    status, _, answer = self.ask(server, name)
                    self.assertGreaterEqual(status, 400, answer)
                    message = answer["error"]["message"]
                    self.assertIn(said, message)
                    self.assertNotIn("\n", message)
                    print(f"{name}: {status}, {time.monotonic() - began:.1f} s: {message}",
                          file=sys.stderr)
                    self.expect_good(server)

    def test_what_does_no_harm_answers(self):
        with self.server() as server:
            for name in HARMLESS:
                with self.subTest(name):
                    status, _, answer = self.ask(server, name)
                    self.assertIn(status, (200, 500, 502, 503, 507), answer)
                    self.expect_good(server)

    def test_others_go_on_while_one_hangs_as_it_is_opened(self):
        if LONG:
            self.skipTest("part of the other test, too")
        self.install("hangs", "HANGS_AT_START")
        with self.server() as server:
            answers = []
            asking = threading.Thread(target=lambda: answers.append(self.ask(server, "hangs")))
            asking.start()
            while asking.is_alive():
                self.expect_good(server)
                asking.join(0.2)
            status, _, answer = answers[0]
            self.assertGreaterEqual(status, 400)
            self.assertIn("did not come back within 20 s", answer["error"]["message"])

    @unittest.skipUnless(LONG, "takes minutes: AIOSS_LONG=1")
    def test_one_that_hangs_in_decode_is_ended_once_its_client_gives_up(self):
        with self.server() as server:
            status, _, answer = self.ask(server, "hang-decode", timeout=2)
            self.assertGreaterEqual(status, 400, answer)
            self.expect_good(server)


if __name__ == "__main__":
    unittest.main()
