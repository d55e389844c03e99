"""Medians, percentiles and ratios with a 95 % bootstrap interval."""
import math
import random
import statistics


def interval(statistic, *samples, rounds=2000):
    """(value, low, high) of a statistic of one or more samples, each resampled by itself."""
    rng = random.Random(1)
    values = sorted(statistic(*(rng.choices(s, k=len(s)) for s in samples))
                    for _ in range(rounds))
    return statistic(*samples), values[int(rounds * 0.025)], values[int(rounds * 0.975)]


def median(values):
    return interval(statistics.median, list(values))


def percentile(values, percent):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median_ratio(pairs):
    """pairs: (ours, theirs). The median of ours/theirs and its 95 % bootstrap interval."""
    return median([a / b for a, b in pairs])


def show_ratio(pairs):
    middle, low, high = median_ratio(pairs)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"
