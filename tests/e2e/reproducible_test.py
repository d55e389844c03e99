"""Profile `reproducible` on real models: the same request gives the same bytes, alone, again,
beside seven others that start and stop at random, and with other chunk budgets.

AIOSS_LONG=1 runs every prompt length on both models; the quick form runs a cross-section."""
import hashlib
import json
import os
import pathlib
import random
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer  # noqa: E402

LONG = os.environ.get("AIOSS_LONG") == "1"
LENGTHS = (30, 155, 500, 1500) if LONG else (30, 500)
TOKENS = 24
WORDS = "proof of the record kept by a clerk who signs and seals what was said in court".split()


def ask(server, model, words, seed, temperature):
    rng = random.Random(words)
    prompt = " ".join(rng.choice(WORDS) for _ in range(words))
    status, _, answer = server.post("/v1/completions", {
        "model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": temperature,
        "seed": seed, "logprobs": 5, "ignore_eos": True})
    assert status == 200, answer
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
                "model": self.model, "prompt": f"Neighbour {rng.random()} " * rng.randrange(1, 60),
                "max_tokens": rng.randrange(1, 40), "temperature": 1})
            if status != 200:
                self.failed.append(answer)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        assert not self.failed, self.failed[0]


class Reproducible(unittest.TestCase):
    def cases(self):
        return [(words, seed, temperature) for words in LENGTHS
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
        with AiossServer(*flags, "--prefill-chunk", 64) as server:
            for case in self.cases():
                self.assertEqual(alone[case], ask(server, model, *case), f"chunks: {case}")
        self.assertGreater(len(set(alone.values())), len(LENGTHS))
        print(f"{model}: {len(alone)} requests equal, digest {digest.hexdigest()[:16]}")

    def test_smollm2(self):
        self.check(SMOLLM2)

    def test_gemma(self):
        self.check(GEMMA)


if __name__ == "__main__":
    unittest.main(verbosity=2)
