"""Four clients beside sixty that read 100 bytes a second.

The work-conserving share of the four: a machine that wastes nothing gives the slow readers what
they take and the four all the rest. Alone, the four get T tokens a second. The sixty take R tokens
a second: the text that they read in the time, in tokens. So the share is T − R, with one token of
theirs counted like one of the four's, and the figure is (what the four get) ÷ (T − R).

R is what was read and not what was computed: a server that computes ahead of its slow readers
gets no credit for that. Reading is bound to 100 bytes a second by the reader itself; an event of
one token has about 200 bytes on the wire, so each of the sixty takes about half a token a second.
"""
import contextlib
import pathlib
import re
import threading
import time

import client
import figures
import servers
import stats
from common import bodies, paired, warm_up
from figures import Goal

SLOW_CLIENTS = 60
BYTES_A_SECOND = 100
# A slow answer must outlast the measurement: what fits the buffers between server and reader
# (about 500 tokens), and then some tokens a second.
SLOW_TOKENS = 1900
STREAMS = 4
CONTEXT = 2048
SPILL_MIB = 6144
TOKENS_OUT = 192  # of the four: so long that the slow ones' turns fall into every measurement
SETTLE_SECONDS_MAX = 900
STEADY_SECONDS = 3


class SlowReaders:
    """Clients that read so many bytes a second each, with pauses that are far shorter than the two
    minutes after which a client that reads nothing is given up."""

    def __init__(self, port, requests):
        self._sockets = [client.ask_and_never_read(port, body) for body in requests]
        self._received = [bytearray() for _ in self._sockets]
        for sock in self._sockets:
            sock.setblocking(False)
        self._reads, self._stopped = threading.Event(), threading.Event()
        self._reads.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _read(self, index):
        with contextlib.suppress(BlockingIOError, ConnectionError):  # ended() sees what is missing
            self._received[index] += self._sockets[index].recv(BYTES_A_SECOND)

    def _run(self):
        """A tenth of them each tenth of a second."""
        turn = 0
        while not self._stopped.is_set():
            self._reads.wait(0.5)
            if self._reads.is_set():
                for index in range(turn % 10, len(self._sockets), 10):
                    self._read(index)
                turn += 1
                time.sleep(0.1)

    def resume(self):
        self._reads.set()

    def pause(self):
        self._reads.clear()

    def text_bytes(self):
        """Of what was read, all clients together."""
        return sum(len(text) for received in self._received
                   for text in re.findall(rb'"text":"((?:[^"\\]|\\.)*)"', received))

    def ended(self):
        return sum(b"[DONE]" in received or b'"error"' in received for received in self._received)

    def close(self):
        self._stopped.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()


def wait_settled(server):
    """Until the slow ones have got what their buffers hold: nearly all of them wait at any moment,
    and only what they read is computed for them."""
    began, quiet = time.monotonic(), 0
    while quiet < 3:
        time.sleep(1)
        waiting = servers.metric(server.port, "aioss_sequences_spilled") + servers.metric(
            server.port, "aioss_sequences_parked")
        quiet = quiet + 1 if waiting >= SLOW_CLIENTS - STREAMS else 0
        elapsed = time.monotonic() - began
        if int(elapsed) % 20 == 0:
            figures.progress(f"{waiting:.0f} of {SLOW_CLIENTS} slow clients wait to read on, "
                             f"{elapsed:.0f} s")
        if elapsed > SETTLE_SECONDS_MAX:
            raise RuntimeError("the slow clients are not all served after 15 minutes")


def text_bytes_a_token(answers):
    return (sum(len("".join(a.text).encode()) for a in answers) /
            sum(a.completion_tokens for a in answers))


class Measurement:
    def __init__(self, name, slow, crowded, empty):
        self.name, self.slow, self.crowded, self.empty = name, slow, crowded, empty
        self.taken = []  # tokens a second of the slow ones

    def four(self, server, pair):
        requests = [{**body, "max_tokens": TOKENS_OUT}
                    for body in bodies(self.name, STREAMS, 30 + pair)]
        answers, seconds = client.burst(server.port, requests)
        return sum(a.completion_tokens for a in answers) / seconds, answers, seconds

    def alone(self, pair):
        return self.four(self.empty, pair)[0]

    def beside(self, pair):
        """Speed of the four; what the slow ones took meanwhile is kept."""
        self.slow.resume()
        time.sleep(STEADY_SECONDS)
        before = self.slow.text_bytes()
        speed, answers, seconds = self.four(self.crowded, pair)
        taken = self.slow.text_bytes() - before
        self.slow.pause()
        self.taken.append(taken / text_bytes_a_token(answers) / seconds)
        figures.progress(f"pair {pair + 1}: {speed:.1f} tokens/s of the four, "
                         f"{self.taken[-1]:.1f} of the slow ones")
        time.sleep(1)  # what was begun for them ends
        return speed


def bench_slow(args, peer, model):
    """Four clients beside 60 that read 100 bytes a second, against their share."""
    del peer
    name = pathlib.Path(model).stem

    def start():
        return servers.start_aioss(args.aioss, args.models, STREAMS, CONTEXT, args.threads,
                                   args.profile, ("--spill-mib", SPILL_MIB))

    figures.title(f"{name}: 4 clients beside {SLOW_CLIENTS} that read {BYTES_A_SECOND} bytes/s")
    with start() as crowded, start() as empty:
        for server in (crowded, empty):
            server.wait_listening()
            warm_up(server, name)
        slow = SlowReaders(crowded.port, [
            {**body, "max_tokens": SLOW_TOKENS, "prompt": client.prompt(seed, 20)}
            for seed, body in enumerate(bodies(name, SLOW_CLIENTS, 20))])
        try:
            wait_settled(crowded)
            slow.pause()
            measurement = Measurement(name, slow, crowded, empty)
            results = paired(args.pairs or 8, measurement.beside, measurement.alone)
            if slow.ended():
                raise RuntimeError(f"{slow.ended()} slow answers ended during the measurement")
        finally:
            slow.close()
    shares = [alone - taken for (_, alone), taken in zip(results, measurement.taken)]
    figures.show(args, name, "what the slow ones take, tokens/s", stats.median(measurement.taken),
                 samples=len(results))
    figures.show(args, name, "speed of the four against four alone", stats.median_ratio(results),
                 samples=len(results))
    figures.show(args, name, "speed of the four against their work-conserving share",
                 stats.median_ratio([(r[0], share) for r, share in zip(results, shares)]),
                 Goal(0.95, at_least=True), len(results))
