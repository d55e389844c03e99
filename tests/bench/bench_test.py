"""The benchmark's own arithmetic: a figure that is judged wrongly is worse than none."""
import json
import pathlib
import statistics
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import client  # noqa: E402
import figures  # noqa: E402
import models_plan  # noqa: E402
import models_shapes  # noqa: E402
import serve  # noqa: E402
import serve_kills  # noqa: E402
import stats  # noqa: E402


class Statistics(unittest.TestCase):
    def test_percentiles_are_nearest_ranks(self):
        values = list(range(1, 101))
        self.assertEqual(stats.percentile(values, 99), 99)
        self.assertEqual(stats.percentile(values, 95), 95)
        self.assertEqual(stats.percentile([7], 99), 7)
        self.assertEqual(stats.percentile([3, 1, 2], 100), 3)

    def test_intervals_hold_the_value(self):
        value, low, high = stats.median(range(50))
        self.assertEqual(value, 24.5)
        self.assertTrue(10 < low < value < high < 40)
        self.assertEqual(stats.median_ratio([(3, 2)] * 4), (1.5, 1.5, 1.5))

    def test_samples_are_resampled_by_themselves(self):
        difference = stats.interval(
            lambda a, b: statistics.mean(a) - statistics.mean(b), [5, 5, 5], [1, 3])
        self.assertEqual(difference, (3, 2, 4))


class Goals(unittest.TestCase):
    def test_the_whole_interval_must_reach_it(self):
        at_most, at_least = figures.Goal(0.35), figures.Goal(1.5, at_least=True)
        self.assertEqual(at_most.verdict(0.3, 0.2, 0.35), "reached")
        self.assertEqual(at_most.verdict(0.3, 0.2, 0.36), "reached, but not by the whole interval")
        self.assertEqual(at_most.verdict(0.36, 0.2, 0.4), "missed")
        self.assertEqual(at_least.verdict(1.6, 1.5, 1.7), "reached")
        self.assertEqual(at_least.verdict(1.6, 1.4, 1.7), "reached, but not by the whole interval")
        self.assertEqual(at_least.verdict(1.4, 1.3, 1.7), "missed")

    def test_figures_are_appended(self):
        with tempfile.TemporaryDirectory() as folder:
            args = types.SimpleNamespace(json=f"{folder}/figures")
            for value in (19, 21):
                figures.show(args, "fake", "cost", (value,) * 3, figures.Goal(20, unit=" µs"), 1)
            lines = pathlib.Path(args.json).read_text().splitlines()
        self.assertEqual([json.loads(line)["verdict"] for line in lines], ["reached", "missed"])


class Streams(unittest.TestCase):
    def test_only_gaps_of_the_time_asked_for_count(self):
        answer = client.Answer()
        answer.events = [0, 1, 3, 6, 10, 15]
        self.assertEqual(serve.gaps_between(answer, 2, 7), [2, 3, 4])

    def test_every_stream_must_have_got_on(self):
        before = [(1, 5), (2, 0)]
        self.assertFalse(serve_kills.got_on(before, [(1, 6), (2, 0)]))
        self.assertFalse(serve_kills.got_on(before, [(1, 6), None]))
        self.assertTrue(serve_kills.got_on(before, [(1, 6), (3, 0)]))


class Plans(unittest.TestCase):
    def test_the_worst_is_furthest_from_one_either_way(self):
        rows = [{"ratio": ratio} for ratio in (1.01, 0.9, 1.08)]
        self.assertEqual(models_plan.worst(rows)["ratio"], 0.9)
        self.assertEqual(models_plan.ratio_of(3, 2), 1.5)
        self.assertEqual(models_plan.ratio_of(3, 0), float("inf"))

    def test_what_the_kernel_says_is_added_up(self):
        status = "VmRSS:\t 900 kB\nRssAnon:\t     100 kB\nRssFile:\t 700 kB\nRssShmem:\t 20 kB\n"
        self.assertEqual(models_plan.private_bytes(status), 120 * 1024)
        smaps = ("7f00-7f10 r--s 0 08:01 7 /models/a.gguf\nRss: 9 kB\nReferenced: 5 kB\n"
                 "7f20-7f30 rw-p 0 00:00 0\nReferenced: 3 kB\n"
                 "7f40-7f50 r--s 0 08:01 7 /models/a.gguf\nReferenced: 2 kB\n")
        self.assertEqual(models_plan.mapped_bytes(smaps, "a"), 7 * 1024)

    def test_prompts_fit_their_contexts(self):
        for _, _, context in models_plan.sessions():
            self.assertLess(models_plan.prompt_tokens(context), context - 24)

    def test_a_tight_limit_holds_each_and_not_both(self):
        for needs in ((5, 9), (9, 5), (7, 7)):
            self.assertGreaterEqual(models_shapes.tight_limit(needs), max(needs))
            self.assertLess(models_shapes.tight_limit(needs), sum(needs))


if __name__ == "__main__":
    unittest.main(verbosity=2)
