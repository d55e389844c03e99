"""The gateway's processor time for a streamed token: 64 streams of the fake engine, each at the
pace of a real one, so that every token is an event of its own that is written by itself."""
import pathlib
import re
import selectors
import socket
import tempfile
import time

import figures
import servers
import stats
from client import request_bytes
from figures import Goal

STREAMS = 64
TOKENS = 300
CALL_MICROSECONDS = 20_000  # 50 tokens a second of each stream
MODEL = "steady"


def model_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-bench-fake-"))
    (folder / f"{MODEL}.fake").write_text(
        f"aioss-fake 1\ncontext 8192\ndelay_us_per_call {CALL_MICROSECONDS}\n")
    return folder


def connect(port, tokens):
    body = {"model": MODEL, "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
            "messages": [{"role": "user", "content": f"[[long {tokens}]]"}]}
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.sendall(request_bytes(port, body, "/v1/chat/completions"))
    return sock


def read_all(port, streams, tokens):
    """All streams at once, read by one thread that looks at nothing; (tokens, events)."""
    ready = selectors.DefaultSelector()
    received = {connect(port, tokens): [] for _ in range(streams)}
    for sock in received:
        ready.register(sock, selectors.EVENT_READ)
    while ready.get_map():
        for key, _ in ready.select():
            block = key.fileobj.recv(65536)
            received[key.fileobj].append(block)
            if not block:
                ready.unregister(key.fileobj)
                key.fileobj.close()
    answers = [b"".join(blocks) for blocks in received.values()]
    if not all(b"data: [DONE]" in answer for answer in answers):
        raise RuntimeError(f"a stream did not end well: {min(answers, key=len)[-300:]!r}")
    total = sum(int(re.search(rb'"completion_tokens":(\d+)', answer)[1]) for answer in answers)
    return total, sum(answer.count(b"data: {") for answer in answers)


def thread_times(pid):
    """Nanoseconds by the name of the thread."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return {(task / "comm").read_text().strip(): int((task / "schedstat").read_text().split()[0])
            for task in tasks}


def run_once(server):
    """Microseconds a token: {"total": …, "user": …, "system": …, and by thread}."""
    pid = server.process.pid
    threads, (user, system) = thread_times(pid), servers.own_cpu_seconds(pid)
    tokens, events = read_all(server.port, STREAMS, TOKENS)
    user_after, system_after = servers.own_cpu_seconds(pid)
    if events < 0.95 * tokens:
        raise RuntimeError(f"{tokens} tokens came as {events} events: the streams were not paced")
    out = {"user": (user_after - user) * 1e6 / tokens,
           "system": (system_after - system) * 1e6 / tokens}
    out["total"] = out["user"] + out["system"]
    for name, after in thread_times(pid).items():
        out[name] = (after - threads.get(name, 0)) / 1e3 / tokens
    return out


def bench_cost(args, peer, model):
    """The gateway's processor time a streamed token, 64 streams of the fake engine."""
    del peer, model
    figures.title(f"the gateway's cost: {STREAMS} streams of the fake engine, "
                  f"{1_000_000 // CALL_MICROSECONDS} tokens a second each")
    with servers.start_aioss(args.aioss, model_folder(), STREAMS, 4096, args.threads,
                             extra=("--fake-models",)) as server:
        server.wait_listening()
        read_all(server.port, 1, 5)
        runs = []
        for number in range(args.pairs or 8):
            runs.append(run_once(server))
            figures.progress(f"run {number + 1}: {runs[-1]['total']:.1f} µs")
            time.sleep(0.2)
    figures.show(args, "fake", "the gateway's processor time a streamed token",
                 stats.median(run["total"] for run in runs), Goal(20, unit=" µs"), len(runs))
    parts = {name: sorted(run.get(name, 0) for run in runs)[len(runs) // 2] for name in runs[0]}
    print("of it, µs: " + ", ".join(f"{name} {value:.2f}" for name, value in sorted(
        parts.items(), key=lambda part: -part[1]) if name != "total" and value > 0.05),
        flush=True)
