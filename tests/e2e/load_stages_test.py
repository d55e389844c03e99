"""Loads that fail, at every stage, and files that go bad under a model that answers. Each time: a
clear error, no byte left in the books, and a model beside it that answers on in the same process.
Usage: load_stages_test.py"""
import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, MODELS, SMOLLM2, AiossServer, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402
from synthetic_model import synthetic_model  # noqa: E402

THREADS = min(2, os.cpu_count())
FLAGS = ("--ctx", 1024, "--threads", THREADS, "--prefix-mib", 0, "--spill-mib", 0)
SLOW_MIB = 512  # loading takes long enough to be stopped
# RLIMIT_AS: enough for the gateway and its threads, not for the KV that the model is planned with.
SPACE_KIB = 4 << 20
MUCH_KV = "parallel = 32\nctx = 8192\n"  # 6 GB
LIMITED = ["sh", "-c", f'ulimit -v {SPACE_KIB} && exec "$@"', "sh"]
TRUNCATED = 4096  # bytes that stay of a file

STEADY = "steady"  # the model beside


def copy_of(name, target):
    shutil.copy(pathlib.Path(MODELS) / f"{name}.gguf", target)


class Stages(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-models-"))
        self.addCleanup(shutil.rmtree, self.folder)
        copy_of(SMOLLM2, self.path(STEADY))

    def path(self, name):
        return self.folder / f"{name}.gguf"

    def fake(self, name, script):
        (self.folder / f"{name}.fake").write_text(f"aioss-fake 1\n{script}\n")

    @contextlib.contextmanager
    def beside(self, *flags, tokens=100, **options):
        """A server whose steady model streams while something else goes wrong."""
        with AiossServer(*FLAGS, "--fake-models", *flags, models=self.folder, **options) as server:
            self.ask(server, STEADY)
            steady = server.worker_pids()
            stream = OpenStream(server, {"model": STEADY, "prompt": "Once", "stream": True,
                                         "max_tokens": tokens, "ignore_eos": True})
            stream.read_events(2)
            yield server
            stream.read_to_end()
            last = [c for e in stream.events() for c in e.get("choices") or []][-1]
            self.assertEqual(last["finish_reason"], "length")
            stream.close()
            self.ask(server, STEADY)
            self.assertLessEqual(set(steady), set(server.worker_pids()), "it was restarted")

    def post(self, server, model, **body):
        return server.post("/v1/completions", {"model": model, "prompt": "Hello", "max_tokens": 4,
                                               "temperature": 0, **body})

    def ask(self, server, model):
        status, _, answer = self.post(server, model)
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["text"]

    def refused(self, server, model, status, code, words=""):
        got, headers, answer = self.post(server, model)
        self.assertEqual((got, answer["error"]["code"]), (status, code), answer)
        self.assertIn(words, answer["error"]["message"])
        self.assertNotIn(str(self.folder), answer["error"]["message"])
        self.assertNotIn("\n", answer["error"]["message"])
        self.nothing_left(server, model)
        return headers, answer

    def nothing_left(self, server, model):
        def leased():
            _, _, page = server.get("/admin/memory")
            return [m for d in page["devices"] for m in d["models"]
                    if m["model"] == model and m["used_bytes"]]
        wait_until(lambda: not leased(), what=f"the end of leases of {model}")

    def state(self, server, model):
        _, _, answer = server.get(f"/v1/models/{model}")
        return answer.get("aioss", {}).get("state")

    # ---- before there is a worker ---------------------------------------------------------------

    def test_missing(self):
        copy_of(SMOLLM2, self.path("gone"))
        with self.beside() as server:
            self.path("gone").unlink()
            self.refused(server, "gone", 404, "not_found")

    def test_not_allowed(self):
        copy_of(SMOLLM2, self.path("changed"))
        allowed = self.folder / "allowed"
        allowed.write_text("".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in self.folder.glob("*.gguf")))
        with open(self.path("changed"), "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        with self.beside("--models-allow", allowed) as server:
            self.refused(server, "changed", 403, "forbidden", "SHA-256 is another")

    # ---- the file is read -----------------------------------------------------------------------

    def test_truncated(self):
        for name, size in (("head", 1000), ("metadata", 100_000), ("weights", 40_000_000)):
            with open(pathlib.Path(MODELS) / f"{SMOLLM2}.gguf", "rb") as whole:
                self.path(name).write_bytes(whole.read(size))
        with self.beside() as server:
            for name in ("head", "metadata", "weights"):
                _, answer = self.refused(server, name, 500, "model_corrupt", "truncated")
                headers, answer = self.refused(server, name, 500, "model_corrupt", "truncated")
                self.assertEqual(answer["error"]["load"]["state"], "failed")
                self.assertGreaterEqual(int(headers["Retry-After"]), 1)

    # ---- the engine -----------------------------------------------------------------------------

    def test_engine_crashes(self):
        self.fake("crash", "load_ms 100\nfail_load crash")
        with self.beside() as server:
            self.refused(server, "crash", 500, "worker_died", "Aborted")
            self.fake("crash", "reply Here again.")
            wait_until(lambda: self.post(server, "crash")[0] == 200, what="the mended model")

    def test_engine_runs_out_of_memory(self):
        """Of addresses, which no book knows of: the engine is refused what it was promised."""
        for name in ("large", "small"):
            os.symlink(self.path(STEADY), self.path(name))
        (self.folder / "large.toml").write_text(MUCH_KV)
        with self.beside(inside=LIMITED) as server:
            self.refused(server, "large", 507, "no_memory")
            self.ask(server, "small")

    # ---- given up -------------------------------------------------------------------------------

    def slow(self):
        os.symlink(synthetic_model(SLOW_MIB), self.path("slow"))

    def test_ordered_away_while_it_loads(self):
        self.slow()
        with self.beside() as server:
            for _ in range(2):
                stream = OpenStream(server, {"model": "slow", "prompt": "x", "max_tokens": 1})
                wait_until(lambda: self.state(server, "slow") == "loading", what="the load")
                status, _, answer = server.post("/admin/models/slow/unload?force=1", {})
                self.assertEqual(status, 200, answer)
                while b"shutting_down" not in stream.data:
                    stream.read_some()
                stream.close()
                self.nothing_left(server, "slow")
            self.ask(server, "slow")

    def test_client_goes_while_it_loads(self):
        self.slow()
        with self.beside() as server:
            stream = OpenStream(server, {"model": "slow", "prompt": "x", "max_tokens": 1})
            wait_until(lambda: self.state(server, "slow") == "loading", what="the load")
            stream.close()
            self.ask(server, "slow")
            self.assertEqual(len(server.worker_pids()), 2)
            loads = [r for r in server.records() if r["type"] == "MODEL_LOAD"]
            self.assertEqual(len(loads), 2)

    # ---- under a model that answers -------------------------------------------------------------

    def long_answer(self, server, model):
        stream = OpenStream(server, {"model": model, "prompt": "Once", "stream": True,
                                     "max_tokens": 200, "ignore_eos": True, "temperature": 0})
        stream.read_events(3)
        return stream

    def test_truncated_while_it_answers(self):
        copy_of(GEMMA, self.path("cut"))
        with self.beside() as server:
            self.ask(server, "cut")
            stream = self.long_answer(server, "cut")
            os.truncate(self.path("cut"), TRUNCATED)
            with contextlib.suppress(AssertionError):
                stream.read_to_end()
            stream.close()
            # Which of them: whether the change or the end of the worker is seen first.
            self.assertRegex(stream.data, b"worker_died|model_corrupt")
            self.assertRegex(stream.data, b"was changed|still being written|truncated")
            self.assertNotIn(b"[DONE]", stream.data)
            wait_until(lambda: self.post(server, "cut")[2]["error"]["code"] == "model_corrupt",
                       what="what is wrong with the file")
            self.refused(server, "cut", 500, "model_corrupt", "truncated")
            copy_of(GEMMA, self.path("cut"))
            wait_until(lambda: self.post(server, "cut")[0] == 200, what="the mended model")

    def test_written_over_while_it_answers(self):
        copy_of(SMOLLM2, self.path("over"))
        with self.beside() as server:
            self.ask(server, "over")
            stream = self.long_answer(server, "over")
            with open(self.path("over"), "r+b") as file:
                file.seek(50_000_000)
                file.write(bytes(1 << 20))
            with contextlib.suppress(AssertionError):
                stream.read_to_end()
            stream.close()
            self.assertIn(b"was changed while it was loaded", stream.data)

    def test_replaced_while_it_answers(self):
        copy_of(SMOLLM2, self.path("new"))
        with self.beside() as server:
            self.ask(server, "new")
            want = self.ask(server, "new")
            stream = self.long_answer(server, "new")
            copy_of(GEMMA, self.folder / "copy")
            os.rename(self.folder / "copy", self.path("new"))
            stream.read_to_end()  # of the file that it began with
            last = [c for e in stream.events() for c in e.get("choices") or []][-1]
            self.assertEqual(last["finish_reason"], "length")
            stream.close()
            wait_until(lambda: self.ask(server, "new") != want, what="the new file")


if __name__ == "__main__":
    unittest.main(verbosity=2)
