"""Figures that have a goal: printed with their interval, judged, kept for machines."""
import json
import time


class Goal:
    def __init__(self, limit, at_least=False, unit=""):
        self.limit, self.at_least, self.unit = limit, at_least, unit

    def __str__(self):
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{self.unit}"

    def holds(self, value):
        return value >= self.limit if self.at_least else value <= self.limit

    def verdict(self, value, low, high):
        if not self.holds(value):
            return "missed"
        if self.holds(low) and self.holds(high):
            return "reached"
        return "reached, but not by the whole interval"


def show(args, model, what, interval, goal=None, samples=0):
    """One figure: (value, low, high). With --json FILE it is appended there as one line."""
    value, low, high = interval
    unit = goal.unit if goal else ""
    line = f"{model}, {what}: {value:.3f}{unit} [{low:.3f}, {high:.3f}]"
    if samples:
        line += f", {samples} samples"
    if goal:
        line += f"; goal {goal}: {goal.verdict(*interval)}"
    print(line, flush=True)
    if args.json:
        record = {"time": int(time.time()), "model": model, "figure": what, "value": value,
                  "low": low, "high": high, "unit": unit.strip(), "samples": samples}
        if goal:
            record |= {"goal": str(goal), "verdict": goal.verdict(*interval)}
        with open(args.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def title(text):
    print(f"\n### {text}\n", flush=True)


def progress(text):
    print(f"  … {text}", flush=True)
