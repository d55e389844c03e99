"""Engines: `./dev bench engines`, or each case by itself. What a client gets from a tuned aioss
against llama-server and against ik_llama.cpp's own tools, and what a switch of engines costs.

ik_llama.cpp's server is run without flash attention where it has several slots: with it, it aborts
within a few requests (iqk_fa_templates.h: GGML_ASSERT(S > 0))."""
import contextlib
import csv
import itertools
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

import client
import figures
import servers
import stats
from common import TOKENS_OUT, bodies, paired, tokens_a_word, warm_up
from figures import Goal

PREFILL_TOKENS = 1000
CONTEXT = 2048
SWITCH_CONTEXT_TOKENS = 500
TUNING_SECONDS = 20  # twice the default, so that the choice is the same in each run
MANY = (4, 8)
_SEEDS = itertools.count(1000, 1000)
TTFT_GOALS = {"SmolLM2-135M-Instruct.Q4_1": 0.5, "gemma-3-270m-q4_k_m": 0.6}


def build_ik_peer(source, cache, jobs):
    """Its llama-server and llama-bench, with its own defaults. None without a source."""
    if not source:
        return None
    build = pathlib.Path(cache) / "build" / f"peer-{pathlib.Path(source).name}"
    if not (build / "bin" / "llama-server").exists():
        figures.progress("building ik_llama.cpp's own llama-server and llama-bench (15 minutes)")
        subprocess.run(["cmake", "-S", source, "-B", str(build), "-G", "Ninja",
                        "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF",
                        "-DGGML_NATIVE=ON", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_CURL=OFF",
                        "-DGGML_IQK_FA_ALL_QUANTS=OFF"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", str(build), "-j", str(jobs), "--target",
                        "llama-server", "llama-bench"], check=True, stdout=subprocess.DEVNULL)
    return build / "bin"


def start_ik_server(binary, model, parallel, context, threads):
    port = servers.free_port()
    log = open(tempfile.mktemp(prefix="ik-server-"), "wb")
    attention = ["-no-fa"] if parallel > 1 else []  # its default is with it
    return servers.Server("ik_llama.cpp's server", [
        str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-np",
        str(parallel), "-c", str(parallel * context), "-t", str(threads), "-tb", str(threads),
        *attention], port, log, folder=tempfile.mkdtemp(prefix="ik-server-"))  # it writes llama.log


def tune(args, name, streams, environment):
    """Has the choice measured and kept before anything is compared. Returns where it is kept."""
    state = tempfile.mkdtemp(prefix="aioss-bench-tuned-")
    done = subprocess.run(
        [str(args.aioss), "tune", name, "--models-dir", str(args.models), "--parallel",
         str(streams), "--ctx", str(CONTEXT), "--profile", args.profile, "--budget",
         str(TUNING_SECONDS)], env={**os.environ, **environment, "XDG_STATE_HOME": state},
        capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"aioss tune: {done.stderr.strip()}")
    print(done.stdout, flush=True)
    return state


def start_tuned(args, name, streams, environment=None):
    """With what was measured, which holds for the same settings only: no threads are asked for."""
    environment = environment or {}
    state = tune(args, name, streams, environment)
    return servers.start_aioss(args.aioss, args.models, streams, CONTEXT, 0, args.profile,
                               environment={**environment, "XDG_STATE_HOME": state})


@contextlib.contextmanager
def tuned_and_peers(args, peer, model, streams, environment=None):
    """aioss, llama-server, and ik's server or None: all warm."""
    name = pathlib.Path(model).stem
    ik = build_ik_peer(args.ik_source, args.cache, args.jobs)
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(start_tuned(args, name, streams, environment)),
                   stack.enter_context(servers.start_llama_server(
                       peer / "llama-server", model, streams, CONTEXT, args.threads))]
        if ik:
            started.append(stack.enter_context(start_ik_server(
                ik / "llama-server", model, streams, CONTEXT, args.threads)))
        for server in started:
            server.wait_listening()
            warm_up(server, name)
        yield started + [None] * (3 - len(started))


def prefill_seconds(server, name, words):
    def run(seed):
        answer = client.complete(server.port, {
            "model": name, "prompt": client.prompt(seed, words), "max_tokens": 2,
            "temperature": 0, "ignore_eos": True})
        if answer.error:
            raise RuntimeError(f"{server.name}: {answer.error}")
        return answer.ttft
    return run


def decode_speed(server, name):
    def run(seed):
        answer, = client.burst(server.port, bodies(name, 1, seed), 0.0)[0]
        return (answer.completion_tokens - 1) / (answer.events[-1] - answer.events[0])
    return run


def total_speed(server, name, clients):
    def run(seed):
        answers, seconds = client.burst(server.port, bodies(name, clients, seed), 0.0)
        return sum(a.completion_tokens for a in answers) / seconds
    return run


def compare(args, name, what, ours, theirs, goal):
    """Three arguments of a figure: two functions of a seed, and what is wanted of their ratio.
    Nobody is asked what was asked for another figure: servers keep what they computed."""
    first = next(_SEEDS)
    pairs = paired(args.pairs or 10, lambda pair: ours(first + pair),
                   lambda pair: theirs(first + pair))
    figures.progress(f"{statistics.median(p[0] for p in pairs):.4g} against "
                     f"{statistics.median(p[1] for p in pairs):.4g}")
    figures.show(args, name, what, stats.median_ratio(pairs), goal, len(pairs))


