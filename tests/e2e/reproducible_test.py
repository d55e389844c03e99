"""Profile `reproducible` on real models, and on one of random weights in F16: the same request
gives the same bytes of text and log probabilities, alone, again, beside seven others that start and
stop at random, and with other chunk budgets.

Prompts are token ids, so that their lengths are exact: with 500, decoding crosses 512. `--long` or
AIOSS_LONG=1 adds 155 and 1,500 tokens, more chunk budgets, neighbours under another budget, and a
look at profile `fast`, which promises nothing and shows that such a run can see a difference.

That neighbours share graphs is counted by the engine's conformance suite (graphs.*). Here it is
seen from outside: tokens of theirs arrive between the tokens of the request that is compared."""
import hashlib
import http.client
import json
import os
import pathlib
import random
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer, wait_until  # noqa: E402
from synthetic_model import synthetic_model  # noqa: E402

LONG = "--long" in sys.argv or os.environ.get("AIOSS_LONG") == "1"
sys.argv = [argument for argument in sys.argv if argument != "--long"]
LENGTHS = (30, 155, 500, 1500) if LONG else (30, 500)
# Compared with the default, 512. 100 is no multiple of the grid; 1,024 is two micro-batches.
CHUNKS = (64, 100, 320, 1024) if LONG else (64,)
TOKENS = 16
NEIGHBOURS = 7
WEIGHTS_MIB = {"F16": 96, "IQ4_NL": 32}  # some 50 million numbers
# Tokens of neighbours to one of the request, while it decodes: 7 if all of them always decode. On
# two cores it is above 6.
COMPANY_MIN = 4
GREEDY, SEEDED = (1, 0), (7, 0.9)  # seed, temperature


def prompt_of(rng, length):
    return [rng.randrange(1000, 30000) for _ in range(length)]


class Stream:
    """One streamed completion, event by event. close() before its end is a client that is gone."""

    def __init__(self, server, body):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        self.connection.request(
            "POST", "/v1/completions",
            json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}),
            {"Content-Type": "application/json"})
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise AssertionError(f"{self.answer.status} {self.answer.read().decode()}")

    def events(self):
        for line in self.answer:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:], parse_float=str)  # the digits as they were sent
            if "error" in event:
                raise AssertionError(event)
            yield event

    def close(self):
        self.connection.close()


class Answer:
    """What is compared, and when its first and last token arrived."""

    def __init__(self, server, model, length, seed, temperature):
        stream = Stream(server, {
            "model": model, "prompt": prompt_of(random.Random(length), length),
            "max_tokens": TOKENS, "temperature": temperature, "seed": seed, "logprobs": 5,
            "ignore_eos": True})
        text, logprobs, usage, self.times = "", {}, None, []
        for event in stream.events():
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                text += choice["text"]
                for key, values in (choice.get("logprobs") or {}).items():
                    logprobs.setdefault(key, []).extend(values)
                self.times.append(time.monotonic())
        stream.close()
        assert usage["prompt_tokens"] == length and usage["completion_tokens"] == TOKENS, usage
        assert len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == TOKENS, logprobs
        self.bytes = json.dumps([text, logprobs], sort_keys=True).encode()


class Neighbours:
    """Seven clients that ask for something else. Prompts and answers are of random lengths, and
    every fourth client goes away in the middle, so that at any time some start and some stop."""

    def __init__(self, server, model):
        self.server, self.model, self.stopping, self.failed = server, model, False, []
        self.times, self.started, self.left = [], 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(NEIGHBOURS)]

    def work(self, number):
        rng = random.Random(number)
        try:
            while not self.stopping:
                self.one(rng, rng.randrange(200, 600) if number == 0 else rng.randrange(2, 60))
        except Exception as error:  # shown at the end
            self.failed.append(error)

    def one(self, rng, length):
        tokens = rng.randrange(1, 40)
        leaves_after = rng.randrange(1, tokens + 1) if rng.randrange(4) == 0 else None
        stream = Stream(self.server, {
            "model": self.model, "prompt": prompt_of(rng, length), "max_tokens": tokens,
            "temperature": 1, "ignore_eos": True})
        with self.lock:
            self.started += 1
        seen = 0
        for event in stream.events():
            if not event["choices"]:
                continue
            seen += 1
            with self.lock:
                self.times.append(time.monotonic())
            if seen == leaves_after:
                with self.lock:
                    self.left += 1
                break
        stream.close()

    def company(self, answer):
        """Tokens of neighbours that came while this answer was decoded, to each of its own."""
        first, last = answer.times[0], answer.times[-1]
        with self.lock:
            count = sum(first <= t <= last for t in self.times)
        return count / (TOKENS - 1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.server.get("/health")[2]["running"] >= 4, what="neighbours")
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        if self.failed:
            raise self.failed[0]


