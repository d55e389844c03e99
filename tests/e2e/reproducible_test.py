"""Profile `reproducible` on real models: the same request gives the same bytes, alone, again,
beside seven others that start and stop at random, and with other chunk budgets.

Prompts are token ids, so that their lengths are exact: with 500, decoding crosses 512. AIOSS_LONG=1
adds 155 and 1,500 tokens and more chunk budgets."""
import hashlib
import json
import os
import pathlib
import random
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer, wait_until  # noqa: E402

LONG = os.environ.get("AIOSS_LONG") == "1"
LENGTHS = (30, 155, 500, 1500) if LONG else (30, 500)
CHUNKS = (64, 128, 320) if LONG else (64,)
TOKENS = 16


def ask(server, model, length, seed, temperature):
    rng = random.Random(length)
    prompt = [rng.randrange(1000, 30000) for _ in range(length)]
    status, _, answer = server.post("/v1/completions", {
        "model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": temperature,
        "seed": seed, "logprobs": 5, "ignore_eos": True})
    assert status == 200, answer
    assert answer["usage"]["prompt_tokens"] == length, answer["usage"]
    assert answer["usage"]["completion_tokens"] == TOKENS, answer["usage"]
    choice = answer["choices"][0]
    return json.dumps([choice["text"], choice["logprobs"]], sort_keys=True)


class Neighbours:
    """Seven clients that ask for something else, each for a random time, until told to stop."""

    def __init__(self, server, model):
        self.server, self.model, self.stopping, self.failed = server, model, False, []
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(7)]

    def work(self, number):
        rng = random.Random(number)
        while not self.stopping:
            status, _, answer = self.server.post("/v1/completions", {
                "model": self.model, "prompt": f"Neighbour {rng.random()} " * rng.randrange(1, 12),
                "max_tokens": rng.randrange(1, 24), "temperature": 1})
            if status != 200:
                self.failed.append(answer)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.server.get("/health")[2]["running"] >= 4, what="neighbours")

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        assert not self.failed, self.failed[0]


class Reproducible(unittest.TestCase):
    def cases(self):
        return [(length, seed, temperature) for length in LENGTHS
                for seed, temperature in ((1, 0), (7, 0.9))]

    def check(self, model):
        flags = ("--profile", "reproducible", "--parallel", 8, "--ctx", 2048)
        alone, digest = {}, hashlib.sha256()
        with AiossServer(*flags) as server:
            for case in self.cases():
                alone[case] = ask(server, model, *case)
                digest.update(alone[case].encode())
                self.assertEqual(alone[case], ask(server, model, *case), f"again: {case}")
            with Neighbours(server, model):
                for case in self.cases():
                    self.assertEqual(alone[case], ask(server, model, *case), f"beside: {case}")
        for chunk in CHUNKS:
            with AiossServer(*flags, "--prefill-chunk", chunk) as server:
                for case in self.cases():
                    self.assertEqual(alone[case], ask(server, model, *case), f"{chunk}: {case}")
        self.assertGreater(len(set(alone.values())), len(LENGTHS))
        print(f"{model}: {len(alone)} requests equal, digest {digest.hexdigest()[:16]}")

    def test_smollm2(self):
        self.check(SMOLLM2)

    def test_gemma(self):
        self.check(GEMMA)


if __name__ == "__main__":
    unittest.main(verbosity=2)
