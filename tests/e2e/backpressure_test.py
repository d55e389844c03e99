"""A client that stops reading stops its own tokens, and nobody else's: the whole way from a real
socket to the token loop of a real model, and back, without a token lost or changed."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402

# More than credit, one write and both sockets' buffers hold.
TOKENS = 1500
CLIENTS = 8 if os.environ.get("AIOSS_LONG") == "1" else 4  # that never read
BODY = {"model": SMOLLM2, "prompt": "A long story about a clerk:", "max_tokens": TOKENS,
        "temperature": 0.8, "seed": 7, "ignore_eos": True, "stream": True,
        "stream_options": {"include_usage": True}}
RECEIVE_BUFFER = 4096


def slow_client(server, body):
    """It reads only what it is told to, and has small buffers: the server's are what counts."""
    return OpenStream(server, body, receive_buffer=RECEIVE_BUFFER)


def answer_of(stream):
    """(text, usage), once it was read to its end."""
    stream.read_to_end()
    return stream.text(), [e["usage"] for e in stream.events() if e.get("usage")][-1]


def metric(server, name):
    return sum(float(line.split()[-1]) for line in server.get("/metrics")[2].split("\n")
               if line.startswith(name))


class Backpressure(unittest.TestCase):
    def quick(self, server):
        body = {**BODY, "stream": False, "max_tokens": 32, "prompt": "Another:"}
        del body["stream_options"]
        status, _, answer = server.post("/v1/completions", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["usage"]["completion_tokens"], 32)

    def test_who_stops_reading_stops_being_computed(self):
        with AiossServer("--parallel", 1, "--ctx", 2048, "--profile", "reproducible") as server:
            undisturbed = answer_of(slow_client(server, BODY))
            self.assertEqual(undisturbed[1]["completion_tokens"], TOKENS)
            generated = metric(server, "aioss_worker_tokens_generated")
            slow = slow_client(server, BODY)
            slow.read_bytes(2000)
            # One stream only: it is parked, then its state makes room, and others are served.
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 1, seconds=60,
                       what="the parked sequence to be spilled")
            made = metric(server, "aioss_worker_tokens_generated") - generated
            self.assertLess(made, TOKENS / 2, "it was computed although nobody reads")
            for _ in range(3):
                self.quick(server)
            self.assertEqual(metric(server, "aioss_sequences_spilled"), 1)
            # Not a token was lost or changed.
            self.assertEqual(answer_of(slow), undisturbed)
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 0, seconds=10,
                       what="the figure to be told")
            server.stop()
            types = [r["type"] for r in server.records()]
            self.assertEqual(types.count("INFER_RESULT"), 5)
            self.assertEqual(types.count("INFER_ABORT"), 0)

    def test_many_that_never_read(self):
        with AiossServer("--parallel", 2, "--ctx", 2048) as server:
            stopped = [slow_client(server, {**BODY, "seed": i}) for i in range(CLIENTS)]
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == len(stopped),
                       seconds=400, what="all to be spilled")  # some thousand tokens before
            self.quick(server)
            for client in stopped:
                client.close()
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 0, seconds=30,
                       what="the memory to be given back")
            self.quick(server)
            server.stop()
            types = [r["type"] for r in server.records()]
            self.assertEqual(types.count("INFER_ABORT"), len(stopped))


if __name__ == "__main__":
    unittest.main(verbosity=2)
