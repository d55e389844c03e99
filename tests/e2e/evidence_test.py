"""Receipts, bundles, proofs and forks of a real ledger, judged by `aioss verify` and by the
independent verifier, which must agree."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from aioss_server import AiossServer, run  # noqa: E402

CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
VERIFIER = ROOT / "tools" / "aioss_verify.py"


class Evidence(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-evidence-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def ours(self, expect, path, vkey, *arguments):
        result = run("verify", path, "--key", vkey, "--json", *arguments, cwd=self.folder)
        self.assertIn(result.returncode, expect, result.stdout + result.stderr)
        return result

    def both(self, expect, path, vkey, *arguments):
        """Expects an exit code, or one of several, of both verifiers. The C++ one's report."""
        ours = self.ours(expect if isinstance(expect, tuple) else (expect,), path, vkey, *arguments)
        expect = ours.returncode
        others = subprocess.run([sys.executable, VERIFIER, path, "--key", vkey, *arguments],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(others.returncode, expect, others.stdout + others.stderr)
        return json.loads(ours.stdout)

    def write(self, name, content):
        path = self.folder / name
        path.write_text(content)
        return path

    def flipped(self, path, at):
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        bad = path.with_name("bad-" + path.name)
        bad.write_bytes(content)
        return bad

    def test_receipts(self):
        with AiossServer(fake=True) as server:
            status, headers, _ = server.post("/v1/chat/completions", CHAT)
            self.assertEqual(status, 200)
            request = headers["X-Aioss-Request-Id"]
            status, _, receipt = server.get(f"/v1/receipts/{request}")
            self.assertEqual(status, 200, receipt)
            self.assertEqual(receipt["request_id"], request)
            self.assertEqual(server.get("/v1/receipts/req_0")[0], 404)
            path = self.write("receipt.json", json.dumps(receipt))
            report = self.both(0, path, server.vkey)
            self.assertEqual(report["request_id"], request)
            self.both(2, self.flipped(path, path.read_text().index('"frame"') + 60), server.vkey)
            # With the ledger it came from, while it grows, and after.
            self.ours((0,), server.ledger, server.vkey, "--receipt", path)
            server.stop()
            self.ours((0,), server.ledger, server.vkey, "--receipt", path)
            self.write("kept.note", receipt["checkpoint"])
            self.both(0, server.ledger, server.vkey, "--since", str(self.folder / "kept.note"))

    def test_bundles_proofs_and_status(self):
        with AiossServer(fake=True) as server:
            for _ in range(3):
                self.assertEqual(server.post("/v1/chat/completions", CHAT)[0], 200)
            server.stop()
            bundle = self.folder / "out.aioss"
            made = run("ledger", "export", bundle, server.ledger, "--json")
            self.assertEqual(made.returncode, 0, made.stderr)
            self.both(0, bundle, server.vkey)
            self.assertEqual([r["type"] for r in server.records()].count("ACCESS"), 1)
            again = run("ledger", "export", bundle, server.ledger)
            self.assertNotEqual(again.returncode, 0)
            size = json.loads(made.stdout)["size"]
            part = self.folder / "part.aioss"
            self.assertEqual(run("ledger", "export", part, server.ledger, "--first", 2, "--after",
                                 5).returncode, 0)
            self.both(0, part, server.vkey)
            for at in range(600, part.stat().st_size, 331):
                self.both((2, 6), self.flipped(part, at), server.vkey)
            listed = subprocess.run(["tar", "-tf", bundle], capture_output=True, text=True)
            self.assertIn("records.csv", listed.stdout)
            lines = subprocess.run(["tar", "-xOf", bundle, "records.jsonl"], capture_output=True,
                                   text=True).stdout
            records = server.records()[:json.loads(made.stdout)["after"]]
            for record in records:  # the vault's, not the ledger's
                record.pop("names", None)
            self.assertEqual([json.loads(line) for line in lines.splitlines()], records)
            status = json.loads(run("ledger", "status", server.ledger, "--json").stdout)
            size += 1  # the second export, which succeeded; the one between was refused before
            self.assertEqual(status["records"], size)
            self.assertEqual(status["window"]["records"], size)
            for kind in (["inclusion", "2"], ["consistency", "2", "5"], ["range", "1", "4"]):
                proof = run("ledger", "prove", *kind, "--ledger", server.ledger, "--json")
                self.assertEqual(proof.returncode, 0, proof.stderr)
                self.assertEqual(json.loads(proof.stdout)["kind"], kind[0])
            self.assertEqual(run("ledger", "prove", "inclusion", str(size), "--ledger",
                                 server.ledger).returncode, 2)

    def test_a_copy_that_goes_on_is_a_fork(self):
        with AiossServer(fake=True) as server:
            self.assertEqual(server.post("/v1/chat/completions", CHAT)[0], 200)
            server.stop()
            copy = self.folder / "copy"
            shutil.copytree(server.ledger, copy)
            for ledger, prompt in ((server.ledger, "one"), (copy, "two")):
                for _ in range(2):
                    done = run("run", "scripted", prompt, "--ledger", ledger, "--models-dir",
                               server.models, "--fake-models")
                    self.assertEqual(done.returncode, 0, done.stderr)
            kept = self.folder / "kept.note"
            shutil.copy(copy / "checkpoint", kept)
            report = self.both(4, server.ledger, server.vkey, "--since", str(kept))
            self.assertIn("rewritten", report["finding"])
            proof = self.folder / "fork.proof"
            self.assertTrue(proof.exists())
            self.both(4, proof, server.vkey)
            before = proof.read_bytes()
            again = run("verify", server.ledger, "--key", server.vkey, "--since", kept,
                        cwd=self.folder)
            self.assertEqual(again.returncode, 4)
            self.assertIn("not written", again.stderr)
            self.assertEqual(proof.read_bytes(), before)
            self.both(2, self.flipped(proof, len(before) // 2), server.vkey)


if __name__ == "__main__":
    unittest.main()
