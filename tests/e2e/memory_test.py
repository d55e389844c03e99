"""Real models in less memory than all of them take: who has what, that swapping them leaves nothing
behind, and what is refused. AIOSS_LONG=1: 1,000 swaps.
Usage: memory_test.py"""
import os
import pathlib
import statistics
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import GEMMA, SMOLLM2, AiossServer, wait_until  # noqa: E402

LONG = bool(os.environ.get("AIOSS_LONG"))
SWAPS = 1000 if LONG else 30
WARM_UP = SWAPS // 5  # swaps after which the gateway has grown to what it needs
WINDOW = SWAPS // 5   # swaps, early and late, whose medians are compared
DRIFT = 0.01
PAGES = 64 << 10      # what the allocator may have touched more at that moment, in a short run


def private(pid):
    """Bytes that are this process's own: pages of files come and go as the kernel likes. Counted
    page by page, because RssAnon is a sum that each processor adds to only now and then."""
    try:
        text, names = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), ("Pss_Anon",
                                                                              "Pss_Shmem")
    except PermissionError:  # a confined worker lets only root look
        text, names = pathlib.Path(f"/proc/{pid}/status").read_text(), ("RssAnon", "RssShmem")
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return sum(int(fields[name].split()[0]) * 1024 for name in names)


class Memory(unittest.TestCase):
    flags = ("--parallel", 1, "--ctx", 512, "--threads", min(2, os.cpu_count()), "--prefix-mib", 0,
             "--spill-mib", 0)

    def ask(self, server, model, expect=200):
        status, _, answer = server.post("/v1/completions", {
            "model": model, "prompt": "Once", "max_tokens": 4, "temperature": 0})
        self.assertEqual(status, expect, answer)
        return answer

    def host(self, server):
        status, _, page = server.get("/admin/memory")
        self.assertEqual(status, 200)
        return next((d for d in page["devices"] if d["device"] == "CPU"), {"models": []}), page

    def measured(self, server, model):
        def look():
            models = {m["model"]: m for m in self.host(server)[0]["models"]}
            found = models.get(model)
            return found if found and found["measured_bytes"] else None
        return wait_until(look, what="a measurement")

    def sizes(self):
        """What each takes alone, as the books have it once it has worked."""
        sizes = {}
        with AiossServer(*self.flags) as server:
            for model in (SMOLLM2, GEMMA):
                self.ask(server, model)
                time.sleep(1.5)  # figures are about a second old
                sizes[model] = self.measured(server, model)["used_bytes"]
        return sizes

    def only_worker(self, server):
        """The one that answers; the last one's process may still be on its way out."""
        return wait_until(lambda: server.worker_pids() if len(server.worker_pids()) == 1 else None,
                          what="one worker")[0]

    def no_drift(self, whose, sizes):
        share = len(sizes) * WINDOW // SWAPS
        first = len(sizes) * WARM_UP // SWAPS
        early = statistics.median(sizes[first:first + share])
        late = statistics.median(sizes[-share:])
        print(f"{whose}: {early / 2**20:.2f} MiB early, {late / 2**20:.2f} MiB late", flush=True)
        self.assertLess(late - early, max(early * DRIFT, 0 if LONG else PAGES), whose)

    def test_models_take_turns_and_leave_nothing(self):
        sizes = self.sizes()
        limit = max(sizes.values()) + min(sizes.values()) // 2
        with AiossServer("--memory-max", limit, *self.flags) as server:
            want = {model: self.ask(server, model)["choices"][0]["text"]
                    for model in (SMOLLM2, GEMMA)}
            own, workers = [], {SMOLLM2: [], GEMMA: []}
            for swap in range(SWAPS):
                model = (SMOLLM2, GEMMA)[swap % 2]
                answer = self.ask(server, model)
                self.assertEqual(answer["choices"][0]["text"], want[model])
                own.append(private(server.process.pid))
                workers[model].append(private(self.only_worker(server)))
            self.no_drift("the gateway", own)
            for model, sizes in workers.items():
                self.no_drift(f"a new worker of {model}", sizes)
            self.assertEqual(len(server.worker_pids()), 1)
            _, page = self.host(server)
            self.assertGreaterEqual(page["evictions_total"], SWAPS - 1)
            self.assertEqual(page["evictions"][-1]["reason"], "replaced")

    def test_what_cannot_fit_is_refused_before_it_is_loaded(self):
        with AiossServer("--memory-max", "32MiB", *self.flags) as server:
            error = self.ask(server, SMOLLM2, 507)["error"]
            self.assertEqual(error["code"], "no_memory")
            self.assertIn("needs", error["message"])
            self.assertIn("33.6 MB", error["message"])
            self.assertEqual(server.worker_pids(), [])
            server.stop()
            kinds = [record["type"] for record in server.records()]
            self.assertNotIn("MODEL_LOAD", kinds)


if __name__ == "__main__":
    unittest.main(verbosity=2)
