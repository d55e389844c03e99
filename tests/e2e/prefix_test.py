"""Prompts that begin alike, on real models: what is not computed again, and that in `reproducible`
not a byte of an answer depends on it: not in one that was loaded, not in one that forked, not in
one whose worker was killed in between, not in one of a server that was started again.
Usage: prefix_test.py"""
import concurrent.futures
import os
import pathlib
import random
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer, run  # noqa: E402

WORDS = ("the court keeps a record of every loan and of each client for many years because a judge "
         "may ask for them after all was paid back").split()
# Of Gemma's over its window of 512: its states cannot be cut where that is gone.
DOCUMENT_WORDS = {SMOLLM2: 300, GEMMA: 700}


def document(seed, words):
    dice = random.Random(seed)
    return " ".join(dice.choice(WORDS) for _ in range(words))


def body(model, prompt):
    return {"model": model, "prompt": prompt, "max_tokens": 12, "temperature": 0.8, "seed": 7,
            "ignore_eos": True}


class Prefixes(unittest.TestCase):
    def server(self, *flags):
        return AiossServer("--parallel", 4, "--ctx", 1536, "--threads", min(2, os.cpu_count()),
                           *flags)

    def ask(self, server, model, prompt):
        status, _, answer = server.post("/v1/completions", body(model, prompt))
        self.assertEqual(status, 200, answer)
        details = answer["usage"]["prompt_tokens_details"]
        return answer["choices"][0]["text"], details["cached_tokens"]

    def questions(self, model, seed, count):
        text = document(seed, DOCUMENT_WORDS[model])
        return [text + f"\nQuestion {n}: {WORDS[n]}?\nAnswer:" for n in range(count)]

    def check(self, model):
        alone, together = self.questions(model, 1, 2), self.questions(model, 2, 4)
        shared = DOCUMENT_WORDS[model] - 64
        with self.server("--profile", "reproducible", "--prefix-mib", 0) as server:
            want = {prompt: self.ask(server, model, prompt) for prompt in alone + together}
            self.assertEqual({cached for _, cached in want.values()}, {0})
        with self.server("--profile", "reproducible") as server:
            cached = []
            for prompt in alone + alone:
                text, tokens = self.ask(server, model, prompt)
                self.assertEqual(text, want[prompt][0])
                cached.append(tokens)
            self.assertEqual(cached[0], 0)
            self.assertGreater(cached[-1], shared)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda p: self.ask(server, model, p), together))
            for prompt, (text, _) in zip(together, answers):
                self.assertEqual(text, want[prompt][0])
            self.assertEqual(sum(tokens > shared for _, tokens in answers), 3, "computed once")
            for pid in server.worker_pids():
                os.kill(pid, signal.SIGKILL)
            text, tokens = self.ask(server, model, alone[1])
            self.assertEqual(text, want[alone[1]][0])
            self.assertGreater(tokens, shared, "the next worker has what the killed one computed")

    def check_restart(self, model, privacy, flags, is_there):
        """What was computed comes from the disk, or not; in clear it is never there."""
        question = self.questions(model, 4, 1)[0]
        common = ("--profile", "reproducible", "--privacy", privacy)
        with self.server(*common, "--prefix-mib", 0) as server:
            want = self.ask(server, model, question)[0]
        with self.server(*common, *flags) as server:
            self.ask(server, model, question)
            server.stop()
            files = [p for p in (server.ledger / "prefix").glob("s_*/*") if p.is_file()]
            self.assertEqual(len(files), 1 if is_there else 0)
            for path in files:
                self.assertNotIn(question.encode()[:64], path.read_bytes())
            server.start()
            text, tokens = self.ask(server, model, question)
            self.assertEqual(text, want)
            shared = DOCUMENT_WORDS[model] - 64
            self.assertEqual(tokens > shared, is_there, tokens)
            server.stop()
            erased = run("ledger", "erase", server.ledger, "--subject", "local/local", "--ground",
                         "a test")
            self.assertEqual(erased.returncode, 0, erased.stderr)
            left = [p for p in (server.ledger / "prefix").glob("s_*/*") if p.is_file()]
            self.assertEqual(left, [])
            server.start()
            self.assertEqual(self.ask(server, model, question), (want, 0))

    def test_smollm2_after_a_restart(self):
        self.check_restart(SMOLLM2, "sealed", (), True)

    def test_gemma_after_a_restart(self):
        self.check_restart(GEMMA, "commit", ("--prefix-disk", "on"), True)

    def test_commitments_alone_leave_nothing(self):
        self.check_restart(SMOLLM2, "commit", (), False)

    def test_smollm2(self):
        self.check(SMOLLM2)

    def test_gemma_whose_window_slides(self):
        self.check(GEMMA)

    def test_a_conversation_goes_on_with_what_was_said(self):
        with self.server("--speculation", "off") as server:
            messages = [{"role": "user", "content": document(3, 250) + " Tell me a long story."}]
            ask = {"model": SMOLLM2, "messages": messages, "max_tokens": 120, "temperature": 0,
                   "ignore_eos": True}
            _, _, first = server.post("/v1/chat/completions", ask)
            messages.append(first["choices"][0]["message"])
            messages.append({"role": "user", "content": "Go on."})
            _, _, second = server.post("/v1/chat/completions", ask)
            cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
            self.assertGreater(cached, first["usage"]["prompt_tokens"] + 60, "of the answer, too")


if __name__ == "__main__":
    unittest.main(verbosity=2)
