"""What the ledger says besides inferences, of a real server: reviews over HTTP and by `aioss
review`, changes of keys and of the models folder, refusals, and what a killed gateway left open."""
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import FIXTURES, AiossServer, run, wait_until  # noqa: E402

CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
ROOM = 512 << 20  # more than a ledger keeps free
COMMENT = "the dose is wrong, see chart 7"


def bodies(records, kind):
    return [r["body"] for r in records if r["type"] == kind]


class Records(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-records-"))
        self.models = self.folder / "models"
        shutil.copytree(FIXTURES, self.models)
        self.addCleanup(shutil.rmtree, self.folder)

    def ask(self, server, expect=200, **changes):
        status, _, answer = server.post("/v1/chat/completions", {**CHAT, **changes})
        self.assertEqual(status, expect, answer)
        return answer

    def review(self, server, *arguments, expect=0):
        result = run("review", *arguments, "--ledger", server.ledger, "--json")
        self.assertEqual(result.returncode, expect, result.stderr)
        return json.loads(result.stdout) if expect == 0 else result.stderr

    def test_reviews(self):
        with AiossServer(fake=True, models=self.models) as server:
            ours = self.ask(server)["aioss"]
            status, _, review = server.post("/v1/reviews", {
                "request_id": ours["request_id"], "verdict": "overridden", "comment": COMMENT})
            self.assertEqual(status, 200, review)
            self.assertEqual(review["reviewed_record"], ours["result_record"])
            self.assertEqual(len(review["comment_salt"]), 64)
            status, _, error = server.post("/v1/reviews", {"record": 0, "verdict": "approved"})
            self.assertEqual((status, error["error"]["param"]), (404, "record"))
            refusal = self.review(server, ours["request_id"], "--verdict", "approved", "--by",
                                  "bob", expect=4)
            self.assertIn("in use", refusal)
            self.assertIn("/v1/reviews", refusal)
            server.stop()
            by_hand = self.review(server, ours["request_record"], "--verdict", "approved", "--by",
                                  "bob", "--comment", COMMENT)
            self.assertEqual(by_hand["request_id"], ours["request_id"])
            self.assertNotEqual(by_hand["comment_salt"], review["comment_salt"])
            self.review(server, "req_nobody", "--verdict", "approved", "--by", "bob", expect=3)
            self.review(server, ours["request_id"], "--verdict", "good", "--by", "bob", expect=2)
            self.review(server, ours["request_id"], "--verdict", "approved", expect=2)
            reviews = [r for r in server.records() if r["type"] == "HUMAN_REVIEW"]
            self.assertEqual([r["index"] for r in reviews], [review["record"], by_hand["record"]])
            self.assertEqual([r["body"]["verdict"] for r in reviews], ["overridden", "approved"])
            self.assertEqual(reviews[0]["body"]["comment_bytes"], len(COMMENT))
            # The record has the reviewer's id; the vault, which this test may read, has the name.
            reviewer = reviews[1]["body"]["actor"]["name"]
            self.assertEqual(reviews[1]["names"][reviewer], "local/bob")
            for path in server.home.rglob("*"):
                if path.is_file():
                    self.assertNotIn(COMMENT.encode(), path.read_bytes(), path)

    def test_a_review_makes_no_ledger(self):
        absent = self.folder / "no-ledger"
        result = run("review", "7", "--verdict", "approved", "--by", "bob", "--ledger", absent)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1)
        self.assertFalse(absent.exists())

    def test_a_ledger_for_trials_in_memory(self):
        memory = pathlib.Path("/dev/shm")
        kind = subprocess.run(["stat", "-f", "-c", "%T", memory], capture_output=True, text=True)
        if kind.stdout.strip() != "tmpfs" or shutil.disk_usage(memory).free < ROOM:
            self.skipTest("/dev/shm is no file system in memory here, or a small one")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-trial-", dir=memory))
        self.addCleanup(shutil.rmtree, folder)
        ledger = folder / "ledger"
        refused = run("ledger", "init", ledger)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("--unsafe-fs", refused.stderr)
        made = run("ledger", "init", ledger, "--unsafe-fs", "--json")
        self.assertEqual(made.returncode, 0, made.stderr)
        answer = run("run", "scripted", "Hi", "--ledger", ledger, "--models-dir", self.models,
                     "--fake-models")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("is for trials", answer.stderr)
        copy = self.folder / "copy"
        backup = run("ledger", "backup", ledger, copy)
        self.assertEqual(backup.returncode, 0, backup.stderr)
        self.assertNotIn("no record says so", backup.stderr)
        for place in (ledger, copy):
            verified = run("verify", place, "--key", json.loads(made.stdout)["vkey"])
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_operators_and_refusals(self):
        keys = self.folder / "keys"

        def key(user, role):
            made = run("key", "new", "--tenant", "t", "--user", user, "--role", role, "--file",
                       keys, "--json")
            self.assertEqual(made.returncode, 0, made.stderr)
            return json.loads(made.stdout)

        alice, olga = key("alice", "user"), key("olga", "operator")
        as_alice = {"Authorization": f"Bearer {alice['key']}"}
        as_olga = {"Authorization": f"Bearer {olga['key']}"}
        with AiossServer("--keys", keys, "--models-watch", "off", fake=True,
                         models=self.models) as server:
            for headers, model, expect in ((as_alice, "scripted", 200), (as_alice, "nosuch", 404),
                                           (as_alice, "damaged", 500), ({}, "scripted", 401)):
                status, _, answer = server.post("/v1/chat/completions", {**CHAT, "model": model},
                                                headers)
                self.assertEqual(status, expect, answer)
            self.assertEqual(server.post("/admin/models/rescan", {}, as_alice)[0], 403)
            shutil.copy(self.models / "tiny.fake", self.models / "second.fake")
            self.assertEqual(server.post("/admin/models/rescan", {}, as_olga)[0], 200)
            (self.models / "second.fake").unlink()
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "second" not in json.dumps(server.get("/v1/models", as_olga)[2]),
                       what="the rescan")
            bob = key("bob", "user")
            as_bob = {"Authorization": f"Bearer {bob['key']}"}
            wait_until(lambda: server.get("/v1/models", as_bob)[0] == 200, what="the new key")
            server.stop()
            records = server.records()
        actions = bodies(records, "ADMIN_ACTION")
        self.assertEqual([(a["action"], a["details"]) for a in actions], [
            ("keys_changed", [f"added {alice['id']}", f"added {olga['id']}"]),
            ("rescan", ["appeared second"]), ("rescan", ["vanished second"]),
            ("keys_changed", [f"added {bob['id']}"])])
        rescan = next(r for r in records if r["body"].get("action") == "rescan")
        self.assertEqual(list(rescan["names"].values()), ["t/olga"])
        self.assertEqual(actions[2]["actor"]["source"], "signal")
        self.assertEqual(records[actions[3]["ref"]]["type"], "CONFIG_CHANGE")
        decisions = {(d["kind"], d["outcome"], d["reason"], d.get("model"))
                     for d in bodies(records, "DECISION")}
        self.assertIn(("admission", "refused", "not_found", None), decisions)
        self.assertIn(("load", "failed", "model_corrupt", "damaged"), decisions)
        refused = {}
        for body in bodies(records, "AUTH"):
            refused[body["reason"]] = refused.get(body["reason"], 0) + body["count"]
        # A key that is not in force yet is unknown for as long as it takes.
        self.assertEqual((refused["no_key"], refused["role"]), (1, 1))
        self.assertLessEqual(set(refused), {"no_key", "role", "unknown_key"})

    def test_engine_start_says_what_runs(self):
        with AiossServer(fake=True, models=self.models) as server:
            self.ask(server)
            server.stop()
            (start,) = bodies(server.records(), "ENGINE_START")
        for name in ("engine", "version", "build_id", "compiler", "product_version", "cpu_model"):
            self.assertTrue(start[name], name)
        self.assertEqual(len(start["binary_sha3"]), 64)
        version = json.loads(run("version", "--json").stdout)
        (llama,) = [e for e in version["engines"] if e["name"] == "llama"]
        self.assertRegex(llama["build"], r"^llama\.cpp-[0-9a-f]{7,}"
                         r"\+(unpatched|patches-[0-9a-f]{12})\+cpu-[a-z0-9-]+$")
        self.assertRegex(llama["compiler"], r"^\S+ \d")
        self.assertTrue(llama["cpu_features"])

    def test_what_a_kill_leaves_open_is_ended(self):
        server = AiossServer(fake=True, models=self.models).start()
        self.ask(server)
        server.kill()
        server.process.stdout.close()
        with server:
            self.ask(server)
            server.stop()
            records = server.records()
        self.assertEqual([b["reason"] for b in bodies(records, "MODEL_UNLOAD")],
                         ["crash", "shutdown"])
        self.assertEqual([b["reason"] for b in bodies(records, "ENGINE_STOP")],
                         ["crash", "shutdown"])
        self.assertEqual(bodies(records, "UPDATE"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
