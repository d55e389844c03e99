"""Speculation on a real model: a greedy copy of what stands in the prompt comes out right, in a
fraction of the calls. Verified in batches, a near tie may turn in profile `fast`; the words of a
copy are no near ties.
Usage: speculation_test.py"""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import SMOLLM2, AiossServer, wait_until  # noqa: E402

PASSAGE = (
    "The committee met on the third of March to hear the appeal of the harbour authority. Mrs. "
    "Okafor read the minutes of the last session, which were approved without a change. The clerk "
    "then presented the invoices of the dredging company, 41,250 for the northern basin and "
    "18,900 for the slipway, and asked whether the second had been ordered at all. Nobody could "
    "say. It was decided to write to the company before the end of the week.")
PROMPT = (f"Repeat the following text exactly.\n\nText:\nDocument 0.\n{PASSAGE}\n\n"
          "Copy of the text:\nDocument 0.\n")
TOKENS = 60


def metric(server, name):
    _, _, text = server.get("/metrics")
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


class Speculation(unittest.TestCase):
    def ask(self, *flags):
        """(text, drafted tokens, accepted ones) of a greedy answer that repeats its prompt."""
        with AiossServer("--parallel", 2, "--ctx", 1024, "--threads", min(2, os.cpu_count()),
                         *flags) as server:
            status, _, answer = server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0,
                "ignore_eos": True})
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["usage"]["completion_tokens"], TOKENS)
            self.assertEqual(answer["choices"][0]["finish_reason"], "length")
            wait_until(lambda: metric(server, "aioss_worker_tokens_generated") >= TOKENS,
                       seconds=10, what="the worker's last word on it")
            return (answer["choices"][0]["text"], metric(server, "aioss_worker_tokens_drafted"),
                    metric(server, "aioss_worker_tokens_accepted"))

    def test_a_copy_is_right_and_was_drafted(self):
        # Whether drafts pay is measured: on a machine that others use too, not each time.
        for _ in range(3):
            text, drafted, accepted = self.ask()
            self.assertTrue(PASSAGE.startswith(text), text)
            if accepted > TOKENS / 4:
                break
        self.assertGreater(accepted, TOKENS / 4)
        self.assertGreater(accepted, drafted / 2)

    def test_nothing_is_drafted_where_it_is_off(self):
        off, drafted, _ = self.ask("--speculation", "off")
        self.assertEqual(drafted, 0)
        self.assertTrue(PASSAGE.startswith(off), off)
        _, drafted, _ = self.ask("--profile", "reproducible")
        self.assertEqual(drafted, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
