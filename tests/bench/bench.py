#!/usr/bin/env python3
"""aioss against llama-server, interleaved, on this machine. `./dev bench` calls it.

Every ratio is ours / theirs, the median of pairs with a 95 % bootstrap interval. The pairs come in
ABBA order (ours, theirs; theirs, ours; ...), so that a drift of the machine favours neither. Both
servers run all the time; only one is asked at a time, and both get the same prompts."""
import argparse
import contextlib
import csv
import pathlib
import signal
import statistics
import subprocess
import sys

import client
import engines
import figures
import models
import serve
import servers
import stats
from common import (CONTEXT, PROMPT_WORDS, TOKENS_OUT, bodies, paired, tokens_a_word,
                    warm_up)

# Between requests that come one after another: the first is being answered when the rest arrive.
ARRIVAL_SECONDS = 0.1
STOPPED_CLIENTS = 60


def measure(server, requests, apart=0.0):
    before = servers.cpu_seconds(server.process.pid)
    answers, seconds = client.burst(server.port, requests, apart)
    cpu = servers.cpu_seconds(server.process.pid) - before
    tokens = sum(a.completion_tokens for a in answers)
    gaps = [g for a in answers for g in a.gaps] or [0.0]
    return {
        "tok/s": tokens / seconds,
        "ttft": statistics.median(a.ttft for a in answers),
        "gap p50": statistics.median(gaps),
        "gap max": max(gaps),
        "cpu/token": cpu / tokens,
        "decode tok/s": statistics.median(
            (a.completion_tokens - 1) / (a.events[-1] - a.events[0]) for a in answers),
        "prompt": answers[0].prompt_tokens,
    }


def compare(args, ours, theirs, name, clients, apart=0.0):
    def run(server):
        return lambda seed: measure(server, bodies(name, clients, seed), apart)
    return paired(args.pairs, run(ours), run(theirs))


def report(title, results, names=("aioss", "llama-server")):
    print(f"\n### {title}: {len(results)} pairs\n")
    print(f"| figure | {names[0]} | {names[1]} | ratio, 95 % interval |\n|---|---|---|---|")
    for key in results[0][0]:
        ours = statistics.median(r[0][key] for r in results)
        theirs = statistics.median(r[1][key] for r in results)
        ratio = stats.show_ratio([(r[0][key], r[1][key]) for r in results])
        unit = 1 if key in ("tok/s", "decode tok/s", "prompt") else 1000
        print(f"| {key}{' (ms)' if unit == 1000 else ''} | {ours * unit:.2f} | "
              f"{theirs * unit:.2f} | {ratio} |", flush=True)


@contextlib.contextmanager
def both(args, peer, model, streams):
    """aioss and llama-server, warm."""
    streams = max(streams, args.parallel)
    with servers.start_aioss(args.aioss, args.models, streams, CONTEXT, args.threads,
                             args.profile) as ours, \
            servers.start_llama_server(peer / "llama-server", model, streams, CONTEXT,
                                       args.threads) as theirs:
        for server in (ours, theirs):
            server.wait_listening()
            warm_up(server, pathlib.Path(model).stem)
        yield ours, theirs


def bench_clients(args, peer, model):
    """N clients at once."""
    name = pathlib.Path(model).stem
    for clients in args.clients:
        with both(args, peer, model, clients) as (ours, theirs):
            results = compare(args, ours, theirs, name, clients)
            report(f"{name}, {clients} client{'s' if clients > 1 else ''}", results)
            ledger = servers.thread_cpu_seconds(ours.process.pid, "ledger")
            total = servers.cpu_seconds(ours.process.pid)
            print(f"\nledger thread: {100 * ledger / total:.3f} % of aioss's CPU time; peak memory "
                  f"{servers.peak_bytes(ours.process.pid) / 2**20:.0f} MiB against "
                  f"{servers.peak_bytes(theirs.process.pid) / 2**20:.0f} MiB", flush=True)


