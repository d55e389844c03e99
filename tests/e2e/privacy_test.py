"""Privacy with the real binary and the fake engine: sealed texts, opening, hold, erasure and a
search of every byte, retention, and what the verifier says of each."""
import base64
import json
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/reference"), str(ROOT / "tools")]
import aioss_verify  # noqa: E402: found by the line above
from aioss_server import AiossServer, run  # noqa: E402
from ledger_forge import SEED, Forge  # noqa: E402

MODEL = "scripted"
SECRET = "my grandmother keeps her savings under the third floorboard"
ALICE, BOB = "alice-mueller", "bob-oconnor"


def new_key(file, user, role="user", tenant="ward-3"):
    made = run("key", "new", "--tenant", tenant, "--user", user, "--role", role, "--file", file,
               "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": "Bearer " + json.loads(made.stdout)["key"]}


def forms(text):
    """As it is, in UTF-16 of either order, in hexadecimal, in base64 at its three alignments."""
    raw = text.encode()
    yield raw
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
    yield raw.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + raw)[4 if shift else 0:-4]
        if len(encoded) > 4:  # less is of anybody
            yield encoded


def places_of(folder, text):
    """Files below `folder` whose name or bytes hold `text`."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        data = str(path.relative_to(folder)).encode() + b"\n"
        if path.is_file():
            data += path.read_bytes()
        if any(form in data for form in forms(text)):
            found.append(str(path))
    return found


class Privacy(unittest.TestCase):
    def ask(self, server, who, text):
        status, headers, answer = server.post("/v1/chat/completions", {
            "model": MODEL, "messages": [{"role": "user", "content": f"[[echo]]{text}"}]}, who)
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["choices"][0]["message"]["content"], text)
        return headers["X-Aioss-Request-Id"]

    def verify(self, server, code, *flags):
        result = run("verify", server.ledger, "--key", server.vkey, "--json", *flags)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return json.loads(result.stdout)

    def order(self, *words, code=0):
        result = run("ledger", *words)
        self.assertEqual(result.returncode, code, f"{words}: {result.stdout}{result.stderr}")
        return result

    def test_sealed_opened_held_erased(self):
        server = AiossServer("--privacy", "sealed", fake=True)
        keys = server.home / "keys.txt"
        alice, bob = new_key(keys, ALICE), new_key(keys, BOB)
        boss = new_key(keys, "olga", "operator", "it")
        server.flags += ["--keys", str(keys)]
        with server:
            request = self.ask(server, alice, SECRET)
            other = self.ask(server, bob, "good day")
            for text in (SECRET, ALICE, BOB, "good day"):
                self.assertEqual(places_of(server.ledger, text), [], text)
            # Open: by a named operator, and recorded.
            status, _, answer = server.post("/admin/ledger/open", {"request": request}, alice)
            self.assertEqual(status, 403, answer)
            status, _, answer = server.post("/admin/ledger/open", {"request": request}, boss)
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["outputs"], [SECRET])
            self.assertEqual(answer["prompt"]["messages"][0]["content"], f"[[echo]]{SECRET}")
            records = server.records()
            access = records[answer["access_record"]]
            self.assertEqual(access["type"], "ACCESS")
            self.assertEqual(access["body"]["ref"], answer["request_record"])
            self.assertEqual(list(access["names"].values()), ["it/olga"])
            # Hold, then erase.
            order = {"subject": f"ward-3/{ALICE}", "case": "7 O 12/26", "on": True}
            status, _, answer = server.post("/admin/ledger/hold", order, boss)
            self.assertEqual(status, 200, answer)
            erase = {"subject": f"ward-3/{ALICE}", "ground": "request of 3 May"}
            status, _, answer = server.post("/admin/ledger/erase", erase, boss)
            self.assertEqual(status, 409, answer)
            self.assertIn("legal hold", answer["error"]["message"])
            status, _, answer = server.get("/admin/ledger/holds", boss)
            self.assertEqual(len(answer["holds"]), 1, answer)
            server.post("/admin/ledger/hold", {**order, "on": False}, boss)
            master = (server.ledger / "vault" / "master.key").read_bytes()
            status, _, answer = server.post("/admin/ledger/erase", erase, boss)
            self.assertEqual((status, answer["erased"], answer["blobs"]), (200, True, 2), answer)
            subject = answer["subject"]
            status, _, answer = server.post("/admin/ledger/erase", erase, boss)
            self.assertEqual((status, answer), (200, {"erased": False}))
            status, _, answer = server.post("/admin/ledger/open", {"request": request}, boss)
            self.assertEqual(status, 404, answer)
            for text in (SECRET, ALICE):
                self.assertEqual(places_of(server.ledger, text), [], text)
            for path in server.ledger.rglob("*"):
                self.assertFalse(path.is_file() and master in path.read_bytes(), path)
            self.assertEqual(list((server.ledger / "blob" / subject).iterdir()), [])
            # She comes back as somebody else; everybody else is as before.
            again = self.ask(server, alice, "here I am again")
            server.stop()
            report = self.verify(server, 0, "--payloads")
            self.assertEqual(report["payloads"], {"named": 6, "present": 4, "redacted": 2,
                                                  "dropped": 0, "missing": 0})
            self.offline(server, other, again, subject)

    def offline(self, server, other, again, erased):
        """The same orders on a ledger that no server holds."""
        subjects = json.loads(self.order("subjects", server.ledger, "--json").stdout)
        ids = {s["user"]: s["subject"] for s in subjects}
        self.assertIn(ALICE, ids)
        self.assertNotEqual(ids[ALICE], erased)
        opened = json.loads(self.order("open", again, server.ledger, "--json").stdout)
        self.assertEqual(opened["outputs"], ["here I am again"])
        self.assertIn("--- answer 1\ngood day\n", self.order("open", other, server.ledger).stdout)
        self.order("open", "req_none", server.ledger, code=3)
        self.order("hold", "set", server.ledger, "--subject", "*", "--case", "audit")
        listed = self.order("hold", "list", server.ledger).stdout
        self.assertIn("audit", listed)
        refused = self.order("erase", server.ledger, "--subject", f"ward-3/{BOB}", "--ground", "x",
                             code=4)
        self.assertIn("legal hold", refused.stderr)
        self.order("drop", server.ledger, "--before", "2020-01-01", "--ground", "x", code=4)
        self.order("hold", "clear", server.ledger, "--subject", "*", "--case", "audit")
        named = self.order("erase", server.ledger, "--subject", f"ward-3/{BOB}", "--ground",
                           f"for {BOB}", code=2)
        self.assertIn("names the person", named.stderr)
        self.order("erase", server.ledger, "--subject", f"ward-3/{BOB}", "--ground", "x")
        self.assertIn("nothing was erased", self.order(
            "erase", server.ledger, "--subject", f"ward-3/{BOB}", "--ground", "x").stderr)
        self.assertEqual(places_of(server.ledger, BOB), [])
        floor = self.order("drop", server.ledger, "--before", "2199-01-01", "--ground", "x", code=1)
        self.assertIn("183", floor.stderr)
        self.order("drop", server.ledger, "--before", "yesterday", "--ground", "x", code=2)
        self.assertIn("no segment", self.order(
            "drop", server.ledger, "--before", "2020-01-01", "--ground", "x").stdout)
        self.verify(server, 0, "--payloads")
        # A text that is gone though nobody erased it.
        next((server.ledger / "blob" / ids[ALICE]).iterdir()).unlink()
        self.assertEqual(self.verify(server, 7, "--payloads")["payloads"]["missing"], 1)
        self.verify(server, 0)

    def test_two_operators_erase(self):
        """Under dual control: requested by one, approved by another, then done; never over HTTP."""
        with tempfile.TemporaryDirectory() as home:
            folder = pathlib.Path(home)
            ledger, keys = folder / "ledger", folder / "keys.txt"
            made = run("ledger", "init", ledger, "--dual-control", "erase", "--json")
            self.assertEqual(made.returncode, 0, made.stderr)
            vkey = json.loads(made.stdout)["vkey"]
            who = {}
            for name, role in ((ALICE, "user"), ("olga", "operator"), ("otto", "operator")):
                bearer = new_key(keys, name, role)
                who[name] = bearer
                (folder / name).write_text(bearer["Authorization"].split()[1])
            server = AiossServer("--keys", keys, "--privacy", "sealed", fake=True, verify=False)
            server.ledger = ledger
            with server:
                self.ask(server, who[ALICE], SECRET)
                status, _, answer = server.post("/admin/ledger/erase", {
                    "subject": f"ward-3/{ALICE}", "ground": "request of 3 May"}, who["olga"])
                self.assertEqual(status, 403, answer)
                self.assertIn("two operators", answer["error"]["message"])
            olga, otto = ((f"--operator-key=@{folder / name}", f"--keys={keys}")
                          for name in ("olga", "otto"))
            erase = ("erase", ledger, "--subject", f"ward-3/{ALICE}", "--ground", "3 May")
            self.order(*erase, code=2)
            asked = json.loads(self.order(*erase, "--json", *olga).stdout)["request"]
            self.order("erase", ledger, "--request", asked, *olga, code=1)
            self.order("approve", asked, ledger, *olga, code=1)
            self.order("approve", asked, ledger, *otto)
            done = json.loads(self.order("erase", ledger, "--request", asked, "--json",
                                         *olga).stdout)
            self.assertEqual((done["erased"], done["blobs"]), (True, 2))
            self.order("erase", ledger, "--request", asked, *olga, code=3)
            for text in (SECRET, ALICE, "olga", "otto"):
                self.assertEqual(places_of(ledger, text), [], text)
            shown = json.loads(self.order("show", done["record"], ledger, "--json").stdout)
            self.assertEqual(sorted(shown["names"].values()), ["ward-3/olga", "ward-3/otto"])
            self.assertEqual(len(shown["body"]["approvals"]), 2)
            verified = run("verify", ledger, "--key", vkey, "--payloads", "--json")
            self.assertEqual(verified.returncode, 0, verified.stdout)
            self.assertEqual(json.loads(verified.stdout)["payloads"]["redacted"], 2)

    def test_commit_mode_keeps_no_text(self):
        with AiossServer(fake=True) as server:
            request = self.ask(server, {}, SECRET)
            self.assertEqual(places_of(server.ledger, SECRET), [])
            self.assertFalse((server.ledger / "blob").exists())
            status, _, answer = server.post("/admin/ledger/open", {"request": request})
            self.assertEqual(status, 403, answer)
            self.assertIn("name", answer["error"]["message"])
            in_use = self.order("open", request, server.ledger, code=4)
            self.assertIn("/admin/ledger/open", in_use.stderr)
            server.stop()
            never = self.order("open", request, server.ledger, code=3)
            self.assertIn("privacy = commit", never.stderr)
            asked = next(r for r in server.records() if r["type"] == "INFER_REQUEST")
            actor = asked["body"]["actor"]
            self.assertEqual(actor["name"], "local")
            self.assertRegex(actor["subject"], "^s_[0-9a-f]{32}$")

    def test_old_segments_are_dropped(self):
        """A ledger of June 2025, made from the format's page: what the drop leaves of it is what
        that page says, byte for byte, and both verifiers know it."""
        forge = Forge()
        for _ in range(2):
            for _ in range(5):
                forge.add(21, {6: forge.add(20, {5: "req_1"})}, flags=0)
            forge.add(52, {16: "*", 17: False, 18: "a case"})
            forge.next_segment()
        with tempfile.TemporaryDirectory() as home:
            ledger = pathlib.Path(home) / "ledger"
            for name, data in forge.files().items():
                (ledger / name).parent.mkdir(parents=True, exist_ok=True)
                (ledger / name).write_bytes(data)
            (ledger / "keys").mkdir()
            der = bytes.fromhex("302e020100300506032b657004220420") + SEED
            (ledger / "keys/signing.key").write_text(
                "-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der).decode() +
                "\n-----END PRIVATE KEY-----\n")
            drop = ("drop", ledger, "--before", "2025-07-01", "--ground", "two years")
            self.order(*drop, "--retention-days", 36500, code=1)
            self.order("hold", "set", ledger, "--subject", "*", "--case", "c")
            self.order(*drop, code=4)
            self.order("hold", "clear", ledger, "--subject", "*", "--case", "c")
            said = json.loads(self.order(*drop, "--json").stdout)
            self.assertEqual((said["segments"], said["first"]), (2, 0))
            for first in list(forge.segments)[:2]:
                self.assertEqual((ledger / f"seg/{first:020d}.pruned").read_bytes(),
                                 b"".join(forge.prune(first)))
                self.assertFalse((ledger / f"seg/{first:020d}.aioss").exists())
            verified = run("verify", ledger, "--key", forge.key(), "--json")
            self.assertEqual(verified.returncode, 0, verified.stdout)
            self.assertEqual(json.loads(verified.stdout)["pruned_records"], 20)
            code, finding, _ = aioss_verify.verify(str(ledger), key=forge.key())
            self.assertEqual(code, 0, finding)
            gone = self.order("show", 3, ledger, code=3)
            self.assertIn("retention", gone.stderr)
            self.order("show", 1, ledger)
            self.assertIn("no segment", self.order(*drop).stdout)

    def test_a_wrong_master_key_stops_the_start(self):
        with AiossServer(fake=True) as server:
            self.ask(server, {}, "good day")
            server.stop()
            master = server.ledger / "vault" / "master.key"
            good = master.read_bytes()
            master.write_bytes(bytes(32))
            result = run("serve", "--port", 0, "--ledger", server.ledger, "--models-dir",
                         server.models)
            self.assertEqual(result.returncode, 5, result)
            self.assertIn("vault", result.stderr)
            master.write_bytes(good)
            self.assertEqual(len(json.loads(
                self.order("subjects", server.ledger, "--json").stdout)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
