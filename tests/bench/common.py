"""What the cases share: prompts, pairs in ABBA order, warm servers, models of any size."""
import pathlib
import sys
import time

import client

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from synthetic_model import synthetic_model  # noqa: E402

# So many words make about 110 tokens.
PROMPT_WORDS = {"SmolLM2-135M-Instruct.Q4_1": 100, "gemma-3-270m-q4_k_m": 99}
TOKENS_OUT = 64
CONTEXT = 1024
SETTLE_SECONDS = 1.0


def bodies(model, count, seed):
    return [{"model": model, "prompt": client.prompt(seed * 1000 + i, PROMPT_WORDS[model]),
             "max_tokens": TOKENS_OUT, "temperature": 0, "ignore_eos": True, "seed": 1}
            for i in range(count)]


def paired(pairs, ours, theirs):
    """[(ours, theirs)] of two functions of the pair's number, called in ABBA order."""
    results = []
    for pair in range(pairs):
        if pair % 2 == 0:
            first = ours(pair)
            results.append((first, theirs(pair)))
        else:
            first = theirs(pair)
            results.append((ours(pair), first))
    return results


def warm_up(server, name, key=None):
    for attempt in range(200):
        answer = client.complete(server.port, bodies(name, 1, 900 + attempt)[0],
                                 key=key)
        if not answer.error:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{server.name} does not answer: {answer.error}")


def ask(server, body, path="/v1/completions", key=None):
    """One request that must succeed."""
    answer = client.complete(server.port, body, path, key=key)
    if answer.error:
        raise RuntimeError(f"{server.name} did not answer: {answer.error}")
    return answer


def tokens_a_word(server, name):
    """Of our prompts, by that server's count."""
    words = 200
    body = {"model": name, "prompt": client.prompt(1, words), "max_tokens": 1}
    return ask(server, body).prompt_tokens / words


def first_token(server, name, seed, tokens=2):
    """Of a short prompt that nobody has asked before, in seconds."""
    body = {"model": name, "prompt": client.prompt(seed, 12), "max_tokens": tokens,
            "temperature": 0, "ignore_eos": True}
    return ask(server, body).ttft


def come_back(server, away, name, seed, tokens=2):
    """First token of `name` right after `away` has answered."""
    first_token(server, away, 2 * seed, tokens)
    time.sleep(SETTLE_SECONDS)
    return first_token(server, name, 2 * seed + 1, tokens)


def synthetic(args, mib, kind):
    """A model whose weights take so many MiB."""
    source = pathlib.Path(args.models) / f"{next(iter(PROMPT_WORDS))}.gguf"
    return synthetic_model(mib, kind, source)