def bench_arrivals(args, peer, model):
    """Four clients, one after another: prompts arrive while answers are under way."""
    name = pathlib.Path(model).stem
    with both(args, peer, model, 4) as (ours, theirs):
        results = compare(args, ours, theirs, name, 4, ARRIVAL_SECONDS)
        report(f"{name}, 4 clients, {ARRIVAL_SECONDS * 1000:.0f} ms apart", results)


def first_token_seconds(start, name, seed):
    with start() as server:
        server.wait_listening()
        while True:
            answer = client.complete(server.port, bodies(name, 1, seed)[0])
            if not answer.error:
                return answer.events[0] - server.started
            servers.time.sleep(0.005)


def bench_start(args, peer, model):
    """Process start to first token."""
    name = pathlib.Path(model).stem
    def ours():
        return servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads, args.profile)
    def theirs():
        return servers.start_llama_server(peer / "llama-server", model, 4, CONTEXT, args.threads)
    pairs = paired(args.pairs, lambda seed: first_token_seconds(ours, name, seed),
                   lambda seed: first_token_seconds(theirs, name, seed))
    print(f"\n### {name}: process start to first token, {len(pairs)} pairs\n\naioss "
          f"{statistics.median(p[0] for p in pairs) * 1000:.0f} ms, llama-server "
          f"{statistics.median(p[1] for p in pairs) * 1000:.0f} ms, ratio "
          f"{stats.show_ratio(pairs)}", flush=True)


def bare_decode(binary, model, depth, threads):
    out = subprocess.run([str(binary), "-m", str(model), "-p", "0", "-n", str(TOKENS_OUT), "-d",
                          str(depth), "-r", "1", "-t", str(threads), "-o", "csv"],
                         capture_output=True, text=True, check=True).stdout
    return float(next(csv.DictReader(out.splitlines()))["avg_ts"])


def bench_bare(args, peer, model):
    """One stream against the engine without a server: llama-bench over the llama.cpp that aioss
    links, and, for what our patches are worth, the peer's."""
    name = pathlib.Path(model).stem
    with servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads,
                             args.profile) as ours:
        ours.wait_listening()
        warm_up(ours, name)
        depth = int(measure(ours, bodies(name, 1, 0))["prompt"])
        for title, binary in (("our llama-bench", args.bare),
                              ("unpatched llama-bench", peer / "llama-bench")):
            pairs = paired(
                args.pairs,
                lambda seed: measure(ours, bodies(name, 1, seed + 1))["decode tok/s"],
                lambda _, binary=binary: bare_decode(binary, model, depth, args.threads))
            print(f"\n### {name}: decode through HTTP against the bare engine ({title}, same "
                  f"depth), {len(pairs)} pairs\n\naioss "
                  f"{statistics.median(p[0] for p in pairs):.1f} tok/s, bare "
                  f"{statistics.median(p[1] for p in pairs):.1f} tok/s, ratio "
                  f"{stats.show_ratio(pairs)}", flush=True)


def bench_stalled(args, peer, model):
    """Four clients beside 60 that have stopped reading, against four by themselves."""
    del peer
    name = pathlib.Path(model).stem

    def start():
        return servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads, args.profile)

    with start() as crowded, start() as empty:
        for server in (crowded, empty):
            server.wait_listening()
            warm_up(server, name)
        long = {"max_tokens": 800, "prompt": client.prompt(1, 20)}
        began = servers.time.monotonic()
        stopped = [client.ask_and_never_read(crowded.port, {**bodies(name, 1, i)[0], **long})
                   for i in range(STOPPED_CLIENTS)]
        while servers.metric(crowded.port, "aioss_sequences_spilled") < STOPPED_CLIENTS:
            if servers.time.monotonic() - began > 900:
                raise RuntimeError("the stopped clients are not all parked after 15 minutes")
            servers.time.sleep(1)
        print(f"\n{STOPPED_CLIENTS} stopped clients were parked and spilled after "
              f"{servers.time.monotonic() - began:.0f} s", flush=True)
        report(f"{name}, 4 clients beside {STOPPED_CLIENTS} that have stopped reading, against 4 "
               f"alone", compare(args, crowded, empty, name, 4), ("beside them", "alone"))
        spilled = servers.metric(crowded.port, "aioss_spilled_bytes")
        grown = (servers.resident_bytes(crowded.process.pid) -
                 servers.resident_bytes(empty.process.pid))
        print(f"\nmemory: {grown / 2**20:.0f} MiB more than without them, of which "
              f"{spilled / 2**20:.0f} MiB are accounted for as spilled KV", flush=True)
        for sock in stopped:
            sock.close()


