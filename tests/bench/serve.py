"""Serving under load, against the goals: `./dev bench serve`, or each case by itself. Every figure
is printed with its goal and whether it is reached; `--pairs N` sets the repetitions."""
import pathlib
import random
import statistics
import time

import client
import figures
import serve_cost
import serve_kills
import serve_prefix
import serve_slow
import serve_speculation
import serve_tenants
import servers
import stats
from common import ask, paired, tokens_a_word, warm_up
from figures import Goal

LEAVE_CONTEXT = 8192
LEAVE_PROMPT_TOKENS = 8000
LEAVE_AFTER_SECONDS = (0.5, 2.5)  # well within a prefill that takes ten

GAP_STREAMS = 7
GAP_CONTEXT = 2560
GAP_PROMPT_TOKENS = 2000
# The streams must outlast the prompt.
GAP_STREAM_TOKENS = 1500
GAP_SETTLE_SECONDS = 1.5  # llama-server looks once a second whether a client has left


def start_pair(args, peer, model, streams, context):
    """Both, not yet warm."""
    return (servers.start_aioss(args.aioss, args.models, streams, context, args.threads,
                                args.profile),
            servers.start_llama_server(peer / "llama-server", model, streams, context,
                                       args.threads))


# ---- a client that leaves during a long prefill -------------------------------------------------

def short_request(name, seed):
    return {"model": name, "prompt": client.prompt(seed, 8), "max_tokens": 2, "temperature": 0}


def seconds_to_free(server, name, words, alone, seed):
    """From a client's leaving to the free slot: the first token of a request that is sent in the
    same moment, less what that takes when nobody was there."""
    stream = client.Stream(server.port, {"model": name, "prompt": client.prompt(seed, words),
                                         "max_tokens": 8})
    time.sleep(random.Random(seed).uniform(*LEAVE_AFTER_SECONDS))
    if stream.events():
        raise RuntimeError("the prefill had ended before its client left")
    left = time.perf_counter()
    stream.leave()
    answer = ask(server, short_request(name, seed + 1))
    return answer.events[0] - left - alone


def bench_leave(args, peer, model):
    """A client leaves during a prefill of 8,000 tokens; one slot."""
    name = pathlib.Path(model).stem
    ours, theirs = start_pair(args, peer, model, 1, LEAVE_CONTEXT)
    with ours, theirs:
        alone, words = {}, 0
        for server in (ours, theirs):
            server.wait_listening()
            warm_up(server, name)
            words = words or int(LEAVE_PROMPT_TOKENS / tokens_a_word(server, name))
            alone[server] = statistics.median(
                ask(server, short_request(name, 500 + i)).ttft for i in range(5))

        def run(server):
            def once(pair):
                seconds = seconds_to_free(server, name, words, alone[server], 7000 + 10 * pair)
                figures.progress(f"pair {pair + 1}: {server.name} {seconds * 1000:.0f} ms")
                return seconds * 1000
            return once

        figures.title(f"{name}: a client leaves during a prefill of {LEAVE_PROMPT_TOKENS} tokens")
        results = paired(args.pairs or 8, run(ours), run(theirs))
        figures.show(args, name, "time until its slot is free",
                     stats.median(r[0] for r in results), Goal(250, unit=" ms"), len(results))
        figures.show(args, name, "the same of llama-server, ms",
                     stats.median(r[1] for r in results), samples=len(results))


# ---- a long prompt beside streams that decode ---------------------------------------------------

def gaps_between(answer, begin, end):
    """Those gaps of a stream that overlap this time."""
    return [b - a for a, b in zip(answer.events, answer.events[1:]) if b > begin and a < end]


def gap_and_ttft(server, name, words, seed):
    """(p99 of the gaps of the streams while the prompt is computed, its time to first token)."""
    streams = [client.Stream(server.port, {
        "model": name, "prompt": client.prompt(seed * 100 + i, 20), "temperature": 0,
        "max_tokens": GAP_STREAM_TOKENS, "ignore_eos": True}) for i in range(GAP_STREAMS)]
    while min(stream.events() for stream in streams) < 5:
        time.sleep(0.01)
    probe = ask(server, {"model": name, "prompt": client.prompt(seed * 100 + 50, words),
                         "max_tokens": 2, "temperature": 0})
    for stream in streams:
        stream.leave()
    gaps = [gap for stream in streams
            for gap in gaps_between(stream.answer(), probe.sent, probe.events[0])]
    time.sleep(GAP_SETTLE_SECONDS)
    return stats.percentile(gaps, 99), probe.ttft


def bench_gap(args, peer, model):
    """Seven streams decode when a prompt of 2,000 tokens arrives."""
    name = pathlib.Path(model).stem
    ours, theirs = start_pair(args, peer, model, GAP_STREAMS + 1, GAP_CONTEXT)
    with ours, theirs:
        for server in (ours, theirs):
            server.wait_listening()
            warm_up(server, name)
        words = int(GAP_PROMPT_TOKENS / tokens_a_word(ours, name))

        def run(server):
            def once(pair):
                gap, ttft = gap_and_ttft(server, name, words, 60 + pair)
                figures.progress(f"pair {pair + 1}: {server.name} p99 gap {gap * 1000:.0f} ms, "
                                 f"first token {ttft * 1000:.0f} ms")
                return gap, ttft
            return once

        figures.title(f"{name}: {GAP_STREAMS} streams and a prompt of {GAP_PROMPT_TOKENS} tokens")
        results = paired(args.pairs or 8, run(ours), run(theirs))
        for index, what, limit in ((0, "p99 gap of the streams", 0.35),
                                   (1, "the prompt's time to first token", 1.3)):
            figures.show(args, name, f"{what} against llama-server's",
                         stats.median_ratio([(o[index], t[index]) for o, t in results]),
                         Goal(limit), len(results))


CASES = {
    "serve-slow": serve_slow.bench_slow,
    "serve-leave": bench_leave,
    "serve-gap": bench_gap,
    "serve-prefix": serve_prefix.bench_prefix,
    "serve-tenants": serve_tenants.bench_tenants,
    "serve-kills": serve_kills.bench_kills,
    "serve-cost": serve_cost.bench_cost,
    "serve-speculation": serve_speculation.bench_speculation,
}
# Measured with the fake engine: once, whatever the models.
WITHOUT_MODEL = {"serve-cost"}