def bench_one(args, peer, model):
    """One client: decode, and the first token of a long prompt."""
    name = pathlib.Path(model).stem
    figures.title(f"{name}: one client of a tuned aioss")
    with tuned_and_peers(args, peer, model, 1) as (ours, llama, ik):
        words = int(PREFILL_TOKENS / tokens_a_word(llama, name))
        compare(args, name, "decode tok/s against llama-server", decode_speed(ours, name),
                decode_speed(llama, name), Goal(1.35, at_least=True))
        compare(args, name, "first token of 1,000 against llama-server",
                prefill_seconds(ours, name, words), prefill_seconds(llama, name, words),
                Goal(TTFT_GOALS.get(name, 1.0)))
        if ik:
            compare(args, name, "decode tok/s against ik's server", decode_speed(ours, name),
                    decode_speed(ik, name), None)
            compare(args, name, "first token of 1,000 against ik's server",
                    prefill_seconds(ours, name, words), prefill_seconds(ik, name, words), None)


def bench_plain(args, peer, model):
    """Decoding without drafts, which the others have none of: what the engine gives."""
    name = pathlib.Path(model).stem
    figures.title(f"{name}: one client of a tuned aioss without drafts")
    with tuned_and_peers(args, peer, model, 1, {"AIOSS_SPECULATION": "off"}) as (ours, llama, ik):
        compare(args, name, "decode tok/s without drafts, against llama-server",
                decode_speed(ours, name), decode_speed(llama, name), None)
        if ik:
            compare(args, name, "decode tok/s without drafts, against ik's server",
                    decode_speed(ours, name), decode_speed(ik, name), None)


def bench_many(args, peer, model):
    """4 and 8 clients: tokens of all."""
    name = pathlib.Path(model).stem
    for clients in MANY:
        figures.title(f"{name}: {clients} clients of a tuned aioss")
        with tuned_and_peers(args, peer, model, clients) as (ours, llama, ik):
            compare(args, name, f"total tok/s of {clients} against llama-server",
                    total_speed(ours, name, clients), total_speed(llama, name, clients),
                    Goal(1.45, at_least=True))
            if ik:
                compare(args, name, f"total tok/s of {clients} against ik's server",
                        total_speed(ours, name, clients), total_speed(ik, name, clients),
                        Goal(1.05, at_least=True))


def bare_speed(binary, model, threads, prompt, generated, depth):
    """tok/s of ik's llama-bench, which knows no depth: `-gp` decodes behind a prompt."""
    what = ["-p", str(prompt), "-n", "0"] if prompt else [
        "-p", "0", "-n", "0", "-gp", f"{depth},{generated}"]
    out = subprocess.run([str(binary), "-m", str(model), *what, "-r", "1", "-t", str(threads),
                          "-fa", "1", "-o", "csv"], capture_output=True, text=True, check=True,
                         cwd=tempfile.gettempdir())
    rows = [row for row in csv.DictReader(out.stdout.splitlines()) if row.get("avg_ts")]
    return float(rows[-1]["avg_ts"])


def bench_bare(args, peer, model):
    """HTTP to client against ik's llama-bench, in the same process's threads and depth."""
    name = pathlib.Path(model).stem
    ik = build_ik_peer(args.ik_source, args.cache, args.jobs)
    if not ik:
        print("skipped: no ik_llama.cpp source (--ik-source)", flush=True)
        return
    figures.title(f"{name}: one client against ik's llama-bench")
    with start_tuned(args, name, 1) as ours:
        ours.wait_listening()
        warm_up(ours, name)
        words = int(PREFILL_TOKENS / tokens_a_word(ours, name))
        seen, = client.burst(ours.port, bodies(name, 1, 1), 0.0)[0]
        binary = ik / "llama-bench"
        compare(args, name, "decode tok/s against ik's llama-bench", decode_speed(ours, name),
                lambda _: bare_speed(binary, model, args.threads, 0, TOKENS_OUT,
                                     seen.prompt_tokens), Goal(0.95, at_least=True))
        long_prompt = prefill_seconds(ours, name, words)
        compare(args, name, "prefill tok/s against ik's llama-bench",
                lambda seed: PREFILL_TOKENS / long_prompt(seed),
                lambda _: bare_speed(binary, model, args.threads, PREFILL_TOKENS, 0, 0),
                Goal(0.95, at_least=True))


def switch(server, name, engine):
    """Until the switch is over."""
    done = subprocess.run(
        [str(server.binary), "engine", "switch", name, engine, "--port", str(server.port)],
        capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"aioss engine switch: {done.stderr.strip()}")


def longest_gap(server, name, words, seed, engine):
    """What a client that is being answered sees while its model changes engines, in seconds."""
    answers = []
    body = {"model": name, "prompt": client.prompt(seed, words), "max_tokens": 1024,
            "temperature": 0, "ignore_eos": True}
    asking = threading.Thread(
        target=lambda: answers.append(client.complete(server.port, body)))
    asking.start()
    time.sleep(1.5)
    switch(server, name, engine)
    asking.join()
    if answers[0].error:
        raise RuntimeError(answers[0].error)
    return max(answers[0].gaps)


def bench_switch(args, peer, model):
    """The gap in a stream of 500 tokens of context while its engine is switched."""
    del peer
    name = pathlib.Path(model).stem
    figures.title(f"{name}: switches between llama and ik under a stream")
    with servers.start_aioss(args.aioss, args.models, 2, CONTEXT, args.threads,
                             extra=("--tune", "off")) as server:
        server.binary = args.aioss
        server.wait_listening()
        warm_up(server, name)
        words = int(SWITCH_CONTEXT_TOKENS / tokens_a_word(server, name))
        gaps = [longest_gap(server, name, words, seed, ("ik", "llama")[seed % 2])
                for seed in range(args.pairs or 10)]
        figures.show(args, name, "longest gap in a switch", stats.median(gaps),
                     Goal(1.0, unit=" s"), len(gaps))


CASES = {"engines-one": bench_one, "engines-plain": bench_plain, "engines-many": bench_many,
         "engines-bare": bench_bare, "engines-switch": bench_switch}
