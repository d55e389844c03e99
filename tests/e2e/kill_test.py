"""kill -9 of the worker and of the gateway in the middle of a stream: what a client sees, what the
ledger says, and that the next request is served."""
import json
import os
import pathlib
import re
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402

BODY = {"model": SMOLLM2, "prompt": "A long story about a clerk:", "max_tokens": 400,
        "temperature": 0, "ignore_eos": True, "stream": True}
# Far more than any machine computes between a client's leaving and the notice of it.
LONG_TOKENS = 3500


class Kills(unittest.TestCase):
    def test_streams_outlive_their_workers(self):
        for profile in ("reproducible", "fast"):
            with self.subTest(profile), \
                    AiossServer("--parallel", 2, "--ctx", 1024, "--profile", profile) as server:
                for sampling in ({"temperature": 0}, {"temperature": 0.9, "seed": 5}):
                    self.check_survival(server, {**BODY, "max_tokens": 120, **sampling},
                                        exact=profile == "reproducible")
                server.stop()
                types = [r["type"] for r in server.records()]
                self.assertEqual(types.count("MODEL_LOAD"), 5)
                self.assertEqual(types.count("INFER_ABORT"), 0)
                self.assertEqual(types.count("INFER_RESULT"), 6)

    def check_survival(self, server, body, exact):
        undisturbed = OpenStream(server, body)
        undisturbed.read_to_end()
        whole = undisturbed.text()
        undisturbed.close()
        streams = [OpenStream(server, body), OpenStream(server, body)]
        for seen in (5, 60):
            for stream in streams:
                stream.read_events(seen)
            (worker,) = server.worker_pids()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda dead=worker: set(server.worker_pids()) - {dead},
                       what="another worker")
        for stream in streams:
            stream.read_to_end()
            self.assertNotIn(b'"error"', stream.data)
            self.assertIn(b"[DONE]", stream.data)
            self.assertEqual(len(stream.events()[0]["choices"]), 1)
            text = stream.text()
            if exact:
                self.assertEqual(text, whole)
            else:
                self.assertGreater(len(text), 100)
                self.assertEqual(text[:20], whole[:20])
            stream.close()

    def test_gateway_killed_mid_stream(self):
        server = AiossServer("--parallel", 2, "--ctx", 1024).start()
        stream = OpenStream(server, BODY)
        stream.read_events(5)
        workers = server.worker_pids()
        server.kill()
        stream.close()
        wait_until(lambda: not any(pathlib.Path(f"/proc/{w}/exe").exists() for w in workers),
                   what="the workers' end")
        before = server.verify(expect=(0, 5, 6))
        self.assertGreater(before["records"], 3)
        server.process.stdout.close()
        # The next start recovers: the dangling request gets its abort, and all verifies.
        server.start()
        status, _, _ = server.post("/v1/completions", {**BODY, "stream": False, "max_tokens": 3})
        self.assertEqual(status, 200)
        server.stop()
        report = server.verify()
        self.assertEqual(report["dangling_requests"], 0)
        aborted = [r for r in server.records() if r["type"] == "INFER_ABORT"]
        self.assertEqual(len(aborted), 1)
        server.__exit__(None)

    def test_client_gone_frees_the_stream(self):
        with AiossServer("--parallel", 1, "--ctx", 4096) as server:
            stream = OpenStream(server, {**BODY, "max_tokens": LONG_TOKENS})
            stream.read_events(3)
            stream.close()
            # One stream only: this request waits for the slot, which must come back at once.
            status, _, answer = server.post("/v1/completions",
                                            {**BODY, "stream": False, "max_tokens": 3})
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["usage"]["completion_tokens"], 3)
            server.stop()
            aborts = [r for r in server.records() if r["type"] == "INFER_ABORT"]
            self.assertEqual(len(aborts), 1)
            self.assertEqual(aborts[0]["body"]["cause"], "cancelled")
            # Nobody read on, so nobody computed on: one step after the notice, not to the end.
            tokens = aborts[0]["body"]["tokens_so_far"]
            self.assertGreaterEqual(tokens, 2)
            self.assertLess(tokens, LONG_TOKENS // 10)

    def test_client_gone_without_a_stream(self):
        with AiossServer("--parallel", 1, "--ctx", 4096) as server:
            waiting = OpenStream(server, {**BODY, "max_tokens": LONG_TOKENS, "stream": False})
            wait_until(lambda: re.search(r"^aioss_worker_tokens_generated [1-9]",
                                         server.get("/metrics")[2], re.MULTILINE), seconds=60,
                       what="its tokens")
            waiting.close()
            status, _, answer = server.post("/v1/completions",
                                            {**BODY, "stream": False, "max_tokens": 3})
            self.assertEqual(status, 200, answer)
            server.stop()
            (abort,) = [r for r in server.records() if r["type"] == "INFER_ABORT"]
            self.assertEqual(abort["body"]["cause"], "cancelled")
            self.assertLess(abort["body"]["tokens_so_far"], LONG_TOKENS // 2)

    def test_confinement_is_reported(self):
        with AiossServer() as server:
            server.post("/v1/completions", {**BODY, "stream": False, "max_tokens": 1})
            status, _, health = server.get("/health")
            self.assertEqual(status, 200)
            self.assertIn("seccomp", json.dumps(health))
            (worker,) = server.worker_pids()
            text = pathlib.Path(f"/proc/{worker}/status").read_text()
            self.assertIn("NoNewPrivs:\t1", text)
            self.assertIn("Seccomp:\t2", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
