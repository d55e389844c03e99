#!/usr/bin/env python3
"""aioss against llama-server, interleaved, on this machine. `./dev bench` calls it.

Every ratio is ours / theirs, the median of ABBA pairs (ours, theirs, theirs, ours) with a 95 %
bootstrap interval. Both servers run all the time; only one is asked at a time."""
import argparse
import pathlib
import statistics
import subprocess

import client
import servers
import stats

PROMPT_WORDS = {"SmolLM2-135M-Instruct.Q4_1": 88, "gemma-3-270m-q4_k_m": 92}
TOKENS_OUT = 64
CONTEXT = 1024


def bodies(model, count, seed):
    return [{"model": model, "prompt": client.prompt(seed * 1000 + i, PROMPT_WORDS[model]),
             "max_tokens": TOKENS_OUT, "temperature": 0, "ignore_eos": True, "seed": 1}
            for i in range(count)]


def measure(server, requests):
    before = servers.cpu_seconds(server.process.pid)
    answers, seconds = client.burst(server.port, requests)
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


def abba(first, second, make_requests, pairs):
    """[(ours, theirs)], each the mean of two runs."""
    result = []
    for pair in range(pairs):
        runs = {}
        for position, server in enumerate((first, second, second, first)):
            run = measure(server, make_requests(pair * 4 + position))
            runs.setdefault(server.name, []).append(run)
        result.append(tuple(
            {key: statistics.mean(r[key] for r in runs[s.name]) for key in runs[s.name][0]}
            for s in (first, second)))
    return result


def report(title, results):
    print(f"\n### {title}: {len(results)} ABBA pairs\n")
    print("| figure | aioss | llama-server | ratio, 95 % interval |\n|---|---|---|---|")
    for key in results[0][0]:
        ours = statistics.median(r[0][key] for r in results)
        theirs = statistics.median(r[1][key] for r in results)
        ratio = stats.show_ratio([(r[0][key], r[1][key]) for r in results])
        unit = 1 if key in ("tok/s", "decode tok/s", "prompt") else 1000
        print(f"| {key}{' (ms)' if unit == 1000 else ''} | {ours * unit:.2f} | "
              f"{theirs * unit:.2f} | {ratio} |", flush=True)


def bench_clients(args, peer, model):
    name = pathlib.Path(model).stem
    for clients in args.clients:
        with servers.start_aioss(args.aioss, args.models, max(clients, args.parallel), CONTEXT,
                                 args.threads, args.profile) as ours, \
                servers.start_llama_server(peer / "llama-server", model,
                                           max(clients, args.parallel), CONTEXT,
                                           args.threads) as theirs:
            for server in (ours, theirs):
                server.wait_listening()
                warm_up(server, name)
            results = abba(ours, theirs, lambda seed, n=clients: bodies(name, n, seed), args.pairs)
            report(f"{name}, {clients} client{'s' if clients > 1 else ''}", results)
            ledger = servers.thread_cpu_seconds(ours.process.pid, "ledger")
            total = servers.cpu_seconds(ours.process.pid)
            print(f"\nledger thread: {100 * ledger / total:.3f} % of aioss's CPU time; peak memory "
                  f"{servers.peak_bytes(ours.process.pid) / 2**20:.0f} MiB against "
                  f"{servers.peak_bytes(theirs.process.pid) / 2**20:.0f} MiB", flush=True)


def warm_up(server, name):
    for attempt in range(200):
        answer = client.complete(server.port, bodies(name, 1, 900 + attempt)[0])
        if not answer.error:
            return
        servers.time.sleep(0.1)
    raise RuntimeError(f"{server.name} does not answer: {answer.error}")


def first_token_seconds(start, name, seed):
    with start() as server:
        server.wait_listening()
        while True:
            answer = client.complete(server.port, bodies(name, 1, seed)[0])
            if not answer.error:
                return answer.events[0] - server.started
            servers.time.sleep(0.005)


def bench_start(args, peer, model):
    name = pathlib.Path(model).stem
    def ours():
        return servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads, args.profile)
    def theirs():
        return servers.start_llama_server(peer / "llama-server", model, 4, CONTEXT, args.threads)
    pairs = []
    for i in range(args.pairs):
        order = (ours, theirs) if i % 2 == 0 else (theirs, ours)
        seconds = {start: first_token_seconds(start, name, i) for start in order}
        pairs.append((seconds[ours], seconds[theirs]))
    print(f"\n### {name}: process start to first token, {len(pairs)} pairs\n\naioss "
          f"{statistics.median(p[0] for p in pairs) * 1000:.0f} ms, llama-server "
          f"{statistics.median(p[1] for p in pairs) * 1000:.0f} ms, ratio "
          f"{stats.show_ratio(pairs)}", flush=True)


def bare_decode(peer, model, depth, threads):
    out = subprocess.run([str(peer / "llama-bench"), "-m", str(model), "-p", "0", "-n",
                          str(TOKENS_OUT), "-d", str(depth), "-r", "1", "-t", str(threads), "-o",
                          "csv"], capture_output=True, text=True, check=True).stdout
    header, row = [line.split('","') for line in out.strip().split("\n")[-2:]]
    return float(dict(zip([h.strip('"') for h in out.strip().split("\n")[0].split(",")],
                          [v.strip('"') for v in row]))["avg_ts"])


def bench_bare(args, peer, model):
    name = pathlib.Path(model).stem
    with servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads,
                             args.profile) as ours:
        ours.wait_listening()
        warm_up(ours, name)
        pairs = []
        for i in range(args.pairs):
            run = measure(ours, bodies(name, 1, i))
            pairs.append((run["decode tok/s"],
                          bare_decode(peer, model, int(run["prompt"]), args.threads)))
    print(f"\n### {name}: decode through HTTP against the bare engine (llama-bench, same depth), "
          f"{len(pairs)} pairs\n\naioss {statistics.median(p[0] for p in pairs):.1f} tok/s, bare "
          f"{statistics.median(p[1] for p in pairs):.1f} tok/s, ratio {stats.show_ratio(pairs)}",
          flush=True)


def bench_profiles(args, peer, model):
    del peer
    name = pathlib.Path(model).stem
    for clients in (1, 4):
        with servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads,
                                 "reproducible") as ours, \
                servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads) as fast:
            fast.name = "fast"
            for server in (ours, fast):
                server.wait_listening()
                warm_up(server, name)
            results = abba(ours, fast, lambda seed, n=clients: bodies(name, n, seed), args.pairs)
            report(f"{name}, {clients} client(s): profile reproducible (first) against fast",
                   results)


BENCHES = {"clients": bench_clients, "start": bench_start, "bare": bench_bare,
           "profiles": bench_profiles}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"which: {', '.join(BENCHES)}; default all")
    parser.add_argument("--pairs", type=int, default=20, help="ABBA pairs (default 20)")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--parallel", type=int, default=1, help="at least so many streams")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--model", action="append", help="file names in the models folder")
    for name in ("aioss", "models", "llama-source", "cache", "jobs"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    peer = servers.build_peer(args.llama_source, args.cache, args.jobs)
    files = [pathlib.Path(args.models) / f for f in args.model] if args.model else [
        pathlib.Path(args.models) / f"{stem}.gguf" for stem in PROMPT_WORDS]
    for model in files:
        for name in args.names or BENCHES:
            BENCHES[name](args, peer, model)


if __name__ == "__main__":
    main()
