"""A system prompt of 800 words that many requests share.

A repetition has its own prompts, so that cold is cold: (1) one cold request alone; (2) four at once
with another system prompt, all cold; (3) one more with that system prompt and another question;
(4) the same after the model was unloaded and loaded again; llama-server is started again. All
figures are times to the first token against
(1) of the same repetition and server, so each server is compared with itself.
"""
import pathlib
import time
import urllib.request

import client
import figures
import servers
import stats
from common import ask, warm_up
from figures import Goal

SYSTEM_WORDS = 800
TAIL_WORDS = 22  # about 30 tokens with the template's own
CLIENTS = 4
CONTEXT = 2048
GOALS = {"four at once, the slowest": Goal(1.25), "later, another tail": Goal(0.15),
         "after unload and reload": Goal(0.25)}


def request(name, system_seed, tail_seed):
    """(path, body): a chat, or a completion where the model has no template for one."""
    common = {"model": name, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    system, tail = client.prompt(system_seed, SYSTEM_WORDS), client.prompt(tail_seed, TAIL_WORDS)
    if "Instruct" not in name:
        return "/v1/completions", {**common, "prompt": f"{system}\n\n{tail}"}
    return "/v1/chat/completions", {**common, "messages": [{"role": "system", "content": system},
                                                           {"role": "user", "content": tail}]}


class Aioss:
    """Unloads the model by order."""

    def __init__(self, args, model):
        self.name = pathlib.Path(model).stem
        self.server = servers.start_aioss(args.aioss, args.models, CLIENTS, CONTEXT, args.threads,
                                          args.profile)

    def reload(self):
        base = f"http://127.0.0.1:{self.server.port}"
        urllib.request.urlopen(f"{base}/admin/models/{self.name}/unload", data=b"", timeout=60)
        deadline = time.monotonic() + 60
        while b'"state":"cold"' not in urllib.request.urlopen(
                f"{base}/v1/models/{self.name}", timeout=60).read():
            if time.monotonic() > deadline:
                raise RuntimeError("the model is not unloaded after a minute")
            time.sleep(0.01)
        ask(self.server, {"model": self.name, "prompt": "x", "max_tokens": 1})

    def stop(self):
        self.server.stop()


class LlamaServer:
    def __init__(self, args, peer, model):
        self.start = lambda: servers.start_llama_server(peer / "llama-server", model, CLIENTS,
                                                        CONTEXT, args.threads)
        self.name = pathlib.Path(model).stem
        self.server = self.start()

    def reload(self):
        self.server.stop()
        self.server = self.start().wait_listening()
        warm_up(self.server, self.name)

    def stop(self):
        self.server.stop()


def repetition(subject, name, number):
    """{figure: time to first token ÷ the cold one's, …}, with the cold one's under "cold"."""
    systems, tails = 9000 + 10 * number, 100_000 + 100 * number

    def once(system, tail):
        path, body = request(name, system, tail)
        return ask(subject.server, body, path)

    cold = once(systems, tails)
    bodies = [request(name, systems + 1, tails + 1 + i) for i in range(CLIENTS)]
    together = [client.Stream(subject.server.port, body, path) for path, body in bodies]
    first = [stream.answer() for stream in together]
    later = once(systems + 1, tails + 10)
    subject.reload()
    reloaded = once(systems + 1, tails + 11)
    times = (max(answer.ttft for answer in first), later.ttft, reloaded.ttft)
    cached = (min(answer.cached_tokens for answer in first), later.cached_tokens,
              reloaded.cached_tokens)
    figures.progress(
        f"repetition {number + 1}, {subject.server.name}: cold {cold.ttft * 1000:.0f} ms, then " +
        ", ".join(f"{t * 1000:.0f} ms ({c} cached)" for t, c in zip(times, cached)) +
        f", of {later.prompt_tokens} tokens")
    return {"cold": cold.ttft, **{what: t / cold.ttft for what, t in zip(GOALS, times)}}


def bench_prefix(args, peer, model):
    """A shared system prompt: four at once, later, and after a reload of the model."""
    name = pathlib.Path(model).stem
    figures.title(f"{name}: a shared system prompt of {SYSTEM_WORDS} words, first token "
                  f"against a cold request's")
    subjects = []
    try:
        subjects += [Aioss(args, model)]
        subjects += [LlamaServer(args, peer, model)]
        for subject in subjects:
            subject.server.wait_listening()
            warm_up(subject.server, name)
        results = {subject: [] for subject in subjects}
        for number in range(args.pairs or 6):
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                results[subject].append(repetition(subject, name, number))
        ours, theirs = subjects
        for what, goal in GOALS.items():
            figures.show(args, name, what, stats.median(r[what] for r in results[ours]), goal,
                         len(results[ours]))
            figures.show(args, name, f"{what}, llama-server",
                         stats.median(r[what] for r in results[theirs]),
                         samples=len(results[theirs]))
        figures.show(args, name, "cold, against llama-server's", stats.median_ratio(
            [(o["cold"], t["cold"]) for o, t in zip(results[ours], results[theirs])]),
            samples=len(results[ours]))
    finally:
        for subject in subjects:
            subject.stop()
