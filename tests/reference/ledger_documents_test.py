"""Receipts and fork proofs: `aioss verify` and tools/aioss_verify.py must agree on the good and the
bent ones."""
import json
import unittest

from agreement import Agreement, flipped, spread

from aioss_verify import FORK, OK, TAMPERED, UNKNOWN, USAGE
from document_forge import ANSWER, PROMPT, SALT, answered, fork_proof, receipt, written
from ledger_forge import NEXT_SEED, SEED, Forge, b64, public_of

FLIPS = 80  # of the quick form, a document


class Documents(Agreement):
    def bent_json(self, name, document, key):
        """One bit of every sampled byte; what is not noticed must mean the same."""
        data = written(document)
        for at in spread(range(len(data)), FLIPS):
            for bit in (0, 2, 5):
                bent = flipped(data, at, bit)
                verdict = self.both_of(f"{name}: bit {bit} of byte {at}", bent, key, None)
                if verdict in (OK, FORK):
                    self.assertEqual(json.loads(bent), document)
        for at in spread(range(len(data)), FLIPS // 4):
            expect = USAGE if at == 0 else TAMPERED
            self.both_of(f"{name} cut at {at}", data[:at], key, expect)

    def without_each(self, document, key, optional=()):
        for name in document:
            left = {n: value for n, value in document.items() if n != name}
            if name not in optional:
                self.both_of(f"without {name}", written(left), key, TAMPERED)
            for value in (None, [], {}, 7, "x", True, -1):
                if value != document[name]:
                    expect = UNKNOWN if name == "format" and value == "x" else TAMPERED
                    self.both_of(f"{name} is {value}", written({**document, name: value}), key,
                                 expect)

    def test_what_is_no_document(self):
        key = Forge().key()
        for data in (b"", b"x", Forge().checkpoint(), b"[]", b" {}", b"\xef\xbb\xbf{}",
                     bytes(1024), b"manifest.jso"):
            self.both_of(f"{data[:9]}", data, key, USAGE)
        for data in (b"{", b"{}", b"{\"format\": 7}", b"{\"format\": null}", b"{}x",
                     b"manifest.json", b"manifest.json" + bytes(2000), b"{" * 100_000,
                     b'{"format":' + b"[" * 100_000):
            self.both_of(f"{data[:20]}", data, key, TAMPERED)
        for name in ("aioss-receipt/2", "aioss-fork/2", "aioss-bundle/1", "x", ""):
            self.both_of(name, written({"format": name}), key, UNKNOWN)

    def test_good_receipts(self):
        for rotations in range(3):
            forge = answered(rotations)
            for size in (6, len(forge.leaves)):
                for answer, request in ((3, 2), (4, 2), (5, None)):
                    data = written(receipt(forge, request, answer, size))
                    for _, seed in forge.epochs:
                        expect = OK if public_of(seed) in self.told(forge, size) else TAMPERED
                        self.both_of("receipt", data, forge.key(seed), expect)
                    self.both_of("no key", data, None, UNKNOWN)
                    self.both_of("other key", data, forge.key(bytes(32)), TAMPERED)
                    other = Forge(origin="other").key()
                    self.both_of("other name", data, other, TAMPERED)
                    self.both_of("bad key", data, "x", USAGE)

    @staticmethod
    def told(forge, size):
        return [public_of(seed) for first, seed in forge.epochs if first <= size]

    def test_receipts_with_text(self):
        forge = answered()
        salts = {"prompt": SALT.hex(), "outputs": [SALT.hex(), SALT.hex()]}
        good, bare = receipt(forge, 2, 3, salts=salts), receipt(forge, 2, 3)
        for name, text in (("prompt", PROMPT), ("answer", ANSWER), ("other", b"Hello!")):
            (self.scratch / name).write_bytes(text)
        prompt, answer, other = (str(self.scratch / n) for n in ("prompt", "answer", "other"))
        for what, expect, document, options in (
                ("the prompt", OK, good, {"prompt": prompt}),
                ("the answer", OK, good, {"answer": answer, "choice": 1}),
                ("both", OK, good, {"prompt": prompt, "answer": answer, "choice": 1}),
                ("another prompt", TAMPERED, good, {"prompt": other}),
                ("another answer", TAMPERED, good, {"answer": other, "choice": 1}),
                ("another choice", TAMPERED, good, {"answer": answer, "choice": 0}),
                ("no file", USAGE, good, {"prompt": "/nowhere"}),
                ("no salts", USAGE, bare, {"prompt": prompt}),
                ("a bad salt", TAMPERED, {**good, "salts": {"prompt": SALT.hex()[1:]}},
                 {"prompt": prompt})):
            self.both_of(what, written(document), forge.key(), expect, **options)

    def test_forged_receipts(self):
        forge = answered(1)
        key, good = forge.key(), receipt(forge, 2, 3)
        self.without_each(good, key)
        self.bent_json("receipt", good, key)
        self.both_of("with more", written({**good, "more": [1, {}]}), key, OK)
        abort, lone = receipt(forge, 2, 4), receipt(forge, None, 5)
        request, result = good["request"], good["result"]
        swapped, path = {**request, "index": 3}, result["proof"]
        for what, document in (
                ("result and abort", {**good, "abort": abort["abort"]}),
                ("an abort as result", {**good, "result": abort["abort"]}),
                ("a result as abort", {**abort, "abort": result}),
                ("no request", {n: v for n, v in good.items() if n != "request"}),
                ("an abort that had a request", {n: v for n, v in abort.items() if n != "request"}),
                ("an abort that had none", {**lone, "request": request}),
                ("the wrong index", {**good, "request": swapped}),
                ("request and result changed", {**good, "request": result, "result": request}),
                ("another id", {**good, "request_id": "r-2"}),
                ("another size", {**good, "size": good["size"] - 1}),
                ("a size that is no integer", {**good, "size": float(good["size"])}),
                ("another checkpoint", {**good, "checkpoint": forge.checkpoint(7).decode()}),
                ("another root", {**good, "checkpoint": forge.checkpoint(root=bytes(32)).decode()}),
                ("the old key's", {**good, "checkpoint": forge.checkpoint(seed=SEED).decode()}),
                ("another ledger", {**good, "ledger_id": bytes(16).hex()}),
                ("upper case", {**good, "ledger_id": good["ledger_id"].upper()}),
                ("no keys", {**good, "keys": []}),
                ("keys twice", {**good, "keys": good["keys"] * 2}),
                ("keys of another type", {**good, "keys": [request["frame"]]}),
                ("a node more", {**good, "result": {**result, "proof": [*path, b64(SALT)]}}),
                ("a node less", {**good, "result": {**result, "proof": path[1:]}}),
                ("a short node", {**good, "result": {**result, "proof": [b64(b"x")]}}),
                ("two frames", {**good, "request": {**request, "frame": b64(
                    forge.record_frames()[2] * 2)}})):
            self.both_of(what, written(document), key, TAMPERED)
        twice = written(good).replace(b'"size"', b'"size": 1, "size"')
        self.both_of("a name twice", twice, key, TAMPERED)
        big = written({**good, "more": "x" * (1 << 22)})
        self.both_of("too long", big, key, TAMPERED)
        self.both_of("--since", written(good), key, USAGE, since="/dev/null")
        bare = receipt(answered(), 2, 3)
        for keys in ({}, "", None, ()):
            self.both_of(f"keys are {keys}", written({**bare, "keys": keys}), key,
                         OK if keys == () else TAMPERED)
        other = {**bare, "checkpoint": bare["checkpoint"].replace("example", "elsewhere", 1)}
        self.both_of("another origin, no key", written(other), None, TAMPERED)
        self.frames_that_break_a_rule(forge, good, key)

    def frames_that_break_a_rule(self, forge, good, key):
        """Frames with a good CRC and a true place in a tree that a liar signed."""
        for what, own, lies in (("flags", {}, {"flags": 2}), ("no key 0", {0: None}, {}),
                                ("no key 3", {3: None}, {}), ("key 1 is a text", {1: "x"}, {}),
                                ("padding", {}, {"padding": b"\1" * 8}),
                                ("key 5", {5: "r-3"}, {}), ("no key 5", {5: None}, {}),
                                ("key 6", {6: 1}, {}), ("no key 6", {6: None}, {}),
                                ("key 6 is true", {6: True}, {})):
            liar = Forge()
            liar.add(20, {5: "r-1"})
            liar.add(21, {5: "r-1", 6: 2, **own}, **lies)
            self.both_of(what, written(receipt(liar, 2, 3)), key, TAMPERED)
        liar = Forge()
        liar.add(21, {5: "r-1", 6: 3})
        liar.add(20, {5: "r-1"})
        self.both_of("answered before", written(receipt(liar, 3, 2)), key, TAMPERED)

    def test_fork_proofs(self):
        honest, other = answered(), Forge()
        for number in range(9):
            other.add(20, {5: f"o-{number}"})
        key, last = honest.key(), min(len(honest.leaves), len(other.leaves))
        for m in range(1, last + 1):
            for n in range(m, last + 1):
                expect = FORK if m > 2 else TAMPERED  # they begin with the same two records
                data = written(fork_proof(other, m, honest, n))
                self.both_of(f"fork {m}, {n}", data, key, expect)
                self.both_of(f"no fork {m}, {n}", written(fork_proof(honest, m, honest, n)), key,
                             TAMPERED)
        good = fork_proof(other, 5, honest, 8)
        self.both_of("no key", written(good), None, UNKNOWN)
        self.both_of("another's key", written(good), honest.key(NEXT_SEED), TAMPERED)
        self.without_each(good, key, ["ledger_id"])
        del good["ledger_id"]  # without keys nothing depends on it
        self.bent_json("fork proof", good, key)
        path = good["proof"]
        for what, document in (
                ("the two swapped", {**good, "first": good["second"], "second": good["first"]}),
                ("twice the same", {**good, "first": good["second"], "proof": []}),
                ("of size 0", {**good, "first": honest.checkpoint(0, bytes(32)).decode()}),
                ("unsigned", {**good, "first": other.checkpoint(5, seed=bytes(32)).decode()}),
                ("of another origin", {**good, "first": Forge(origin="x").checkpoint().decode()}),
                ("a node more", {**good, "proof": [*path, b64(SALT)]}),
                ("a node less", {**good, "proof": path[1:]}), ("no proof", {**good, "proof": []}),
                ("another node", {**good, "proof": [b64(SALT), *path[1:]]})):
            self.both_of(what, written(document), key, TAMPERED)
        # With RFC 9162's shorter path the other root would have to be taken from the liar.
        good = fork_proof(other, 4, honest, 8)
        self.both_of("four", written(good), key, FORK)
        short = {**good, "proof": good["proof"][1:]}
        self.both_of("four, the RFC's path", written(short), key, TAMPERED)

    def test_forks_across_a_rotation(self):
        honest, other = answered(1), Forge()
        for number in range(9):
            other.add(20, {5: f"o-{number}"})
        good = fork_proof(other, 7, honest, len(honest.leaves))
        for seed in (SEED, NEXT_SEED):
            self.both_of("rotated", written(good), honest.key(seed), FORK)
        self.both_of("no key", written(good), None, UNKNOWN)
        for name in ("keys", "ledger_id"):
            left = {n: value for n, value in good.items() if n != name}
            self.both_of(f"without {name}", written(left), honest.key(), TAMPERED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
