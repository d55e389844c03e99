"""`./dev bench models-plan`: what was planned for a model against what the kernel then counts of
its worker at its highest: RssAnon + RssShmem, sampled while it works, and those pages of the mapped
file that it looks at. Real models, and synthetic ones of other shapes; --model narrows it down."""
import concurrent.futures
import json
import pathlib
import re
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import client
import figures
import servers
from common import synthetic
from figures import Goal

KV_TYPES = ("f16", "q8_0")
SEQUENCES = (1, 4)
CONTEXTS = (2048, 8192)
SHAPES = ((128, "Q8_0"), (512, "Q4_0"), (2048, "Q4_0"))  # MiB, type
SYNTHETIC_CONTEXTS = (256, 1024)  # they are larger, and compute longer
# Prompts fill contexts, because KV takes memory only where a token has come to; but for the answer.
LEFT_TOKENS = 40
SAMPLE_SECONDS = 0.02
TOLERANCE = 0.05


def ratio_of(planned, measured):
    """Planned ÷ measured; at least one of them is not zero."""
    return planned / measured if measured else float("inf")


def worst(rows):
    """The row whose ratio is furthest from 1, either way."""
    return max(rows, key=lambda row: abs(row["ratio"] - 1))


def prompt_tokens(context):
    return context - LEFT_TOKENS


def private_bytes(status):
    """RssAnon + RssShmem of the text of /proc/PID/status."""
    fields = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB$", status, re.M))
    return 1024 * (int(fields.get("RssAnon", 0)) + int(fields.get("RssShmem", 0)))


def mapped_bytes(smaps, name):
    """Pages of the mapped file of that name that were looked at since clear_refs."""
    used, inside = 0, False
    for line in smaps.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = name in line
        elif inside and line.startswith("Referenced:"):
            used += int(line.split()[1]) * 1024
    return used


class Peak(threading.Thread):
    """The highest private_bytes() of a process while it is watched."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.value, self.done = pathlib.Path(f"/proc/{pid}/status"), 0, False

    def run(self):
        while not self.done:
            self.value = max(self.value, private_bytes(self.path.read_text()))
            time.sleep(SAMPLE_SECONDS)

    def stop(self):
        self.done = True
        self.join()
        return self.value


def fill(server, name, sequences, tokens):
    """Every sequence at once. Token numbers, so that the prompt is as long as wanted."""
    def ask(number):
        prompt = [300 + (number * 7919 + i * 104729) % 40000 for i in range(tokens)]
        answer = client.complete(server.port, {
            "model": name, "prompt": prompt, "max_tokens": 24, "temperature": 0,
            "ignore_eos": True}, timeout=3600)
        if answer.error:
            raise RuntimeError(f"{name} did not answer: {answer.error}")
    with concurrent.futures.ThreadPoolExecutor(sequences) as pool:
        list(pool.map(ask, range(sequences)))


def planned_bytes(server, name):
    query = urllib.parse.urlencode({"model": name})
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/admin/plan?{query}",
                                timeout=120) as answer:
        return json.load(answer)["bytes"]["committed"]


def measure(args, file, kv_type, sequences, context):
    """One row: a server of its own, that serves nothing else."""
    with tempfile.TemporaryDirectory(prefix="aioss-bench-plan-") as folder:
        (pathlib.Path(folder) / file.name).symlink_to(file)
        with servers.start_aioss(args.aioss, folder, sequences, context, args.threads, args.profile,
                                 ("--kv-type", kv_type, "--prefix-mib", 0, "--spill-mib", 0,
                                  # Rows for drafts are touched only where drafts pay.
                                  "--speculation", "off")) as server:
            server.wait_listening()
            fill(server, file.stem, 1, 8)
            worker = servers.descendants(server.process.pid)[1]
            watch = Peak(worker)
            watch.start()
            fill(server, file.stem, sequences, prompt_tokens(context))
            pathlib.Path(f"/proc/{worker}/clear_refs").write_text("1")
            fill(server, file.stem, sequences, 64)  # looks at all weights
            mapped = mapped_bytes(pathlib.Path(f"/proc/{worker}/smaps").read_text(), file.stem)
            measured = watch.stop() + mapped
            planned = planned_bytes(server, file.stem)
    return {"model": file.stem, "kv": kv_type, "sequences": sequences, "context": context,
            "planned": planned, "measured": measured, "ratio": ratio_of(planned, measured)}


def row_text(row):
    return (f"| {row['model']} | {row['kv']} | {row['sequences']} | {row['context']} | "
            f"{row['planned'] / 2**20:.1f} | {row['measured'] / 2**20:.1f} | {row['ratio']:.3f} |")


def sessions(contexts=CONTEXTS):
    return [(kv_type, sequences, context) for kv_type in KV_TYPES for sequences in SEQUENCES
            for context in contexts]


def bench_plan(args, peer, files):
    del peer
    if not args.model:
        files = [*files, *(synthetic(args, mib, kind) for mib, kind in SHAPES)]
    figures.title("planned against measured peak")
    print("| model | KV | sequences | context | planned MiB | measured MiB | ratio |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for file in files:
        is_synthetic = file.stem.startswith("synthetic")
        for session in sessions(SYNTHETIC_CONTEXTS if is_synthetic else CONTEXTS):
            rows.append(measure(args, file, *session))
            print(row_text(rows[-1]), flush=True)
    row = worst(rows)
    off = abs(row["ratio"] - 1)
    print(f"\nworst: {row_text(row)}\n", flush=True)
    figures.show(args, "all", "planned against measured peak, furthest off", (off, off, off),
                 Goal(TOLERANCE), len(rows))
