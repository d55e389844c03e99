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


if __name__ == "__main__":
    unittest.main(verbosity=2)
