"""One tenant has 1,000 requests queued: how long does another tenant wait?

A turn is the time that one request of the flood has a stream: by Little's law the number of
streams times the duration, divided by the requests that ended in it. llama-server has no tenants:
there the other one would wait for all 1,000, so it is not measured.
"""
import json
import pathlib
import selectors
import socket
import subprocess
import tempfile
import threading
import time

import client
import figures
import servers
import stats
from common import ask, bodies, warm_up
from figures import Goal

QUEUED = 1000
STREAMS = 4
# One tenant may take three quarters of it.
QUEUE_MAX = 1400
FLOOD_TOKENS = 32
REQUESTS = 60
REQUEST_TOKENS = 8


class Flood:
    """Keeps so many requests of one tenant with the server: each that ends is followed by one."""

    def __init__(self, server, name, key, count):
        self.server, self.name, self.key = server, name, key
        self.ended, self.failures, self._made = [], [], 0
        self._ready = selectors.DefaultSelector()
        self._stopped = threading.Event()
        for _ in range(count):
            self._add()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _add(self):
        self._made += 1
        body = {"model": self.name, "prompt": client.prompt(self._made, 10), "temperature": 0,
                "max_tokens": FLOOD_TOKENS, "ignore_eos": True}
        sock = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        sock.sendall(client.request_bytes(self.server.port, body, key=self.key))
        self._ready.register(sock, selectors.EVENT_READ, bytearray())

    def _run(self):
        while not self._stopped.is_set():
            for key, _ in self._ready.select(0.2):
                block = key.fileobj.recv(65536)
                key.data.extend(block)
                if not block:
                    self._end(key)
        for key in list(self._ready.get_map().values()):
            key.fileobj.close()

    def _end(self, key):
        self._ready.unregister(key.fileobj)
        key.fileobj.close()
        if b"data: [DONE]" in key.data:
            self.ended.append(time.perf_counter())
        else:
            self.failures.append(bytes(key.data[:300]))
        self._add()

    def turn_seconds(self, begin, end):
        return STREAMS * (end - begin) / sum(begin <= t < end for t in self.ended)

    def stop(self):
        self._stopped.set()
        self._thread.join()


def new_key(binary, file, tenant):
    """Of an operator, who may see the metrics."""
    made = subprocess.run([str(binary), "key", "new", "--tenant", tenant, "--user", "bench",
                           "--role", "operator", "--file", str(file), "--json"],
                          capture_output=True, text=True, check=True)
    return json.loads(made.stdout)["key"]


def waits(server, name, key, seed, what):
    """Times to first token of requests one after another."""
    times = []
    for i in range(REQUESTS):
        body = {**bodies(name, 1, seed + i)[0], "max_tokens": REQUEST_TOKENS}
        times.append(ask(server, body, key=key).ttft)
        if i % 20 == 19:
            figures.progress(f"{what}: {i + 1} of {REQUESTS}, p95 so far "
                             f"{stats.percentile(times, 95) * 1000:.0f} ms")
    return times


def wait_queued(server, key):
    deadline = time.monotonic() + 60
    while servers.metric(server.port, "aioss_queue_depth", key) < QUEUED - STREAMS:
        if time.monotonic() > deadline:
            raise RuntimeError("the flood is not queued after a minute")
        time.sleep(0.2)


def bench_tenants(args, peer, model):
    """1,000 requests of one tenant are queued: the wait of another."""
    del peer
    name = pathlib.Path(model).stem
    keys = pathlib.Path(tempfile.mkdtemp(prefix="aioss-bench-")) / "keys"
    loud, quiet = (new_key(args.aioss, keys, tenant) for tenant in ("loud", "quiet"))
    figures.title(f"{name}: the wait of a tenant while another has {QUEUED} requests queued")
    with servers.start_aioss(args.aioss, args.models, STREAMS, 1024, args.threads, args.profile,
                             ("--keys", keys, "--queue", QUEUE_MAX)) as server:
        server.wait_listening()
        warm_up(server, name, quiet)
        before = waits(server, name, quiet, 100, "without the flood")
        flood = Flood(server, name, loud, QUEUED + STREAMS)
        try:
            wait_queued(server, quiet)
            begin = time.perf_counter()
            beside = waits(server, name, quiet, 300, "beside the flood")
            turn = flood.turn_seconds(begin, time.perf_counter())
        finally:
            flood.stop()
        if flood.failures:
            raise RuntimeError(f"{len(flood.failures)} requests of the flood failed: "
                               f"{flood.failures[0]!r}")

    def rise(with_flood, without):
        return (stats.percentile(with_flood, 95) - stats.percentile(without, 95)) / turn

    print(f"p95 wait {stats.percentile(before, 95) * 1000:.0f} ms without the flood, "
          f"{stats.percentile(beside, 95) * 1000:.0f} ms beside it; a turn {turn * 1000:.0f} ms, "
          f"{len(flood.ended)} of the flood answered", flush=True)
    figures.show(args, name, "rise of the p95 wait, in turns", stats.interval(rise, beside, before),
                 Goal(1), REQUESTS)
