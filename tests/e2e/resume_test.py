"""Streams that outlive their client: X-Aioss-Resume and GET /v1/streams/{id}, against the real
binary and a real model. A client is cut in the middle with a reset, comes back, and has every byte
of the answer that an undisturbed one gets."""
import json
import pathlib
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, run, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402

BODY = {"model": SMOLLM2, "prompt": "A long story about a clerk:", "max_tokens": 150,
        "temperature": 0.8, "seed": 11, "ignore_eos": True, "stream": True}
LONG_TOKENS = 1500
SECONDS = 2  # of patience, where it is to run out


def new_key(keys, user):
    made = run("key", "new", "--tenant", "ward-3", "--user", user, "--file", keys, "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": "Bearer " + json.loads(made.stdout)["key"]}


def cut(stream):
    """As a network that breaks: a reset, and what was under way is lost."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def head_of(stream):
    lines = stream.data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def whole_events(stream):
    """[(number, data)] of what has come whole, read as a stream that may be cut anywhere."""
    body, rest = b"", stream.data.partition(b"\r\n\r\n")[2]
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]
    events = []
    for event in body.split(b"\n\n")[:-1]:
        if event.startswith(b":"):
            continue
        number, _, data = event.partition(b"\n")
        events.append((int(number.removeprefix(b"id: ")), data))
    return events


def numberless(event):
    """What may differ from one run to another: when it was made, and its names in the ledger."""
    if not event.startswith(b"data: {"):
        return event
    value = json.loads(event[6:])
    for name in ("id", "created", "aioss"):
        value.pop(name, None)
    return value


class Resume(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        keys = pathlib.Path(folder.name) / "keys"
        self.hers, self.other = new_key(keys, "ada"), new_key(keys, "bob")
        self.server = AiossServer("--parallel", 1, "--ctx", 2048, "--profile", "reproducible",
                                  "--keys", keys)

    def open(self, body, resume=60):
        headers = dict(self.hers)
        if resume:
            headers["X-Aioss-Resume"] = str(resume)
        return OpenStream(self.server, body, headers=headers)

    def come_back(self, request_id, number, headers=None):
        return OpenStream(self.server, None, headers=headers or self.hers,
                          path=f"/v1/streams/{request_id}?from={number}")

    def status(self, request_id, headers):
        return self.server.get(f"/v1/streams/{request_id}?from=0", headers)

    def test_cut_and_back(self):
        with self.server as server:
            plain = self.open(BODY, resume=None)
            plain.read_to_end()
            first = self.open(BODY)
            first.read_events(8)
            request_id = head_of(first)["x-aioss-request-id"]
            self.assertEqual(head_of(first)["x-aioss-resume"], "60")
            got = whole_events(first)
            cut(first)
            # Nobody else's, and nobody else can tell.
            unknown = self.status("req_000000000000000000000000", self.other)
            self.assertEqual(unknown[0], 404)
            self.assertEqual(self.status(request_id, self.other)[0::2], unknown[0::2])
            # Twice more in the middle, then to the end.
            for count in (20, 30):
                again = self.come_back(request_id, got[-1][0])
                again.read_events(count)
                self.assertEqual(head_of(again)["x-aioss-request-id"], request_id)
                got += whole_events(again)
                cut(again)
            last = self.come_back(request_id, got[-1][0])
            last.read_to_end()
            got += whole_events(last)
            self.assertEqual([number for number, _ in got], list(range(1, len(got) + 1)))
            self.assertEqual(got[-1][1], b"data: [DONE]")
            text = "".join(json.loads(data[6:])["choices"][0]["text"] for _, data in got[:-1])
            self.assertEqual(text, plain.text())
            # It has ended meanwhile, and is still there, byte for byte.
            whole = self.come_back(request_id, 0)
            whole.read_to_end()
            self.assertEqual(whole_events(whole), got)
            server.stop()
            types = [r["type"] for r in server.records()]
            self.assertEqual(types.count("INFER_RESULT"), 2)
            self.assertEqual(types.count("INFER_ABORT"), 0)

    def test_generation_goes_on_meanwhile(self):
        with self.server:
            plain = self.open(BODY, resume=None)
            plain.read_to_end()
            away = self.open(BODY)
            away.read_events(3)
            request_id = head_of(away)["x-aioss-request-id"]
            cut(away)
            # One stream only: this waits until the other answer was made, with nobody there.
            quick = {**BODY, "stream": False, "max_tokens": 3}
            self.assertEqual(self.server.post("/v1/completions", quick, self.hers)[0], 200)
            back = self.come_back(request_id, 0)
            back.read_to_end()
            text = "".join(json.loads(data[6:])["choices"][0]["text"]
                           for _, data in whole_events(back)[:-1])
            self.assertEqual(text, plain.text())

    def test_nobody_comes_back(self):
        with self.server as server:
            away = self.open({**BODY, "max_tokens": LONG_TOKENS}, resume=SECONDS)
            away.read_events(3)
            request_id = head_of(away)["x-aioss-request-id"]
            cut(away)
            time.sleep(SECONDS + 1)
            wait_until(lambda: self.status(request_id, self.hers)[0] == 404, what="its end")
            # The only stream is free again.
            quick = {**BODY, "stream": False, "max_tokens": 3}
            self.assertEqual(server.post("/v1/completions", quick, self.hers)[0], 200)
            server.stop()
            (abort,) = [r for r in server.records() if r["type"] == "INFER_ABORT"]
            self.assertEqual(abort["body"]["cause"], "cancelled")
            tokens = abort["body"]["tokens_so_far"]
            self.assertGreater(tokens, 3, "nothing was made while the client was away")
            self.assertLess(tokens, LONG_TOKENS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
