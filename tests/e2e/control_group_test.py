"""Four models in a control group that holds two of them: random requests, and nobody is killed for
lack of memory or turned away. Two real models, two synthetic ones.
AIOSS_LONG=1: half an hour instead of half a minute. Usage: control_group_test.py [SEED]"""
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import control_group  # noqa: E402
import skips  # noqa: E402
from aioss_server import GEMMA, MODELS, SMOLLM2, AiossServer, run, wait_until  # noqa: E402
from open_stream import OpenStream  # noqa: E402
from synthetic_model import synthetic_model  # noqa: E402

SECONDS = 1800 if os.environ.get("AIOSS_LONG") else 30
SEED = int(sys.argv.pop(1)) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
# As many as models have room at once, so that whoever is asked for another finds one to evict.
CLIENTS = 2
SYNTHETIC = ((128, "Q8_0"), (160, "Q4_0"))  # MiB, type
# What the gateway keeps back (docs/memory.md), and what it and a dry run take themselves.
RESERVE, GATEWAY = 64 << 20, 128 << 20
SESSION = ("--parallel", 2, "--ctx", 1024, "--threads", min(2, os.cpu_count()))
FLAGS = (*SESSION, "--prefix-mib", 32, "--spill-mib", 32)
CACHES = ("prefixes", "spilled")  # what a book may hold of models that do not run
WORDS = "the court heard that a clerk had kept no record of what was said to whom and when".split()


def committed(model, folder):
    plan = run("plan", model, "--json", "--models-dir", folder, *SESSION)
    assert plan.returncode == 0, plan.stderr
    return json.loads(plan.stdout)["bytes"]["committed"]


def forget_pages(path):
    """So that whoever reads the file next is charged for its pages."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def books(server):
    status, _, page = server.get("/admin/memory")
    assert status == 200, page
    return next(d for d in page["devices"] if d["device"] == "CPU"), page


class Client(threading.Thread):
    """Asks at random until the time is over. wrong: what it was told and should not have been."""

    def __init__(self, server, models, seed, until):
        super().__init__()
        self.server, self.models, self.until = server, models, until
        self.dice, self.answered, self.wrong = random.Random(seed), 0, []

    def body(self):
        words = self.dice.choices(WORDS, k=self.dice.choice((3, 40, 400)))
        return {"model": self.dice.choice(self.models), "prompt": " ".join(words),
                "max_tokens": self.dice.choice((1, 8, 40)), "ignore_eos": True,
                "temperature": self.dice.choice((0, 1)), "seed": self.dice.randrange(1 << 30)}

    def ask(self):
        body = self.body()
        if self.dice.random() < 0.3:
            stream = OpenStream(self.server, {**body, "stream": True})
            stream.read_to_end()
            stream.close()
            ended = any(c.get("finish_reason") for e in stream.events()
                        for c in e.get("choices") or [])
            return None if ended else (body["model"], stream.data[-300:])
        status, _, answer = self.server.post("/v1/completions", body)
        good = status == 200 and answer["usage"]["completion_tokens"] == body["max_tokens"]
        return None if good else (body["model"], status, answer)

    def run(self):
        while time.monotonic() < self.until and not self.wrong:
            try:
                problem = self.ask()
            except (OSError, AssertionError, KeyError) as error:
                problem = repr(error)
            if problem:
                self.wrong.append(problem)
            self.answered += 1


class ControlGroup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="aioss-models-")
        files = [pathlib.Path(MODELS) / f"{name}.gguf" for name in (SMOLLM2, GEMMA)]
        files += [synthetic_model(mib, kind) for mib, kind in SYNTHETIC]
        for file in files:
            # Copies: pages that another process holds mapped would not be charged to the group.
            shutil.copy(file, f"{cls.folder.name}/{file.name}")
        cls.names = [file.stem for file in files]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def limits(self):
        needs = sorted(committed(name, self.folder.name) for name in self.names)
        limit = sum(needs[-CLIENTS:]) + RESERVE + GATEWAY
        print(f"needs {[n >> 20 for n in needs]} MiB, limit {limit >> 20} MiB, seed {SEED}",
              flush=True)
        self.assertLess(limit, sum(needs))
        for name in self.names:
            forget_pages(f"{self.folder.name}/{name}.gguf")
        return limit

    def test_random_requests_below_the_sum_of_models(self):
        limit = self.limits()
        with control_group.limited(limit) as (group, why):
            if group is None:
                skips.skip_loudly(self, why)
            with AiossServer(*FLAGS, models=self.folder.name,
                             inside=control_group.enter(group)) as server:
                self.assertLessEqual(books(server)[0]["limit_bytes"], limit - RESERVE)
                try:
                    self.ask_all(server)
                    self.unload_all(server, group)
                finally:
                    kills = group.kills()
                    print(f"peak {group.peak() >> 20} MiB, {kills} killed", flush=True)
            self.assertEqual(kills, 0)

    def ask_all(self, server):
        until = time.monotonic() + SECONDS
        clients = [Client(server, self.names, SEED + i, until) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        evictions = books(server)[1]["evictions_total"]
        print(f"{sum(c.answered for c in clients)} answers, {evictions} evictions", flush=True)
        self.assertEqual([wrong for c in clients for wrong in c.wrong], [])
        self.assertGreater(evictions, 0)

    def unload_all(self, server, group):
        for name in self.names:
            status, _, answer = server.post(f"/admin/models/{name}/unload?force=1", {})
            self.assertEqual(status, 200, answer)
        wait_until(lambda: not server.worker_pids(), what="the end of all workers")

        def balanced():
            device, _ = books(server)
            kinds = {kind: size for m in device["models"] for kind, size in m["leases"].items()}
            left = sum(size for kind, size in kinds.items() if kind not in CACHES)
            over = device["over_bytes"] + sum(m["beyond_bytes"] for m in device["models"])
            return left == 0 and over == 0 and device["leased_bytes"] <= len(self.names) * 32 << 20
        wait_until(balanced, what="books without leases of models that do not run")
        # States of prompts are kept for the next load; the rest of the group is the gateway.
        kept = books(server)[0]["leased_bytes"]
        self.assertLess(group.held(), kept + GATEWAY)


if __name__ == "__main__":
    skips.main()