class Reproducible(unittest.TestCase):
    models = None  # the test models' folder
    lengths = LENGTHS

    def cases(self):
        return [(length, *drawn) for length in self.lengths for drawn in (GREEDY, SEEDED)]

    def crossing(self):
        """The cases of 500 tokens, whose decoding crosses 512."""
        return [case for case in self.cases() if case[0] == 500]

    def server(self, *flags, profile="reproducible"):
        return AiossServer("--profile", profile, "--parallel", NEIGHBOURS + 1, "--ctx", 2048,
                           *flags, models=self.models)

    def ask(self, server, model, case, how):
        start = time.monotonic()
        answer = Answer(server, model, *case)
        self.seconds.setdefault((how, case[0]), 0)
        self.seconds[how, case[0]] += time.monotonic() - start
        return answer

    def same(self, server, model, case, how):
        answer = self.ask(server, model, case, how)
        self.assertEqual(self.alone[case], answer.bytes,
                         f"{model}, {how}: length, seed, temperature = {case}")
        return answer

    def beside(self, server, model, how, cases):
        with Neighbours(server, model) as neighbours:
            company = [neighbours.company(self.same(server, model, case, how)) for case in cases]
        print(f"{model}, {how}: {neighbours.started} neighbours started, {neighbours.left} left; "
              "their tokens to one of ours: " + " ".join(f"{c:.1f}" for c in company))
        self.assertGreaterEqual(sum(company) / len(company), COMPANY_MIN, "too little company")
        self.assertGreater(neighbours.started, NEIGHBOURS)
        self.assertGreater(neighbours.left, 0)

    def check(self, model):
        self.alone, self.seconds, digest = {}, {}, hashlib.sha256()
        with self.server() as server:
            for case in self.cases():
                self.alone[case] = self.ask(server, model, case, "alone").bytes
                digest.update(self.alone[case])
                self.same(server, model, case, "again")
            self.beside(server, model, "beside", self.cases())
            for case in self.cases():
                self.same(server, model, case, "after")
        for chunk in CHUNKS:
            with self.server("--prefill-chunk", chunk) as server:
                for case in self.cases():
                    self.same(server, model, case, f"chunk {chunk}")
                if LONG and chunk == 100:
                    self.beside(server, model, f"chunk {chunk}, beside", self.crossing())
        # Other lengths, and drawing instead of taking the best: other answers.
        self.assertEqual(len(set(self.alone.values())), len(self.cases()))
        if LONG:
            self.look_at_fast(model)
        for (how, length), seconds in self.seconds.items():
            print(f"  {how}, {length} tokens, greedy and seeded: {seconds:.1f} s")
        print(f"{model}: {len(self.alone)} requests equal in every way, "
              f"digest {digest.hexdigest()[:16]}", flush=True)

    def look_at_fast(self, model):
        with self.server(profile="fast") as server:
            alone = {case: Answer(server, model, *case).bytes for case in self.crossing()}
            with Neighbours(server, model):
                other = sum(Answer(server, model, *case).bytes != alone[case] for case in alone)
        print(f"{model}: in profile fast {other} of {len(alone)} are other beside neighbours")

    def test_smollm2(self):
        self.check(SMOLLM2)

    def test_gemma(self):
        self.check(GEMMA)

    def check_weights_in(self, kind):
        """Of which llamafile's products have other bits from two columns on."""
        self.lengths = LENGTHS if LONG else (30,)
        with tempfile.TemporaryDirectory() as self.models:
            os.symlink(synthetic_model(WEIGHTS_MIB[kind], kind), f"{self.models}/{kind}.gguf")
            self.check(kind)

    def test_weights_in_f16(self):
        self.check_weights_in("F16")

    def test_weights_in_iq4_nl(self):
        self.check_weights_in("IQ4_NL")


if __name__ == "__main__":
    unittest.main(verbosity=2)
