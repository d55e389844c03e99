"""Engine switches under load: no request fails, no token is lost or doubled; a pin survives a
restart; what is refused says what to do. AIOSS_LONG=1: 500 switches instead of 50.

The engines are those that the binary has for models in GGUF: llama, the test engine, which stands
in for any model, and ik where it is built in."""
import itertools
import json
import os
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, run, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402

LONG = os.environ.get("AIOSS_LONG") == "1"
SWITCHES = 500 if LONG else 50
CROWDED_SWITCHES = 50 if LONG else 4
CLIENTS = 8
TOKENS = 120
ORDER = f"/admin/models/{SMOLLM2}/engine"


def state(server):
    status, _, page = server.get(f"/v1/models/{SMOLLM2}")
    assert status == 200, page
    return page["aioss"]


def engines(server):
    """What it has for this model: named by the refusal of one that it has not."""
    status, _, page = server.post(ORDER, {"engine": "nosuch"})
    assert status == 404, page
    return page["error"]["message"].split("there are: ")[1].split(", ")


def switch(server, order):
    """Its outcome and the reason."""
    status, _, page = server.post(ORDER, order)
    assert status == 200, page
    number = page["aioss"]["engine_switch"]["orders"]

    def over():
        now = state(server)["engine_switch"]
        assert now["orders"] == number, now
        return now if now["outcome"] or now["step"] == "waiting" else None
    return wait_until(over, seconds=120, what="the switch")


