"""Engine switches under load: no request fails, no token is lost or doubled; a pin survives a
restart; what is refused says what to do. AIOSS_LONG=1: 500 switches instead of 50.

The engines are those that the binary has for models in GGUF: llama, the test engine, which stands
in for any model, and ik, which every binary for x86-64 has. What the test engine says is a hash of
all that was said before, so that its tokens prove those of the others, too."""
import itertools
import json
import os
import pathlib
import sys
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
sys.path.insert(0, str(ROOT / "tools"))
from aioss_documents import commitment_to  # noqa: E402
from aioss_server import MODELS, SMOLLM2, AiossServer, run, wait_until  # noqa: E402
from fake_tokens import Vocabulary  # noqa: E402
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


def engines():
    """Those of the binary, in the order in which they take turns."""
    listed = run("engine", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    there = [one["name"] for one in json.loads(listed.stdout) if one["problem"] is None]
    assert "ik" in there or "AIOSS_HAS_IK" not in os.environ, f"ik is not built in: {there}"
    return [name for name in ("fake", "ik", "llama") if name in there]


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


def receipt_of(server, request):
    """None: another one is made, or so many were that it must wait."""
    status, _, receipt = server.get(f"/v1/receipts/{request}")
    assert status in (200, 429), receipt
    return receipt if status == 200 else None


class Client(threading.Thread):
    """Streams one answer after the other, and looks at what it gets."""

    def __init__(self, server, number, stop, vocabulary):
        super().__init__()
        self.server, self.number, self.stop, self.vocabulary = server, number, stop, vocabulary
        self.begin = vocabulary.encode("Once", " upon", " a", " time")
        self.answers, self.problems = {}, []  # text by request
        self.proven = 0  # answers that the test engine has gone on with

    def run(self):
        while not self.stop.is_set() and not self.problems:
            try:
                self.one()
            except Exception as error:  # noqa: BLE001: a thread's end must be told
                self.problems.append(repr(error))

    def one(self):
        prompt = [1000 + self.number, 2000 + len(self.answers), *self.begin]
        body = {"model": SMOLLM2, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0,
                "ignore_eos": True, "stream": True, "logprobs": 0,
                "stream_options": {"include_usage": True}}
        stream = OpenStream(self.server, body)
        stream.read_to_end()
        events, text = stream.events(), stream.text()
        stream.close()
        if any("error" in event for event in events):
            self.problems.append(json.dumps(events[-1]))
            return
        logged = [choice["logprobs"] for event in events for choice in event["choices"]
                  if choice["logprobs"]]
        tokens = self.vocabulary.decode(token for one in logged for token in one["tokens"])
        made, wrong = self.vocabulary.judge(
            prompt, tokens, [logprob for one in logged for logprob in one["token_logprobs"]])
        if wrong is not None:
            self.problems.append(f"token {wrong} does not follow from those that came before it")
        usage = events[-1]["usage"]
        if len(tokens) != TOKENS or usage["completion_tokens"] != TOKENS:
            self.problems.append(f"{len(tokens)} tokens of {TOKENS}, usage {usage}")
        if text != self.vocabulary.text(tokens):
            self.problems.append(f"{text!r} is not what its tokens say")
        self.proven += made != list(range(len(made)))
        self.answers[events[-1]["aioss"]["request_id"]] = text


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
            vocabulary = Vocabulary(f"{MODELS}/{SMOLLM2}.gguf")
            clients = [Client(server, number, stop, vocabulary) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            names, done = engines(), 0
            turns = itertools.cycle(names)
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
            self.assertGreater(sum(client.proven for client in clients), 0)
            answers = {request: text for client in clients
                       for request, text in client.answers.items()}
            self.check_records(server, answers)
            print(f"{done} switches between {names}, {len(answers)} answers of {TOKENS} tokens, "
                  f"{sum(client.proven for client in clients)} of them by the test engine after "
                  f"another, --parallel {parallel}", file=sys.stderr)

    def check_records(self, server, answers):
        salts = {}
        for request in answers:
            receipt = wait_until(lambda: receipt_of(server, request), what="a receipt")
            (salts[request],) = receipt["salts"]["outputs"]
        server.stop()
        records = server.records()
        self.assertNotIn("INFER_ABORT", [record["type"] for record in records])
        results = {record["body"]["request_id"]: record["body"]["choices"] for record in records
                   if record["type"] == "INFER_RESULT"}
        for request, text in answers.items():
            (choice,) = results[request]
            self.assertEqual(choice["completion_tokens"], TOKENS)
            made = commitment_to(text.encode(), salts[request])
            self.assertEqual(choice["output_commitment"], made.hex())
        moved = [r for r in records if r["type"] == "DECISION"
                 and r["body"].get("reason") == "engine_switch"]
        self.assertTrue(moved, "nothing was moved")

    def test_the_gap_that_a_client_sees(self):
        """With about 500 tokens of context. How long it is is told, not judged; that the stream
        moved is, in the middle of its answer."""
        with self.serve(parallel=6, ctx=4096) as server:
            self.assertEqual(server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": "a", "max_tokens": 1})[0], 200)
            self.assertEqual(state(server)["engine"], "llama")
            for there in ["ik", "llama"] if "ik" in engines() else ["fake"]:
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