# One engine, as it is without measuring and drafts: what is compared is its arithmetic.
SAME_ENGINE = ("--engine", "llama", "--tune", "off", "--speculation", "off")


def bench_profiles(args, peer, model):
    """What `reproducible` costs against `fast`, on the engine that keeps both."""
    del peer
    name = pathlib.Path(model).stem
    for clients in (1, 4, 8):
        streams = max(4, clients)
        with servers.start_aioss(args.aioss, args.models, streams, engines.CONTEXT, args.threads,
                                 "reproducible", SAME_ENGINE) as exact, \
                servers.start_aioss(args.aioss, args.models, streams, engines.CONTEXT,
                                    args.threads, "fast", SAME_ENGINE) as fast:
            for server in (exact, fast):
                server.wait_listening()
                warm_up(server, name)
            report(f"{name}, {clients} client(s): profile reproducible against fast",
                   compare(args, exact, fast, name, clients), ("reproducible", "fast"))
            if clients == 1:
                words = int(engines.PREFILL_TOKENS / tokens_a_word(fast, name))
                engines.compare(
                    args, name, "first token of 1,000, reproducible against fast",
                    engines.prefill_seconds(exact, name, words),
                    engines.prefill_seconds(fast, name, words), figures.Goal(1.11))


BENCHES = {"clients": bench_clients, "arrivals": bench_arrivals, "start": bench_start,
           "bare": bench_bare, "profiles": bench_profiles, "stalled": bench_stalled}
PAIRS = 20  # of those; the cases of serve.py and models.py have their own defaults
GROUPS = {"serve": serve.CASES, "models": models.CASES, "engines": engines.CASES}


def run_all(args, peer, files):
    names = [case for name in args.names or BENCHES for case in GROUPS.get(name, [name])]
    for name in models.CASES:  # of several models at once
        if name in names:
            models.CASES[name](args, peer, files)
    names = [name for name in names if name not in models.CASES]
    for model in files:
        for name in names:
            if name in engines.CASES:
                engines.CASES[name](args, peer, model)
            elif name not in serve.CASES:
                BENCHES[name](argparse.Namespace(**{**vars(args), "pairs": args.pairs or PAIRS}),
                              peer, model)
            elif name not in serve.WITHOUT_MODEL or model == files[0]:
                serve.CASES[name](args, peer, model)


def main():
    # Through the `with` of every server, so that none is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"which: {', '.join(BENCHES)} (default: all these)" + "".join(
                            f"; {group}: {', '.join(cases)}"
                            for group, cases in GROUPS.items()))
    parser.add_argument("--pairs", type=int, default=0,
                        help="pairs, in ABBA order, or repetitions (default 20; groups: by case)")
    parser.add_argument("--kills", type=int, default=1000, help="of serve-kills (default 1000)")
    parser.add_argument("--json", metavar="FILE", help="append figures with goals, a line each")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--parallel", type=int, default=1, help="at least so many streams")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--model", action="append", help="file names in the models folder")
    parser.add_argument("--ollama", metavar="FILE", help="also measure this Ollama (models-swap)")
    for name in ("aioss", "bare", "models", "llama-source", "cache", "jobs"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--ik-source", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.names) - {*BENCHES, *GROUPS, *serve.CASES, *models.CASES,
                                      *engines.CASES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    peer = servers.build_peer(args.llama_source, args.cache, args.jobs)
    files = [pathlib.Path(args.models) / f for f in args.model] if args.model else [
        pathlib.Path(args.models) / f"{stem}.gguf" for stem in PROMPT_WORDS]
    run_all(args, peer, files)


if __name__ == "__main__":
    main()