class Client(threading.Thread):
    """Streams one answer after the other, and counts what it gets."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.server, self.number, self.stop = server, number, stop
        self.answers, self.problems = 0, []

    def run(self):
        while not self.stop.is_set():
            try:
                self.one()
            except Exception as error:  # noqa: BLE001: a thread's end must be told
                self.problems.append(repr(error))
                return

    def one(self):
        body = {"model": SMOLLM2, "prompt": f"Story {self.number}.{self.answers}: Once upon a time",
                "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "stream": True,
                "logprobs": 0, "stream_options": {"include_usage": True}}
        stream = OpenStream(self.server, body)
        stream.read_to_end()
        events = stream.events()
        stream.close()
        if any("error" in event for event in events):
            self.problems.append(json.dumps(events[-1]))
            return
        tokens = sum(len((choice.get("logprobs") or {}).get("tokens") or [])
                     for event in events for choice in event.get("choices") or [])
        usage = [event["usage"] for event in events if event.get("usage")]
        if tokens != TOKENS or not usage or usage[-1]["completion_tokens"] != TOKENS:
            self.problems.append(f"{tokens} tokens of {TOKENS}, usage {usage[-1:]}")
        self.answers += 1


class EngineSwitches(unittest.TestCase):
    def serve(self, *flags, parallel=12, ctx=1024):
        return AiossServer("--fake-models", "--parallel", parallel, "--ctx", ctx, *flags)

    def test_streams_survive_many_switches(self):
        self.switch_under_load(SWITCHES, parallel=12)

    def test_streams_survive_switches_where_canaries_have_no_stream_left(self):
        self.switch_under_load(CROWDED_SWITCHES, parallel=CLIENTS)

    def switch_under_load(self, switches, parallel):
        with self.serve(parallel=parallel) as server:
            self.assertEqual(server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": "a", "max_tokens": 1})[0], 200)
            stop = threading.Event()
            clients = [Client(server, number, stop) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            names = [name for name in engines(server) if name in ("llama", "ik", "fake")]
            turns = itertools.cycle(name for name in ["fake", "ik", "llama"] if name in names)
            done = 0
            now = state(server)["engine"]
            try:
                while done < switches and not any(client.problems for client in clients):
                    name = next(turns)
                    if name == now:
                        continue
                    found = switch(server, {"engine": name})
                    self.assertEqual(found["outcome"], "done", found)
                    self.assertEqual(state(server)["engine"], name)
                    now, done = name, done + 1
            finally:
                stop.set()
                for client in clients:
                    client.join(300)
            self.assertEqual([client.problems for client in clients], [[]] * CLIENTS)
            self.assertEqual(done, switches)
            answers = sum(client.answers for client in clients)
            server.stop()
            types = [record["type"] for record in server.records()]
            self.assertEqual(types.count("INFER_ABORT"), 0)
            self.assertGreaterEqual(types.count("INFER_RESULT"), answers)
            moved = [r for r in server.records() if r["type"] == "DECISION"
                     and r["body"].get("reason") == "engine_switch"]
            self.assertTrue(moved, "nothing was moved")
            print(f"{done} switches between {names}, {answers} answers of {TOKENS} tokens, "
                  f"--parallel {parallel}", file=sys.stderr)

    def test_the_gap_that_a_client_sees(self):
        """With about 500 tokens of context. How long it is is told, not judged; that the stream
        moved is, in the middle of its answer."""
        with self.serve(parallel=6, ctx=4096) as server:
            self.assertEqual(server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": "a", "max_tokens": 1})[0], 200)
            self.assertEqual(state(server)["engine"], "llama")
            for there in ["ik", "llama"] if "ik" in engines(server) else ["fake"]:
                self.switch_under_one_stream(server, there)

    def switch_under_one_stream(self, server, there):
        away = state(server)["engine"]
        body = {"model": SMOLLM2, "prompt": "The clerk keeps a ledger. " * 80,
                "max_tokens": 3000, "temperature": 0, "ignore_eos": True, "stream": True}
        stream = OpenStream(server, body)
        stream.read_events(5)
        times, over = [], threading.Event()

        def read():
            while not over.is_set() and not stream.data.endswith(b"\r\n0\r\n\r\n"):
                stream.read_some()
                times.append(time.monotonic())
        reader = threading.Thread(target=read)
        reader.start()
        found = switch(server, {"engine": there})
        self.assertEqual(found["outcome"], "done", found)
        self.assertIn("streams moved: 1", found["reason"])
        heard = len(times)
        wait_until(lambda: len(times) > heard + 5 or not reader.is_alive(),
                   what="the answer to go on")
        over.set()
        reader.join(300)
        self.assertNotIn(b'"error"', stream.data)
        stream.close()
        gap = max(b - a for a, b in zip(times, times[1:]))
        print(f"{away} to {there}: the longest gap was {gap:.3f} s ({found['reason']})",
              file=sys.stderr)

    def test_orders_on_the_command_line(self):
        with self.serve() as server:
            def order(*arguments):
                return run("engine", *arguments, "--port", server.port)
            unknown = order("switch", SMOLLM2, "nosuch")
            self.assertEqual(unknown.returncode, 3, unknown.stderr)
            self.assertIn("there are: ", unknown.stderr)
            self.assertIn("llama", unknown.stderr)
            self.assertNotEqual(order("rollback", SMOLLM2).returncode, 0)
            self.assertEqual(server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": "a", "max_tokens": 1})[0], 200)
            there = order("switch", SMOLLM2, "fake")
            self.assertEqual(there.returncode, 0, there.stderr)
            self.assertIn("'fake'", there.stderr)
            self.assertEqual(state(server)["engine"], "fake")
            self.assertEqual(order("rollback", SMOLLM2).returncode, 0)
            self.assertEqual(state(server)["engine"], "llama")
            self.assertEqual(order("pin", SMOLLM2, "fake").returncode, 0)
            server.stop()
            server.start()
            self.assertEqual(state(server)["engine"], "fake")
            self.assertEqual(order("pin", SMOLLM2, "--off").returncode, 0)
            server.stop()
            records = server.records()
            actions = [(r["body"]["action"], r["body"]["outcome"]) for r in records
                       if r["type"] == "ADMIN_ACTION"]
            self.assertEqual(actions, [(f"engine_{what}", "ordered") for what in (
                "switch", "rollback", "switch", "rollback", "pin", "unpin")])
            refused = [(r["body"]["reason"], r["body"].get("details")) for r in records
                       if r["type"] == "DECISION" and r["body"]["kind"] == "engine_switch"
                       and r["body"]["outcome"] == "refused"]
            self.assertEqual(sorted(reason for reason, _ in refused), ["conflict", "not_found"])
            self.assertIn(("not_found", ["engine nosuch"]), refused)
            unpinned = [r["body"]["details"] for r in records if r["type"] == "DECISION"
                        and r["body"].get("reason") == "unpinned"]
            self.assertEqual(unpinned, [["engine fake"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
