"""Plugins that crash, hang, lie or are of another make, in one server: each model that is to be
computed with one fails with a clear error, and between any two of them another model answers.

The quick form leaves out those whose end takes minutes (AIOSS_LONG=1)."""
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import FIXTURES, MODELS, SMOLLM2, AiossServer, wait_until  # noqa: E402
from engine_plugins import build_hostile, write_manifest  # noqa: E402

MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
LONG = os.environ.get("AIOSS_LONG") == "1"
MIB = 1 << 20
# Over 64 tokens, or no state of it is kept.
TEXT = " ".join(f"word{number}" for number in range(60))

DIED = "ended unexpectedly (signal 11 (Segmentation fault))"
GIVEN_UP = "this request ends every worker that computes it"
BROKEN = "or this file is broken"

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
    "plans-too-much": (["PLANS=UINT64_MAX"], BROKEN),
    "crash-plan": (["CRASHES_IN=plan"], BROKEN),
    "crash-identity": (["CRASHES_IN=identity"], "crashed"),
    "crash-profiles": (["CRASHES_IN=profiles"], BROKEN),
    "crash-grid": (["CRASHES_IN=prefill_grid_tokens"], BROKEN),
    "crash-model-open": (["CRASHES_IN=model_open"], BROKEN),
    "crash-facts": (["CRASHES_IN=model_facts"], BROKEN),
    "crash-devices": (["CRASHES_IN=device_count"], BROKEN),
    "crash-device": (["CRASHES_IN=device"], BROKEN),
    "crash-model-close": (["CRASHES_IN=model_close"], BROKEN),  # behind the dry run
    "crash-session": (["CRASHES_IN=session_create"], DIED),
    "crash-decode": (["CRASHES_IN=decode"], GIVEN_UP),
    "crash-logits": (["CRASHES_IN=logits"], GIVEN_UP),
    "no-logits": (["NO_LOGITS"], "the engine computed no logits"),
}
SLOW = {
    "hang-plan": (["HANGS_IN=plan"], "took over 60 s"),
    "hang-model-open": (["HANGS_IN=model_open"], "took over 60 s"),
}
# These answer, at first.
SERVING = {
    "sound": [],
    "reads-at-start": ["READS_AT_START"],  # it crashes if it can
    "absurd-state": ["STATE_BYTES=SIZE_MAX"],
    "takes-300-mib": ["TAKES_MIB=300"],
    **{f"crash-{call}": [f"CRASHES_IN=sequence_{call}"]
       for call in ("remove", "copy", "state_size", "save", "load")},
    "crash-close": ["CRASHES_IN=session_close"],
}
HANGING = {
    "hangs-at-start": ["HANGS_AT_START"],
    "hang-decode": ["HANGS_IN=decode"],
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
        defines = {**{name: one[0] for name, one in cls.refused.items()}, **SERVING, **HANGING}
        for name, faults in defines.items():
            write_manifest(build_hostile(cls.engines / f"{name}.so", *faults))
            (cls.models / f"{name}.gguf").symlink_to(MODEL)
            (cls.models / f"{name}.toml").write_text(f'engine = "{name}"\n')

    def server(self, *flags):
        return AiossServer("--engines-dir", self.engines, *flags, fake=True, models=self.models)

    # All models in GGUF are of one file: what is quarantined for one is not for others, which are
    # computed with other engines.
    def ask(self, server, model, text="One, two,", headers=None, **more):
        return server.post("/v1/completions", {
            "model": model, "prompt": text, "max_tokens": 2, **more}, headers)

    def expect_good(self, server):
        status, _, answer = self.ask(server, "good")
        self.assertEqual(status, 200, answer)

    def expect_answer(self, server, model, text=TEXT, **more):
        """How many tokens of the prompt were there already."""
        status, _, answer = self.ask(server, model, text, **more)
        self.assertEqual(status, 200, answer)
        return answer["usage"]["prompt_tokens_details"]["cached_tokens"]

    def expect_refusal(self, server, model, status, said, text=TEXT, **more):
        got, _, answer = self.ask(server, model, text, **more)
        self.assertEqual(got, status, answer)
        self.assertIn(said, answer["error"]["message"])

    def unloads(self, server, model):
        """Why its workers ended, as the ledger has it."""
        records = server.records()
        loads = {record["index"] for record in records
                 if record["type"] == "MODEL_LOAD" and record["body"]["model"] == model}
        return [record["body"]["reason"] for record in records
                if record["type"] == "MODEL_UNLOAD" and record["body"]["ref"] in loads]

    def expect_deaths(self, server, model, count):
        def deaths():
            return sum(reason.startswith("worker_died: signal 11")
                       for reason in self.unloads(server, model))
        wait_until(lambda: deaths() >= count, what=f"the end of {count} workers of {model}")
        self.assertEqual(deaths(), count)

    def worker_of(self, server, model):
        """The newest one's process."""
        pids = re.findall(f'"a worker has started","model":"{model}","pid":([0-9]+)',
                          server.log_text())
        return int(pids[-1]) if pids else None

    # ---- those that never answer ----

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

    # ---- those that answer, until a call is made that they crash in ----

    def test_what_is_wrong_with_states_costs_those_whose_states_they_are(self):
        with self.server() as server:
            self.assertEqual(self.expect_answer(server, "sound"), 0)
            self.assertGreater(self.expect_answer(server, "sound"), 64)  # so the call is made
            self.expect_deaths(server, "sound", 0)

            for _ in range(2):
                self.assertEqual(self.expect_answer(server, "absurd-state"), 0)
            self.expect_deaths(server, "absurd-state", 0)

            for name in ("crash-state_size", "crash-save"):
                with self.subTest(name):
                    self.expect_answer(server, name, "Too short to be kept.")
                    self.expect_refusal(server, name, 500, GIVEN_UP)
                    self.expect_deaths(server, name, 3)
                    self.expect_refusal(server, name, 403, "quarantined")
                    self.expect_answer(server, name, "Too short to be kept, too.")
                    self.expect_good(server)

            self.assertEqual(self.expect_answer(server, "crash-load"), 0)
            self.expect_deaths(server, "crash-load", 0)
            # The next worker does not trust what the last one left.
            self.assertEqual(self.expect_answer(server, "crash-load"), 0)
            self.expect_deaths(server, "crash-load", 1)
            self.expect_good(server)

    def test_a_crash_in_another_call_of_a_session(self):
        with self.server("--warm-keep-alive", "1h") as server:
            for answers in range(1, 3):  # behind each its stream is emptied
                self.expect_answer(server, "crash-remove")
                self.expect_deaths(server, "crash-remove", answers)
            self.expect_good(server)

            self.expect_answer(server, "crash-copy")
            self.expect_deaths(server, "crash-copy", 0)
            self.expect_refusal(server, "crash-copy", 500, GIVEN_UP, n=2)
            self.expect_deaths(server, "crash-copy", 3)
            self.expect_answer(server, "crash-copy")
            self.expect_good(server)

            self.assertEqual(self.expect_answer(server, "crash-close"), 0)
            self.assertGreater(self.expect_answer(server, "crash-close"), 64)
            status, _, page = server.post("/admin/models/crash-close/unload", {})
            self.assertEqual(status, 200, page)
            # It was told to end, but crashed on its way out: what it left is not trusted.
            self.assertEqual(self.expect_answer(server, "crash-close", keep_alive=1), 0)
            self.expect_deaths(server, "crash-close", 1)  # as it was parked
            self.assertEqual(server.get("/v1/models/crash-close")[2]["aioss"]["state"], "cold")
            self.expect_answer(server, "crash-close")
            self.expect_good(server)

    # ---- those that only take more than is theirs ----

    def test_nothing_of_other_people_can_be_read(self):
        with self.server() as server:
            self.expect_answer(server, "reads-at-start")

    def test_memory_that_was_not_planned_is_in_the_books(self):
        def books():
            """About a second old."""
            for device in server.get("/admin/memory")[2]["devices"]:
                for one in device["models"]:
                    if one["model"] == "takes-300-mib" and one["measured_bytes"] is not None:
                        return device, one
            return None
        with self.server() as server:
            self.expect_answer(server, "takes-300-mib")
            device, one = wait_until(books, what="a measurement")
            self.assertLess(one["leased_bytes"], 100 * MIB)
            self.assertGreater(one["difference_bytes"], 300 * MIB)
            self.assertEqual(one["difference_bytes"], one["measured_bytes"] - one["leased_bytes"])
            self.assertEqual(one["used_bytes"], one["measured_bytes"])
            self.assertGreaterEqual(device["used_bytes"], one["used_bytes"])
            self.expect_good(server)

    def test_one_that_takes_more_than_there_is_goes_again(self):
        with self.server("--memory-max", 200 * MIB) as server:
            self.expect_answer(server, "takes-300-mib")
            wait_until(lambda: server.get("/admin/memory")[2]["evictions"], what="an eviction")
            (eviction,) = server.get("/admin/memory")[2]["evictions"]
            self.assertEqual(eviction["model"], "takes-300-mib")
            wait_until(lambda: self.unloads(server, "takes-300-mib"), what="its end")
            self.expect_good(server)

    # ---- those that do not come back ----

    def test_hangs_end_and_others_go_on(self):
        with self.server() as server:
            answers, seconds = {}, {}

            def ask(model, **more):
                began = time.monotonic()
                answers[model] = self.ask(server, model, **more)
                seconds[model] = time.monotonic() - began
            status, _, page = server.post("/admin/models/hang-decode/load", {})
            self.assertEqual(status, 200, page)
            hung = wait_until(lambda: self.worker_of(server, "hang-decode"), what="its worker")
            asking = [threading.Thread(target=ask, args=("hangs-at-start",)),
                      threading.Thread(target=ask, args=("hang-decode",),
                                       kwargs={"headers": {"X-Aioss-Deadline": "2"}})]
            for one in asking:
                one.start()
            deadline = time.monotonic() + 300
            while any(one.is_alive() for one in asking) or os.path.exists(f"/proc/{hung}"):
                self.assertLess(time.monotonic(), deadline, "they do not end")
                self.expect_good(server)
                time.sleep(0.2)
            status, _, answer = answers["hangs-at-start"]
            self.assertEqual(status, 500, answer)
            self.assertIn("did not come back within 20 s", answer["error"]["message"])
            status, _, answer = answers["hang-decode"]
            self.assertEqual((status, answer["error"]["code"]), (408, "timeout"), answer)
            self.assertIn("after the 2 s that it was given", answer["error"]["message"])
            self.assertLess(seconds["hang-decode"], 30, "it waited for a worker that hangs")
            wait_until(lambda: self.unloads(server, "hang-decode"), what="the record of its end")
            self.assertIn("did not stop a cancelled request",
                          self.unloads(server, "hang-decode")[0])

            # Asked again it gets another worker; this time nobody waits so long.
            again = threading.Thread(target=ask, args=("hang-decode",), kwargs={"text": "Again"})
            again.start()
            wait_until(lambda: self.worker_of(server, "hang-decode") != hung, what="a new worker")
            hung = self.worker_of(server, "hang-decode")
            wait_until(lambda: server.get("/v1/models/hang-decode")[2]["aioss"]["state"] == "ready",
                       what="its being ready")
            server.post("/admin/models/hang-decode/unload?force=1", {})
            again.join(60)
            self.assertFalse(again.is_alive())
            status, _, answer = answers["hang-decode"]
            self.assertEqual((status, answer["error"]["code"]), (503, "shutting_down"), answer)
            wait_until(lambda: not os.path.exists(f"/proc/{hung}"), what="the end of its worker")
            self.expect_good(server)

    @unittest.skipUnless(LONG, "takes minutes: AIOSS_LONG=1")
    def test_one_that_nobody_gives_up_ends_too(self):
        with self.server() as server:
            server.answer_seconds = 1200
            self.expect_refusal(server, "hang-decode", 500, GIVEN_UP, text="x")
            self.assertEqual(len(self.unloads(server, "hang-decode")), 3)
            for reason in self.unloads(server, "hang-decode"):
                self.assertIn("has not come back from a call", reason)
            self.expect_good(server)


if __name__ == "__main__":
    unittest.main()
