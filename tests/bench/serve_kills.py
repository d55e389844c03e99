"""kill -9 of the worker, again and again, under eight streams in profile `reproducible`.

The requests are a fixed list (greedy and with seeds); their texts are taken first, undisturbed.
Then eight clients ask them over and over while the worker is killed: mostly after each of the
streams that were there has got on, now and then while the next worker is still loading. Every
answer must be the undisturbed one: the same bytes, the same number of tokens."""
import contextlib
import os
import pathlib
import random
import signal
import threading
import time

import client
import figures
import servers
from common import ask, warm_up
from figures import Goal

STREAMS = 8
REQUESTS = 24
TOKENS = 40
CONTEXT = 512
# A stream that is killed five times without a token between runs alone from then on.
EARLY_KILLS_IN_A_ROW = 2
EARLY_KILL_SHARE = 0.1
PROGRESS_SECONDS_MAX = 300
KILLS_A_REPORT = 10


def request(name, number):
    sampling = {"temperature": 0} if number % 2 == 0 else {"temperature": 0.9, "seed": number}
    return {"model": name, "prompt": client.prompt(40_000 + number, 8 + number % 16),
            "max_tokens": TOKENS, "ignore_eos": True, **sampling}


class Clients:
    """Eight threads that ask, compare, and ask again."""

    def __init__(self, server, name, undisturbed):
        self.server, self.name, self.undisturbed = server, name, undisturbed
        self.answers = 0
        self.failures, self.differences = [], []
        self.current = [None] * STREAMS  # (the stream, its number), of each client
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                         for i in range(STREAMS)]
        for thread in self._threads:
            thread.start()

    def _run(self, client_number):
        turn = 0
        while not self._stopped.is_set():
            number = (client_number * 3 + turn) % REQUESTS
            turn += 1
            try:
                stream = client.Stream(self.server.port, request(self.name, number))
                self.current[client_number] = stream
                self._compare(number, stream.answer())
            except (OSError, RuntimeError, ValueError) as error:
                self.failures.append(str(error))
                time.sleep(0.5)

    def _compare(self, number, answer):
        self.answers += 1
        whole = self.undisturbed[number]
        if (answer.text_whole() != whole.text_whole() or
                answer.completion_tokens != whole.completion_tokens):
            self.differences.append((number, answer.text_whole()[:200]))

    def progress(self):
        """Of each client: which stream it reads and how much has come of it."""
        return [(id(stream), stream.events()) if stream else None for stream in self.current]

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def got_on(before, now):
    """Every client has got an event, or another stream, since."""
    return all(b is not None and b != a for a, b in zip(before, now))


def wait_for(condition, what, process):
    deadline = time.monotonic() + PROGRESS_SECONDS_MAX
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {PROGRESS_SECONDS_MAX} s")
        time.sleep(0.005)


def workers(server):
    """{(number, when it began)}: numbers come again where many processes are started."""
    found = set()
    for pid in servers.descendants(server.process.pid):
        if pid == server.process.pid:
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.add((pid, servers.start_ticks(pid)))
    return found


def kill_worker(server, dead):
    """The next worker than those that are dead; waits for it to be there."""
    wait_for(lambda: workers(server) - dead, "another worker", server.process)
    for worker in workers(server) - dead:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker[0], signal.SIGKILL)
        dead.add(worker)


def kill_many(server, clients, kills):
    rng = random.Random(1)
    dead, early, began = set(), 0, time.monotonic()
    for kill in range(1, kills + 1):
        if early < EARLY_KILLS_IN_A_ROW and rng.random() < EARLY_KILL_SHARE:
            early += 1
        else:
            early = 0
            before = clients.progress()
            wait_for(lambda before=before: got_on(before, clients.progress()),
                     "every stream's next token", server.process)
            time.sleep(rng.uniform(0, 0.2))
        kill_worker(server, dead)
        if kill % KILLS_A_REPORT == 0 or kill == kills:
            figures.progress(f"{kill} kills, {clients.answers} answers, {len(clients.failures)} "
                             f"failed, {len(clients.differences)} differ, "
                             f"{time.monotonic() - began:.0f} s")


def bench_kills(args, peer, model):
    """kill -9 of workers under eight streams: nothing is lost, doubled or changed."""
    del peer
    name = pathlib.Path(model).stem
    figures.title(f"{name}: {args.kills} times kill -9 of the worker under {STREAMS} streams")
    with servers.start_aioss(args.aioss, args.models, STREAMS, CONTEXT, args.threads,
                             "reproducible") as server:
        server.wait_listening()
        warm_up(server, name)
        undisturbed = [ask(server, request(name, number)) for number in range(REQUESTS)]
        figures.progress(f"{REQUESTS} undisturbed texts of {TOKENS} tokens are there")
        clients = Clients(server, name, undisturbed)
        try:
            kill_many(server, clients, args.kills)
        finally:
            clients.stop()
    for what, found in (("failed", clients.failures), ("different", clients.differences)):
        for example in found[:3]:
            print(f"{what}: {example!r}", flush=True)
    figures.show(args, name, "failed streams", (len(clients.failures),) * 3, Goal(0), args.kills)
    figures.show(args, name, "answers with lost, doubled or other tokens",
                 (len(clients.differences),) * 3, Goal(0), clients.answers)
