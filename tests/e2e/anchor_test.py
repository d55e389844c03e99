"""Anchors with real processes: ledgers that are each other's witness, owners who rewrite, cut and
put back, a witness that is killed, a ledger held by a server, and codes read from a picture."""
import base64
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
sys.path.insert(0, str(ROOT / "tools"))
import aioss_verify  # noqa: E402
from aioss_server import BINARY, AiossServer, run  # noqa: E402

LONG = os.environ.get("AIOSS_LONG") == "1"
NOT_FOUND, FAILURE, UNAVAILABLE, CORRUPT = 3, 1, 4, 5
DASH = "\u2014 "


def note_parts(text):
    """(origin, size, root, [(name, key id, signature)]) of a signed note."""
    body, _, tail = text.partition("\n\n")
    origin, size, root = body.split("\n")
    lines = []
    for line in tail.splitlines():
        assert line.startswith(DASH), line
        name, signed = line[len(DASH):].split(" ")
        raw = base64.b64decode(signed, validate=True)
        lines.append((name, raw[:4], raw[4:]))
    return origin, int(size), base64.b64decode(root), lines


def time_of_cosignature(text, vkey):
    """As tlog-cosignature says, by a verifier that shares no code with ours. None: not signed."""
    name, key_id, key = vkey.strip().split("+", 2)
    public = base64.b64decode(key)
    assert public[0] == 4
    for line_name, line_id, signed in note_parts(text)[3]:
        if line_name == name and line_id.hex() == key_id:
            when = int.from_bytes(signed[:8], "big")
            message = f"cosignature/v1\ntime {when}\n" + text.partition("\n\n")[0] + "\n"
            assert hashlib.sha256(name.encode() + b"\n" + public).digest()[:4] == line_id
            try:
                aioss_verify.check_signature(public[1:], message.encode(), signed[8:])
            except aioss_verify.Bad:
                continue
            return when
    return None


class Party:
    """An owner: a ledger, and a witness of the same name for others' ledgers."""

    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        self.ledger, self.witness = self.folder / "ledger", self.folder / "witness"
        self.vkey = self.made("ledger", "init", self.ledger, "--origin", name)
        self.witness_vkey = self.made("witness", "init", self.witness, "--name", name)

    @staticmethod
    def made(*arguments):
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def export(self, *flags):
        return self.made("anchor", "export", self.ledger, *flags)

    def request(self, witness, *flags):
        path = self.folder / "request"
        self.export("--witness", witness.name, "-o", path, *flags)
        return path

    def sign(self, request, *flags):
        """(CompletedProcess, path of the cosigned note)."""
        path = self.folder / "cosigned"
        path.unlink(missing_ok=True)
        return run("witness", "sign", self.witness, request, "-o", path, *flags), path

    def take_in(self, note, witness, code=0):
        result = run("anchor", "import", self.ledger, note, "--witness-key", witness.witness_vkey,
                     "--json")
        assert result.returncode == code, result
        return json.loads(result.stdout) if code == 0 else result.stderr

    def anchor_at(self, witness):
        """A whole round; the size that was cosigned."""
        signed, path = witness.sign(self.request(witness), "--ledger", witness.ledger)
        assert signed.returncode == 0, signed.stderr
        return self.take_in(path, witness)["size"]

    def seen(self):
        result = self.made("witness", "status", self.witness, "--json")
        return {o["origin"]: o["size"] for o in json.loads(result)["origins"]}

    def anchors(self):
        return json.loads(self.made("anchor", "list", self.ledger, "--json"))

    def grow(self, count):
        for _ in range(count):  # each is a record
            self.export()


class AnchorTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-anchor-"))
        self.a, self.b = Party(self.folder, "a.example"), Party(self.folder, "b.example")
        for one, other in ((self.a, self.b), (self.b, self.a)):
            Party.made("witness", "trust", one.witness, other.vkey)

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def refused(self, witness, request, code, *words):
        result, path = witness.sign(request)
        self.assertEqual(result.returncode, code, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(path.exists())

    def verify(self, party, expect=0):
        result = run("verify", party.ledger, "--key", party.vkey, "--json")
        self.assertEqual(result.returncode, expect, result.stdout)

    def test_two_ledgers_are_each_others_witness(self):
        sizes = {}
        for _ in range(3):
            for one, other in ((self.a, self.b), (self.b, self.a)):
                sizes[one.name] = one.anchor_at(other)
                one.grow(2)
        for one, other in ((self.a, self.b), (self.b, self.a)):
            self.assertEqual(other.seen()[one.name], sizes[one.name])
            listed = one.anchors()
            self.assertEqual(listed["cosigned"], sizes[one.name])
            kinds = [row["kind"] for row in listed["anchors"]]
            self.assertEqual(kinds.count("cosigned"), 3)
            self.assertEqual(kinds.count("witnessed"), 3)
            self.verify(one)
            newest = one.ledger / "anchors" / f"{sizes[one.name]}-{other.name}.note"
            text = newest.read_text()
            self.assertLess(abs(time_of_cosignature(text, other.witness_vkey) - time.time()), 600)
            self.assertIsNone(time_of_cosignature(text, one.witness_vkey))
            # What witnesses signed goes with the evidence.
            bundle = self.folder / f"{one.name}.aioss"
            Party.made("ledger", "export", bundle, one.ledger)
            with tarfile.open(bundle) as members:
                self.assertIn(f"cosigned/{newest.name}", members.getnames())
            result = run("verify", bundle, "--key", one.vkey)
            self.assertEqual(result.returncode, 0, result)
            changed = text.replace(f"\n{sizes[one.name]}\n", f"\n{sizes[one.name] + 1}\n", 1)
            self.assertIsNone(time_of_cosignature(changed, other.witness_vkey))

    def test_an_unknown_ledger_is_refused(self):
        stranger = Party(self.folder, "c.example")
        self.refused(self.b, stranger.request(self.b), NOT_FOUND, "c.example", "witness trust")
        impostor = Party(self.folder / "b.example", "a.example")  # the name, and another key
        self.refused(self.b, impostor.request(self.b), FAILURE, "not signed by the key")

    def test_a_replayed_request_is_refused(self):
        request = self.a.request(self.b)
        result, path = self.b.sign(request)
        self.assertEqual(result.returncode, 0, result.stderr)
        first = self.a.take_in(path, self.b)
        self.assertIn("record", first)
        self.assertNotIn("record", self.a.take_in(path, self.b))  # once more: it is there already
        self.refused(self.b, request, UNAVAILABLE, f"has cosigned {first['size']} records",
                     "goes on from 0")
        self.assertEqual([r["kind"] for r in self.a.anchors()["anchors"]].count("cosigned"), 1)

    def test_a_wrong_proof_is_refused(self):
        self.a.grow(3)
        before = self.a.anchor_at(self.b)
        self.a.grow(6)
        good = self.a.request(self.b).read_text()
        head, _, tail = good.partition("\n\n")
        lines = head.split("\n")
        self.assertGreater(len(lines), 2)
        tried = 0
        for at in range(1, len(lines)):
            digest = bytearray(base64.b64decode(lines[at]))
            digest[at % 32] ^= 1
            changed = lines[:at] + [base64.b64encode(digest).decode()] + lines[at + 1:]
            for bad in (changed, lines[:at] + lines[at + 1:], lines + lines[at:at + 1]):
                path = self.folder / "bad"
                path.write_text("\n".join(bad) + "\n\n" + tail)
                self.refused(self.b, path, CORRUPT)
                tried += 1
        self.assertEqual(self.b.seen()["a.example"], before)
        result, _ = self.b.sign(self.folder / "a.example/request")
        self.assertEqual(result.returncode, 0, result.stderr)
        print(f"\n{tried} changed proofs refused")

    def test_a_ledger_put_back_is_refused_with_both_numbers(self):
        self.a.grow(2)
        old = self.folder / "old"
        shutil.copytree(self.a.ledger, old)
        self.a.grow(8)
        size = self.a.anchor_at(self.b)
        note = self.a.ledger / "anchors" / f"{size}-b.example.note"
        kept = self.folder / "kept"
        shutil.copy(note, kept)
        shutil.rmtree(self.a.ledger)
        shutil.move(old, self.a.ledger)
        request = self.a.request(self.b)
        now = note_parts(request.read_text().partition("\n\n")[2])[1]
        self.assertLess(now, size)
        self.refused(self.b, request, UNAVAILABLE, f"cosigned {size} records", f"only {now}")
        result = run("anchor", "export", self.a.ledger, "--witness", "b.example", "--old", size)
        self.assertEqual(result.returncode, UNAVAILABLE)
        self.assertIn(f"cosigned {size} records", result.stderr)
        message = self.a.take_in(kept, self.b, code=CORRUPT)
        self.assertIn(f"signed {size} records", message)
        # Nor does it pass before anybody else who kept the checkpoint.
        result = run("verify", self.a.ledger, "--key", self.a.vkey, "--since", kept)
        self.assertEqual(result.returncode, 3, result)

    def test_a_rewritten_ledger_is_seen(self):
        self.a.grow(1)
        other = self.folder / "other"
        shutil.copytree(self.a.ledger, other)  # with the key
        self.a.grow(5)
        size = self.a.anchor_at(self.b)
        while size & (size - 1) == 0:
            self.a.grow(1)
            size = self.a.anchor_at(self.b)
        kept = self.folder / "kept"
        shutil.copy(self.a.ledger / "anchors" / f"{size}-b.example.note", kept)
        shutil.rmtree(self.a.ledger)
        shutil.move(other, self.a.ledger)
        self.a.grow(size + 3)
        self.verify(self.a)  # alone it looks good
        self.assertIn("FORK", self.a.take_in(kept, self.b, code=CORRUPT))
        self.refused(self.b, self.a.request(self.b, "--old", size), CORRUPT, "FORK", "evidence/")
        (proof,) = (self.b.witness / "evidence").iterdir()
        document = json.loads(proof.read_text())
        self.assertEqual(document["format"], "aioss-fork/1")
        self.assertEqual(note_parts(document["first"])[1], size)
        # Anybody who has the key is convinced by it, with our verifier or the other one.
        for verify in ([BINARY, "verify"], [sys.executable, ROOT / "tools/aioss_verify.py"]):
            for key, code in ((self.a.vkey, 4), (self.b.vkey, 2)):
                result = subprocess.run([*verify, proof, "--key", key], capture_output=True,
                                        text=True, timeout=60)
                self.assertEqual(result.returncode, code, result)
        result = run("verify", self.a.ledger, "--key", self.a.vkey, "--since", kept,
                     "--fork-proof", self.folder / "fork.proof")
        self.assertEqual(result.returncode, 4, result)
        self.assertEqual(self.b.seen()["a.example"], size)

    def test_a_rotated_key_is_followed(self):
        self.a.grow(2)
        self.a.anchor_at(self.b)
        old = self.folder / "old"
        shutil.copytree(self.a.ledger, old)  # with the key that is destroyed next
        before = self.a.vkey
        for _ in range(2):
            result = run("ledger", "rotate-key", self.a.ledger, "--reason", "a test")
            self.assertEqual(result.returncode, 0, result)
        size = self.a.anchor_at(self.b)
        status = json.loads(Party.made("witness", "status", self.b.witness, "--json"))
        (seen,) = status["origins"]
        self.assertEqual(seen["size"], size)
        self.assertNotEqual(seen["vkey"], before)
        self.assertNotIn("\nkey ", self.a.request(self.b).read_text())  # it knows them now
        self.verify(self.a)
        # Whoever kept the old key has no use for it.
        shutil.rmtree(self.a.ledger)
        shutil.move(old, self.a.ledger)
        self.a.grow(size)
        self.refused(self.b, self.a.request(self.b, "--old", size), FAILURE,
                     "not signed by the key")

    def test_a_killed_witness_is_never_behind_its_answers(self):
        rounds = 200 if LONG else 12
        chance = random.Random(7)
        answered = 0
        began = time.monotonic()
        self.assertEqual(self.b.sign(self.a.request(self.b))[0].returncode, 0)
        span = time.monotonic() - began  # of two commands, so that some get to their end
        for _ in range(rounds):
            known = self.b.seen()["a.example"]
            request = self.a.request(self.b, "--old", known)
            path = self.folder / "answer"
            path.unlink(missing_ok=True)
            child = subprocess.Popen([BINARY, "witness", "sign", self.b.witness, request, "-o",
                                      path], stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * span)
            child.send_signal(signal.SIGKILL)
            child.wait()
            after = self.b.seen()["a.example"]
            self.assertGreaterEqual(after, known)
            if path.exists():
                text = path.read_text()
                self.assertIsNotNone(time_of_cosignature(text, self.b.witness_vkey))
                self.assertEqual(note_parts(text)[1], after)
                answered += 1
        print(f"\n{rounds} kills, {answered} answers before them")
        known = self.b.seen()["a.example"]
        result, path = self.b.sign(self.a.request(self.b, "--old", known))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.a.take_in(path, self.b)

    def test_one_witness_at_a_time(self):
        code = ("import fcntl,sys,time\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,fcntl.LOCK_EX)\n"
                "print('locked',flush=True)\ntime.sleep(60)\n")
        holder = subprocess.Popen([sys.executable, "-c", code, self.b.witness / "LOCK"],
                                  stdout=subprocess.PIPE, text=True)
        try:
            self.assertEqual(holder.stdout.readline(), "locked\n")
            self.refused(self.b, self.a.request(self.b), UNAVAILABLE, "try again")
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()
        self.assertEqual(self.b.sign(self.folder / "a.example/request")[0].returncode, 0)


class LiveLedger(unittest.TestCase):
    def test_a_ledger_held_by_a_server_is_asked_over_http(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-anchor-"))
        witness = Party(folder, "w.example")
        with AiossServer(fake=True) as server:
            Party.made("witness", "trust", witness.witness, server.vkey)
            for arguments in (["anchor", "export", server.ledger],
                              ["anchor", "import", server.ledger, witness.ledger / "checkpoint",
                               "--witness-key", witness.witness_vkey]):
                result = run(*arguments)
                self.assertEqual(result.returncode, UNAVAILABLE, result)
                self.assertIn("/admin/anchor", result.stderr)
            known = 0
            for _ in range(2):
                status, _, request = server.get("/admin/anchor?witness=w.example")
                self.assertEqual(status, 200, request)
                self.assertTrue(request.startswith(f"old {known}\n"), request)
                (folder / "request").write_text(request)
                result, path = witness.sign(folder / "request", "--ledger", witness.ledger)
                self.assertEqual(result.returncode, 0, result.stderr)
                status, _, taken = server.post("/admin/anchor",
                                               {"note": path.read_text(),
                                                "witness_key": witness.witness_vkey})
                self.assertEqual(status, 200, taken)
                known = taken["size"]
                server.post("/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 2})
            kinds = [json.dumps(r) for r in server.records() if r["type"] == "ANCHOR"]
            self.assertEqual(len(kinds), 4, kinds)
        shutil.rmtree(folder, ignore_errors=True)


class QrCodes(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-anchor-"))
        self.party = Party(self.folder, "a.example")

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, picture):
        if shutil.which("zbarimg") is None:
            print(f"\n*** NOT TESTED: {self.id()}: zbarimg is absent, install zbar-tools ***\n",
                  file=sys.stderr, flush=True)
            self.skipTest("no zbarimg")
        result = subprocess.run(["zbarimg", "--quiet", "--raw", "--nodbus", "--oneshot", "-Sbinary",
                                 picture], capture_output=True, timeout=60)
        return result.stdout.decode()

    def test_the_picture_holds_the_checkpoint(self):
        text, picture = self.folder / "text", self.folder / "code.png"
        self.party.export("-o", text, "--png", picture)
        self.assertEqual(self.read(picture), text.read_text())
        self.party.export("--witness", "w.example", "-o", text, "--png", picture)
        self.assertTrue(text.read_text().startswith("old 0\n"))
        self.assertEqual(self.read(picture), text.read_text())

    def test_the_drawing_is_that_picture(self):
        out = self.party.export("--qr")
        self.assertTrue(out.startswith("a.example\n"))
        rows = [line for line in out.splitlines() if set(line) <= set(" █▀▄") and len(line) > 20]
        self.assertGreater(len(rows), 15)
        scale, side = 6, max(map(len, rows))
        pixels = []
        for line in rows:
            line = line.ljust(side)
            for blocks in ("█▀", "█▄"):
                row = "".join(("1" if c in blocks else "0") * scale for c in line)
                pixels += [row] * scale
        picture = self.folder / "drawn.pbm"
        picture.write_text(f"P1\n{side * scale} {len(pixels)}\n" + "\n".join(pixels) + "\n")
        self.assertEqual(note_parts(self.read(picture))[0], "a.example")


if __name__ == "__main__":
    unittest.main(verbosity=2)
