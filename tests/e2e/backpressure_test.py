"""A client that stops reading stops its own tokens, and nobody else's: the whole way from a real
socket to the token loop of a real model, and back, without a token lost or changed."""
import json
import pathlib
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, wait_until  # noqa: E402

# More than credit, one write and both sockets' buffers hold.
TOKENS = 1500
BODY = {"model": SMOLLM2, "prompt": "A long story about a clerk:", "max_tokens": TOKENS,
        "temperature": 0.8, "seed": 7, "ignore_eos": True, "stream": True,
        "stream_options": {"include_usage": True}}
RECEIVE_BUFFER = 4096


class SlowClient:
    """Small buffers, and it reads only what it is told to."""

    def __init__(self, server, body):
        payload = json.dumps(body).encode()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.settimeout(120)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                            b"Content-Type: application/json\r\nContent-Length: "
                            + str(len(payload)).encode() + b"\r\n\r\n" + payload)
        self.data = b""

    def read(self, at_least):
        while len(self.data) < at_least:
            block = self.socket.recv(4096)
            if not block:
                raise AssertionError(f"the stream ended early: {self.data[-300:]!r}")
            self.data += block

    def read_to_end(self):
        while not self.data.endswith(b"\r\n0\r\n\r\n"):
            self.read(len(self.data) + 1)
        return answer_of(self.data)


def answer_of(data):
    """(text, usage) of a chunked stream."""
    body, rest = b"", data.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    text = "".join(c["text"] for e in events for c in e.get("choices") or [])
    return text, [e["usage"] for e in events if e.get("usage")][-1]


def metric(server, name):
    text = server.get("/metrics")[2]
    text = text if isinstance(text, str) else text.decode()
    return sum(float(line.split()[-1]) for line in text.split("\n")
               if line.startswith(name) and not line.startswith("#"))


class Backpressure(unittest.TestCase):
    def quick(self, server):
        began = time.monotonic()
        body = {**BODY, "stream": False, "max_tokens": 32, "prompt": "Another:"}
        del body["stream_options"]
        status, _, answer = server.post("/v1/completions", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["usage"]["completion_tokens"], 32)
        return time.monotonic() - began

    def test_who_stops_reading_stops_being_computed(self):
        with AiossServer("--parallel", 1, "--ctx", 2048, "--profile", "reproducible") as server:
            undisturbed = SlowClient(server, BODY).read_to_end()
            self.assertEqual(undisturbed[1]["completion_tokens"], TOKENS)
            generated = metric(server, "aioss_worker_tokens_generated")
            slow = SlowClient(server, BODY)
            slow.read(2000)
            # One stream only: it is parked, then its state makes room, and others are served.
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 1, seconds=60,
                       what="the parked sequence to be spilled")
            made = metric(server, "aioss_worker_tokens_generated") - generated
            self.assertLess(made, TOKENS / 2, "it was computed although nobody reads")
            for _ in range(3):
                self.quick(server)
            self.assertEqual(metric(server, "aioss_sequences_spilled"), 1)
            # Not a token was lost or changed.
            self.assertEqual(slow.read_to_end(), undisturbed)
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 0, seconds=10,
                       what="the figure to be told")
            server.stop()
            types = [r["type"] for r in server.records()]
            self.assertEqual(types.count("INFER_RESULT"), 5)
            self.assertEqual(types.count("INFER_ABORT"), 0)

    def test_many_that_never_read(self):
        with AiossServer("--parallel", 2, "--ctx", 2048) as server:
            stopped = [SlowClient(server, {**BODY, "seed": i}) for i in range(8)]
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == len(stopped),
                       seconds=120, what="all to be spilled")
            self.quick(server)
            for client in stopped:
                client.socket.close()
            wait_until(lambda: metric(server, "aioss_sequences_spilled") == 0, seconds=30,
                       what="the memory to be given back")
            self.quick(server)
            server.stop()
            types = [r["type"] for r in server.records()]
            self.assertEqual(types.count("INFER_ABORT"), len(stopped))


if __name__ == "__main__":
    unittest.main(verbosity=2)
