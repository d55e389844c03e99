"""A flood of strangers and a flood of one tenant, at the same time: the ledger grows by a number of
records that time bounds and not the flood, every refusal is counted, and another tenant is served
meanwhile. Real server, fake engine, loopback. AIOSS_LONG=1: ten times as many requests."""
import http.client
import json
import os
import pathlib
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import AiossServer, run  # noqa: E402

LONG = os.environ.get("AIOSS_LONG", "") not in ("", "0")
STRANGERS = 20_000 if LONG else 2_000  # requests of each of two threads
LOUD = 20_000 if LONG else 2_000  # requests of the tenant over its budget
QUIET = 200 if LONG else 20
RATE, BURST = 20, 40
RECORDS_PER_REQUEST = 2
CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}


def make_key(keys, tenant, user):
    made = run("key", "new", "--tenant", tenant, "--user", user, "--file", keys, "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["key"]


class Caller(threading.Thread):
    """Asks one thing again and again over one connection; counts the statuses."""

    def __init__(self, port, count, key=None, path="/v1/chat/completions"):
        super().__init__()
        self.port, self.count, self.path = port, count, path
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        self.statuses = {}
        self.retry_after = set()
        self.problem = None

    def run(self):
        body = json.dumps(CHAT)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            for _ in range(self.count):
                connection.request("POST", self.path, body, self.headers)
                answer = connection.getresponse()
                answer.read()
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                if answer.status == 429:
                    self.retry_after.add(answer.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            self.problem = error
        finally:
            connection.close()


class Flood(unittest.TestCase):
    def test_floods_are_counted_and_starve_nobody(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            loud_key, quiet_key = make_key(keys, "loud", "l"), make_key(keys, "quiet", "q")
            with AiossServer("--keys", keys, "--record-rate", RATE, "--record-burst", BURST,
                             "--parallel", 4, fake=True) as server:
                self.flood(server, loud_key, quiet_key)

    def flood(self, server, loud_key, quiet_key):
        quiet_headers = {"Authorization": f"Bearer {quiet_key}"}
        status, _, answer = server.post("/v1/chat/completions", CHAT, quiet_headers)  # loads
        self.assertEqual(status, 200, answer)
        began = time.monotonic()
        strangers = [Caller(server.port, STRANGERS),
                     Caller(server.port, STRANGERS, key="aioss_nobody", path="/v1/models")]
        loud = Caller(server.port, LOUD, loud_key)
        flood = [*strangers, loud]
        for caller in flood:
            caller.start()
        served = self.quiet_is_served(server, quiet_headers)
        for caller in flood:
            caller.join()
        seconds = time.monotonic() - began
        status, _, health = server.get("/health", quiet_headers)
        self.assertEqual(status, 200, health)
        self.assertTrue(health["ledger"]["writable"], "the flood has used the reserve")
        server.stop()
        for caller in flood:
            self.assertIsNone(caller.problem)
        self.assertEqual([c.statuses for c in strangers], [{401: STRANGERS}] * 2)
        self.assertEqual(set(loud.statuses), {200, 429}, "the flood was no flood")
        self.assertEqual(loud.retry_after, {"1"})
        self.check_records(server.records(), loud.statuses, served, seconds)

    def quiet_is_served(self, server, headers):
        """Within its own budget: one request, then the time of its records."""
        for _ in range(QUIET):
            status, _, answer = server.post("/v1/chat/completions", CHAT, headers)
            self.assertEqual(status, 200, answer)
            time.sleep(RECORDS_PER_REQUEST / RATE)
        return QUIET + 1

    def check_records(self, records, loud, served, seconds):
        flushes = int(seconds) + 2  # one a second, and at the end
        auth = [r["body"] for r in records if r["type"] == "AUTH"]
        self.assertLessEqual(len(auth), 2 * flushes)
        counts = {}
        for body in auth:
            counts[body["reason"]] = counts.get(body["reason"], 0) + body["count"]
            self.assertLessEqual(body["first_wall_ns"], body["last_wall_ns"])
        self.assertEqual(counts, {"no_key": STRANGERS, "unknown_key": STRANGERS})
        decisions = [r["body"] for r in records if r["type"] == "DECISION"]
        self.assertLessEqual(len(decisions), flushes)
        self.assertEqual({(d["kind"], d["outcome"], d["reason"], d["actor"]["tenant"])
                          for d in decisions}, {("budget", "refused", "record_budget", "loud")})
        self.assertEqual(sum(d["count"] for d in decisions), loud[429])
        inferences = [r for r in records if r["type"].startswith("INFER_")]
        self.assertEqual(len(inferences), RECORDS_PER_REQUEST * (loud[200] + served))
        self.assertLessEqual(RECORDS_PER_REQUEST * loud[200], BURST + RATE * (seconds + 1))
        print(f"{2 * STRANGERS} strangers, {LOUD} requests of one tenant in {seconds:.1f} s: "
              f"{len(auth)} AUTH, {len(decisions)} DECISION, {len(inferences)} INFER records",
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
