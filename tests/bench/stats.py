"""Medians of paired ratios with a bootstrap interval."""
import random
import statistics


def median_ratio(pairs, rounds=2000):
    """pairs: (ours, theirs). The median of ours/theirs and its 95 % bootstrap interval."""
    ratios = [a / b for a, b in pairs]
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(rounds))
    return (statistics.median(ratios), medians[int(rounds * 0.025)], medians[int(rounds * 0.975)])


def show_ratio(pairs):
    middle, low, high = median_ratio(pairs)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"
