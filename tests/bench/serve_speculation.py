"""Speculation against none, interleaved: the same aioss twice, `--speculation auto` and `off`,
asked in turn. Copies of what stands in the prompt can be foreseen; free prose has little to draft
from, and is the worst case."""
import pathlib
import time

import client
import figures
import servers
import stats
from common import paired
from figures import Goal

TOKENS_OUT = 160
COPY_TOKENS_OUT = 100  # no passage is shorter
CONTEXT = 2048
PASSAGES = (
    "The committee met on the third of March to hear the appeal of the harbour authority. Mrs. "
    "Okafor read the minutes of the last session, which were approved without a change. The clerk "
    "then presented the invoices of the dredging company, 41,250 for the northern basin and "
    "18,900 for the slipway, and asked whether the second had been ordered at all. Nobody could "
    "say. It was decided to write to the company before the end of the week, to pay the first "
    "invoice, and to hear the harbour master in April.",
    """def settle(accounts, payments):
    for payment in payments:
        debtor = accounts[payment.debtor]
        creditor = accounts[payment.creditor]
        if debtor.balance < payment.amount:
            raise InsufficientFunds(payment.debtor, payment.amount)
        debtor.balance -= payment.amount
        creditor.balance += payment.amount
        debtor.history.append(payment)
        creditor.history.append(payment)
    return accounts
""")


def copy_body(model, pair):
    head = f"Document {pair}.\n"
    return {"model": model, "max_tokens": COPY_TOKENS_OUT, "temperature": 0, "ignore_eos": True,
            "prompt": f"Repeat the following text exactly.\n\nText:\n{head}"
                      f"{PASSAGES[pair % len(PASSAGES)]}\n\nCopy of the text:\n{head}"}


def chat_copy_body(model, pair):
    text = f"Repeat the following text exactly:\n\n{pair}. {PASSAGES[pair % len(PASSAGES)]}"
    return {"model": model, "max_tokens": TOKENS_OUT, "temperature": 0,
            "messages": [{"role": "user", "content": text}]}


def prose_body(model, pair):
    return {"model": model, "prompt": client.prompt(pair, 100), "max_tokens": TOKENS_OUT,
            "temperature": 1, "seed": pair, "ignore_eos": True}


def story_body(model, pair):
    return {"model": model, "max_tokens": TOKENS_OUT, "temperature": 0.8, "seed": pair,
            "prompt": f"Chapter {pair}. The lighthouse keeper\n\n", "ignore_eos": True}


KINDS = {
    "copy": (copy_body, "/v1/completions", Goal(1.5, at_least=True)),
    "copy, as a chat": (chat_copy_body, "/v1/chat/completions", Goal(1.5, at_least=True)),
    "random words at temperature 1": (prose_body, "/v1/completions", Goal(0.98, at_least=True)),
    "a story at temperature 0.8": (story_body, "/v1/completions", Goal(0.98, at_least=True)),
}


def start(args, mode):
    return servers.start_aioss(args.aioss, args.models, 4, CONTEXT, args.threads, "fast",
                               ("--speculation", mode))


def decode_speed(server, kind, model, pair):
    """Tokens a second behind the first. Several may come as one event."""
    make, path, _ = KINDS[kind]
    answer = client.complete(server.port, make(model, pair), path)
    if answer.error:
        raise RuntimeError(f"a benchmark request failed: {answer.error}")
    return (answer.completion_tokens - 1) / (answer.events[-1] - answer.events[0])


def counts(server):
    time.sleep(1.2)  # the worker tells them once a second
    return [servers.metric(server.port, f"aioss_worker_tokens_{what}")
            for what in ("drafted", "accepted")]


def bench_speculation(args, peer, model):
    """n-gram speculation: aioss with `auto` against aioss with `off`, one stream."""
    del peer
    name = pathlib.Path(model).stem
    figures.title(f"{name}: speculation, auto against off")
    with start(args, "auto") as auto, start(args, "off") as off:
        for server in (auto, off):
            server.wait_listening()
            for _ in range(2):
                decode_speed(server, "copy", name, 1000)
        for kind, (_, path, goal) in KINDS.items():
            if "chat" in path and "Instruct" not in name:
                continue  # it has no chat template

            def run(mode, server, kind=kind):
                def once(pair):
                    speed = decode_speed(server, kind, name, pair)
                    figures.progress(f"{kind}, pair {pair + 1}: {mode} {speed:.1f} tokens/s")
                    return speed
                return once
            before = counts(auto)
            results = paired(args.pairs or 20, run("auto", auto), run("off", off))
            drafted, accepted = (b - a for a, b in zip(before, counts(auto)))
            figures.show(args, name, f"decode speed with speculation against without, {kind} "
                         f"({drafted:.0f} drafted, {accepted:.0f} accepted)",
                         stats.median_ratio(results), goal, len(results))
