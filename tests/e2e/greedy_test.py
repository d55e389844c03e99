"""Greedy answers of SmolLM2 through the whole product equal llama.cpp's own, token by token, on the
prompts of tests/reference: the reference program uses llama.h alone.
Usage: greedy_test.py PROGRAM"""
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from aioss_server import MODELS, SMOLLM2, AiossServer  # noqa: E402

REFERENCE = sys.argv.pop(1)
PROMPTS = ROOT / "tests" / "reference" / "prompts.txt"
TOKENS = 32 if os.environ.get("AIOSS_LONG") == "1" else 16
THREADS = min(2, os.cpu_count())


def prompts():
    return [p for p in PROMPTS.read_text().splitlines() if p and not p.startswith("#")]


def reference(*flags):
    """For each prompt the list of (id, bytes) that llama.cpp answers."""
    out = subprocess.run(
        [REFERENCE, f"{MODELS}/{SMOLLM2}.gguf", str(PROMPTS), str(TOKENS), "--chat", "--threads",
         str(THREADS), *flags], capture_output=True, text=True, check=True).stdout
    answers = []
    for line in out.split("\n")[:-1]:
        pairs = [token.split(":") for token in line.split()]
        answers.append([(int(i), bytes.fromhex(b)) for i, b in pairs])
    return answers


class Greedy(unittest.TestCase):
    def compare(self, profile, *flags):
        expected = reference(*flags)
        self.assertEqual(len(expected), len(prompts()))
        self.assertGreaterEqual(len(expected), 20)
        # Without drafts: calls of several tokens have other bits than llama.cpp one by one.
        with AiossServer("--profile", profile, "--parallel", 1, "--ctx", 2048, "--threads",
                         THREADS, "--speculation", "off") as server:
            for prompt, tokens in zip(prompts(), expected):
                status, _, answer = server.post("/v1/chat/completions", {
                    "model": SMOLLM2, "messages": [{"role": "user", "content": prompt}],
                    "max_tokens": TOKENS, "temperature": 0, "logprobs": True})
                self.assertEqual(status, 200, answer)
                choice = answer["choices"][0]
                content = (choice["logprobs"] or {}).get("content") or []
                got = [bytes(t["bytes"]) for t in content]
                self.assertEqual(got, [b for _, b in tokens], f"{profile}: {prompt}")
                text = b"".join(got).decode(errors="replace")
                self.assertEqual(choice["message"]["content"], text)

    def test_fast(self):
        self.compare("fast")

    def test_reproducible(self):
        self.compare("reproducible", "--reproducible")


if __name__ == "__main__":
    unittest.main(verbosity=2)
