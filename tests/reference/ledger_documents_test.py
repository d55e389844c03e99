"""Receipts, fork proofs and bundles: `aioss verify` and tools/aioss_verify.py must agree on the good
ones and on every bent one. All proofs of small trees are tried, with every hash and size wrong."""
import json
import random
import unittest

from agreement import LONG, Agreement, flipped, spread

import aioss_documents
from aioss_verify import FORK, OK, TAMPERED, UNKNOWN, USAGE, Bad, sha3
from document_forge import (Bundle, consistency, cover, fork_proof, inclusion, range_proof, receipt,
                            subproof, tar, tar_header, texts, tree_root, written)
from ledger_forge import (NEXT_SEED, SEED, WITNESS_SEED, Forge, b64, cbor, cosignature, public_of)

RECEIPT, FORKED, BUNDLE, ROTATES = ["receipt"], ["fork"], ["bundle"], ["rotation"]
FLIPS = 80  # of the quick form, a document
SIZES_MAX = 1025 if LONG else 40
PROMPT, ANSWER, SALT = cbor({0: 0, 1: b"Hi"}), b"Hello", bytes(range(32))


def commit(text):
    return sha3(b"aioss/commit/v1\n", SALT, len(text).to_bytes(8, "big"), text)


def answered(rotations=0, pruned=0):
    """A request at 2, its answer at 3, an abort of it at 4 and one of nothing at 5; then more."""
    forge = Forge()
    forge.add(20, {5: "r-1", 19: commit(PROMPT)})
    forge.add(21, {5: "r-1", 6: 2, 17: [{0: commit(b"")}, {0: commit(ANSWER)}]}, flags=0)
    forge.add(22, {6: 2})
    forge.add(22, {5: "r-1"})
    for seed in (NEXT_SEED, bytes(range(100, 132)))[:rotations]:
        forge.rotate(seed)
        forge.add(20, {5: "r-2"})
    forge.next_segment()
    forge.add(41)
    return forge


class Proofs(unittest.TestCase):
    """The walk down the tree, against the definitions, for all pairs of sizes."""

    leaves = [sha3(number.to_bytes(4, "big")) for number in range(SIZES_MAX)]

    def refused(self, function, *arguments):
        try:
            return function(*arguments)
        except (Bad, IndexError, ValueError, RecursionError):
            return None

    def test_inclusion(self):
        count = false = 0
        roots = [tree_root(self.leaves[:n]) for n in range(SIZES_MAX + 1)]
        for size in range(1, SIZES_MAX + 1):
            for index in range(size) if size < 130 else random.Random(size).sample(range(size), 9):
                path, leaf = inclusion(index, self.leaves[:size]), self.leaves[index]

                def leads(index, size, path, leaf):
                    left = list(path)
                    found = self.refused(aioss_documents.climb, index + 1, size, left, leaf)
                    return found and not left and found[1] == roots[size]

                self.assertTrue(leads(index, size, path, leaf))
                count += 1
                bent = [(index, size, [*path[:i], flipped(node, 5, 3), *path[i + 1:]], leaf)
                        for i, node in enumerate(path)]
                bent += [(index, size, path[1:], leaf)] if path else []
                bent += [(index, size, [*path, leaf], leaf), (index, size, path, flipped(leaf, 0, 0))]
                bent += [(other, size, path, leaf) for other in range(max(0, index - 3), size)
                         if other != index][:6]
                for case in bent:
                    self.assertFalse(leads(*case), case)
                    false += 1
        print(f"inclusion: {count} proofs hold, {false} false ones do not")

    def test_consistency(self):
        count = false = 0
        for size in range(1, SIZES_MAX + 1):
            for old in range(1, size + 1):
                if size > 130 and random.Random(size * old).random() > 0.02:
                    continue
                path = subproof(old, self.leaves[:size])
                both = tree_root(self.leaves[:old]), tree_root(self.leaves[:size])
                rest = consistency(old, self.leaves[:size])
                known = [both[0]] if old & (old - 1) == 0 and old < size else []
                self.assertEqual([] if old == size else path, [*known, *rest])
                self.assertEqual(aioss_documents.climb(old, size, list(path)), both)
                count += 1
                for i, node in enumerate(path):
                    bent = [*path[:i], flipped(node, 9, 1), *path[i + 1:]]
                    self.assertNotEqual(aioss_documents.climb(old, size, bent), both)
                    false += 1
                for m, n in ((old - 1, size), (old + 1, size), (old, size + 1), (old, size - 1)):
                    left = list(path)
                    found = self.refused(aioss_documents.climb, m, n, left) if 0 < m <= n else None
                    wrong = n != size and tree_root(self.leaves[:n]) or both[1]
                    self.assertFalse(found and not left and found == (both[0], wrong) and m != old)
                    false += 1
        print(f"consistency: {count} proofs hold, {false} false ones do not")

    def test_range(self):
        count = 0
        for size in range(1, min(SIZES_MAX, 70) + 1):
            for first in range(size):
                for after in range(first + 1, size + 1):
                    left, right = range_proof(first, after, self.leaves[:size])
                    forge = Forge.tree([])
                    forge.records, forge.frontier = first, list(left)
                    self.assertEqual(len(left), first.bit_count())
                    for leaf in self.leaves[first:after]:
                        forge.add(leaf)
                    aioss_documents.add_right(forge, right, size)
                    self.assertEqual((forge.records, forge.root()),
                                     (size, tree_root(self.leaves[:size])))
                    count += 1
        self.assertEqual(list(cover(5, 8)), [(5, 6), (6, 8)])
        self.assertEqual(list(cover(4, 7)), [(4, 6), (6, 7)])
        self.assertEqual(list(cover(0, 7)), [(0, 4), (4, 6), (6, 7)])
        print(f"ranges: {count} proofs hold")


class Documents(Agreement):
    def bent_json(self, name, document, key, needs):
        """One bit of every sampled byte; what is not noticed must mean the same."""
        data = written(document)
        for at in spread(range(len(data)), FLIPS):
            for bit in (0, 2, 5):
                bent = flipped(data, at, bit)
                verdict = self.both_of(f"{name}: bit {bit} of byte {at}", bent, key, None, needs)
                if verdict in (OK, FORK):
                    self.assertEqual(json.loads(bent), document)
        for at in spread(range(len(data)), FLIPS // 4):
            self.both_of(f"{name} cut at {at}", data[:at], key, USAGE if at == 0 else TAMPERED, needs)

    def without_each(self, document, key, needs, optional=()):
        for name in document:
            left = {n: value for n, value in document.items() if n != name}
            if name not in optional:
                self.both_of(f"without {name}", written(left), key, TAMPERED, needs)
            for value in (None, [], {}, 7, "x", True, -1):
                if value != document[name]:
                    expect = UNKNOWN if name == "format" and value == "x" else TAMPERED
                    self.both_of(f"{name} is {value}", written({**document, name: value}), key,
                                 expect, needs)

    def test_what_is_no_document(self):
        key = Forge().key()
        for data in (b"", b"x", Forge().checkpoint(), b"[]", b" {}", b"\xef\xbb\xbf{}",
                     bytes(1024), b"manifest.jso"):
            self.both_of(f"{data[:9]}", data, key, USAGE, RECEIPT)
        for data in (b"{", b"{}", b"{\"format\": 7}", b"{\"format\": null}", b"{}x",
                     b"manifest.json", b"manifest.json" + bytes(2000), b"{" * 100_000,
                     b'{"format":' + b"[" * 100_000):
            self.both_of(f"{data[:20]}", data, key, TAMPERED, [*RECEIPT, *BUNDLE])
        for name in ("aioss-receipt/2", "aioss-fork/2", "aioss-bundle/1", "x", ""):
            self.both_of(name, written({"format": name}), key, UNKNOWN, RECEIPT)

    def test_good_receipts(self):
        for rotations in range(3):
            forge = answered(rotations)
            for size in (6, len(forge.leaves)):
                for answer, request in ((3, 2), (4, 2), (5, None)):
                    data = written(receipt(forge, request, answer, size))
                    for _, seed in forge.epochs:
                        expect = OK if public_of(seed) in self.told(forge, size) else TAMPERED
                        self.both_of("receipt", data, forge.key(seed), expect, [*RECEIPT, *ROTATES])
                    self.both_of("no key", data, None, UNKNOWN, RECEIPT)
                    self.both_of("other key", data, forge.key(bytes(32)), TAMPERED, RECEIPT)
                    other = Forge(origin="other").key()
                    self.both_of("other name", data, other, TAMPERED, RECEIPT)
                    self.both_of("bad key", data, "x", USAGE, RECEIPT)

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
            self.both_of(what, written(document), forge.key(), expect, RECEIPT, **options)

    def test_forged_receipts(self):
        forge = answered(1)
        key, good = forge.key(), receipt(forge, 2, 3)
        self.without_each(good, key, [*RECEIPT, *ROTATES])
        self.bent_json("receipt", good, key, [*RECEIPT, *ROTATES])
        self.both_of("with more", written({**good, "more": [1, {}]}), key, OK, [*RECEIPT, *ROTATES])
        abort, lone = receipt(forge, 2, 4), receipt(forge, None, 5)
        request, result = good["request"], good["result"]
        swapped = {**request, "index": 3}
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
                ("another checkpoint", {**good, "checkpoint": receipt(forge, 2, 3, 7)["checkpoint"]}),
                ("another root", {**good, "checkpoint": forge.checkpoint(root=bytes(32)).decode()}),
                ("the old key's", {**good, "checkpoint": forge.checkpoint(seed=SEED).decode()}),
                ("another ledger", {**good, "ledger_id": bytes(16).hex()}),
                ("upper case", {**good, "ledger_id": good["ledger_id"].upper()}),
                ("no keys", {**good, "keys": []}), ("keys twice", {**good, "keys": good["keys"] * 2}),
                ("keys of another type", {**good, "keys": [request["frame"]]}),
                ("a node more", {**good, "result": {**result, "proof": [*result["proof"], b64(SALT)]}}),
                ("a node less", {**good, "result": {**result, "proof": result["proof"][1:]}}),
                ("a short node", {**good, "result": {**result, "proof": [b64(b"x")]}}),
                ("two frames", {**good, "request": {**request, "frame": b64(
                    forge.record_frames()[2] * 2)}})):
            self.both_of(what, written(document), key, TAMPERED, [*RECEIPT, *ROTATES])
        twice = written(good).replace(b'"size"', b'"size": 1, "size"')
        self.both_of("a name twice", twice, key, TAMPERED, [*RECEIPT, *ROTATES])
        big = written({**good, "more": "x" * (1 << 22)})
        self.both_of("too long", big, key, TAMPERED, [*RECEIPT, *ROTATES])
        self.both_of("--since", written(good), key, USAGE, ["since", *RECEIPT], since="/dev/null")
        self.frames_that_break_a_rule(forge, good, key)

    def frames_that_break_a_rule(self, forge, good, key):
        """Frames with a good CRC and a true place in a tree that a liar signed."""
        for what, own, lies in (("flags", {}, {"flags": 2}), ("no key 0", {0: None}, {}),
                                ("padding", {}, {"padding": b"\1" * 8}),
                                ("key 5", {5: "r-3"}, {}), ("no key 5", {5: None}, {}),
                                ("key 6", {6: 1}, {}), ("no key 6", {6: None}, {}),
                                ("key 6 is true", {6: True}, {})):
            liar = Forge()
            liar.add(20, {5: "r-1"})
            liar.add(21, {5: "r-1", 6: 2, **own}, **lies)
            self.both_of(what, written(receipt(liar, 2, 3)), key, TAMPERED, RECEIPT)
        liar = Forge()
        liar.add(21, {5: "r-1", 6: 3})
        liar.add(20, {5: "r-1"})
        self.both_of("answered before", written(receipt(liar, 3, 2)), key, TAMPERED, RECEIPT)

    def test_fork_proofs(self):
        honest, other = answered(), Forge()
        for number in range(9):
            other.add(20, {5: f"o-{number}"})
        key, last = honest.key(), min(len(honest.leaves), len(other.leaves))
        for m in range(1, last + 1):
            for n in range(m, last + 1):
                expect = FORK if m > 2 else TAMPERED  # they begin with the same two records
                data = written(fork_proof(other, m, honest, n))
                self.both_of(f"fork {m}, {n}", data, key, expect, FORKED)
                self.both_of(f"no fork {m}, {n}", written(fork_proof(honest, m, honest, n)), key,
                             TAMPERED, FORKED)
        good = fork_proof(other, 5, honest, 8)
        self.both_of("no key", written(good), None, UNKNOWN, FORKED)
        self.both_of("another's key", written(good), honest.key(NEXT_SEED), TAMPERED, FORKED)
        self.without_each(good, key, FORKED, ["ledger_id"])
        del good["ledger_id"]  # without keys nothing depends on it
        self.bent_json("fork proof", good, key, FORKED)
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
            self.both_of(what, written(document), key, TAMPERED, FORKED)
        # With RFC 9162's shorter path the other root would have to be taken from the liar.
        good = fork_proof(other, 4, honest, 8)
        self.both_of("four", written(good), key, FORK, FORKED)
        short = {**good, "proof": good["proof"][1:]}
        self.both_of("four, the RFC's path", written(short), key, TAMPERED, FORKED)

    def test_forks_across_a_rotation(self):
        honest, other = answered(1), Forge()
        for number in range(9):
            other.add(20, {5: f"o-{number}"})
        good = fork_proof(other, 7, honest, len(honest.leaves))
        for seed in (SEED, NEXT_SEED):
            self.both_of("rotated", written(good), honest.key(seed), FORK, [*FORKED, *ROTATES])
        self.both_of("no key", written(good), None, UNKNOWN, [*FORKED, *ROTATES])
        for name in ("keys", "ledger_id"):
            left = {n: value for n, value in good.items() if n != name}
            self.both_of(f"without {name}", written(left), honest.key(), TAMPERED,
                         [*FORKED, *ROTATES])


class Bundles(Agreement):
    def setUp(self):
        super().setUp()
        self.forge = answered(2)
        self.key = self.forge.key()

    def bundle(self, first, after, size=None, **more):
        return Bundle(self.forge, first, after, size, **more)

    def check(self, what, bundle, expect=TAMPERED, **manifest):
        data = bundle if isinstance(bundle, bytes) else bundle.tar(**manifest)
        return self.both_of(what, data, self.key, expect, [*BUNDLE, *ROTATES])

    def test_good(self):
        last = len(self.forge.leaves)
        ranges = [(a, b, n) for n in (6, 9, last) for a in range(n) for b in range(a + 1, n + 1)]
        for first, after, size in spread(ranges, 60):
            self.check(f"[{first}, {after}) of {size}", self.bundle(first, after, size), OK)
        data = self.bundle(3, 8).tar()
        for _, seed in self.forge.epochs:
            self.both_of("a key", data, self.forge.key(seed), OK, [*BUNDLE, *ROTATES])
        self.both_of("no key", data, None, UNKNOWN, [*BUNDLE, *ROTATES])
        self.both_of("another key", data, self.forge.key(bytes(32)), TAMPERED, [*BUNDLE, *ROTATES])
        self.both_of("--since", data, self.key, USAGE, ["since", *BUNDLE], since="/dev/null")

    def test_cosigned_notes(self):
        def note(size, **lies):
            text = self.forge.checkpoint(size, **lies)
            return text + cosignature("witness.test", WITNESS_SEED, text, 1_750_000_000)

        last = len(self.forge.leaves)
        for size in range(1, last + 1):
            expect = OK if 3 <= size <= 8 or size == last else TAMPERED
            self.check(f"cosigned {size}", self.bundle(3, 8, cosigned={"w": note(size)}), expect)
            if expect == OK:
                bent = {"w": note(size, root=bytes(32))}
                self.check(f"cosigned fork {size}", self.bundle(3, 8, cosigned=bent), FORK)
                bent = {"w": note(size, seed=bytes(32))}
                self.check(f"unsigned {size}", self.bundle(3, 8, cosigned=bent))
        notes = {f"{size}-w": note(size) for size in (3, 5, 8)}
        good = self.bundle(3, 8, cosigned=notes)
        self.check("three", good, OK)
        members = good.members()
        members[4], members[5] = members[5], members[4]
        self.check("not in order", tar(members))
        for name in ("", "a/b", "é", "a b", "x" * 81):
            self.check(f"name {name}", self.bundle(3, 8, cosigned={name: note(5)}))

    def test_frames(self):
        frames = self.bundle(2, 10).frames
        foreign = Forge(ledger_id=bytes(16))
        for number in range(9):
            foreign.add(20)
        for what, bent in (
                ("one dropped", frames[:3] + frames[4:]), ("the first dropped", frames[1:]),
                ("the last dropped", frames[:-1]), ("one doubled", frames[:3] + frames[2:]),
                ("two swapped", [frames[1], frames[0], *frames[2:]]), ("none", []),
                ("one of another ledger", frames[:2] + foreign.record_frames()[4:5] + frames[3:]),
                ("one more", frames + self.forge.record_frames()[10:11]),
                ("bytes behind", [*frames, b"x"]), ("zeros behind", [*frames, bytes(8)])):
            bundle = self.bundle(2, 10)
            bundle.frames = bent
            self.check(what, bundle)

    def test_keys(self):
        good = self.bundle(2, 10).keys
        for what, bent in (("one dropped", good[1:]), ("the last dropped", good[:-1]), ("none", []),
                           ("doubled", good[:1] + good), ("swapped", good[::-1]),
                           ("another record", [self.forge.record_frames()[2], *good]),
                           ("bent", [flipped(good[0], 90, 0), good[1]]), ("bytes behind", [*good, b"x"])):
            bundle = self.bundle(2, 10)
            bundle.keys = bent
            self.check(what, bundle)
            bundle = self.bundle(0, 3)
            bundle.keys = bent
            self.check(what + ", outside of the range", bundle)
        bundle = self.bundle(0, 6, 6)
        self.check("no keys", bundle, OK)
        bundle.keys = good
        self.check("keys from behind", bundle)
        self.rotations_that_the_tree_denies()

    def rotations_that_the_tree_denies(self):
        """Signed by both keys, but with another root in it than the one before it."""
        liar = Forge()
        liar.rotate(NEXT_SEED, {22: bytes(32)}, statement={"root": bytes(32)})
        liar.add(20)
        for first, expect in ((0, TAMPERED), (2, TAMPERED), (3, OK)):
            data = Bundle(liar, first, 4).tar()
            self.both_of("a lying root", data, liar.key(), expect, [*BUNDLE, *ROTATES])

    def test_frames_that_break_a_rule(self):
        for what, kind, own, lies, expect in (
                ("a seal", 3, {18: 5}, {}, TAMPERED), ("a record 1", 1, {}, {}, TAMPERED),
                ("flags", 20, {}, {"flags": 2}, TAMPERED), ("no key 3", 20, {3: None}, {}, TAMPERED),
                ("an unknown type", 99, {}, {}, UNKNOWN), ("a segment", 2, {16: b"x"}, {}, OK)):
            liar = Forge()
            liar.add(20)
            liar.add(kind, own, **lies)
            for first in (0, 2, 3):
                data = Bundle(liar, first, 4).tar()
                self.both_of(what, data, liar.key(), expect, BUNDLE)
        for own, key, expect in (({16: "other"}, None, TAMPERED), ({17: bytes(32)}, None, TAMPERED),
                                 ({}, bytes(32), TAMPERED)):
            liar = Forge(genesis=own)
            liar.add(20)
            data = Bundle(liar, 0, 3).tar()
            self.both_of("GENESIS", data, liar.key(key or SEED), expect, BUNDLE)

    def test_manifest(self):
        bundle = self.bundle(3, 8)
        good = bundle.manifest
        for name, values in (
                ("format", ("aioss-bundle/2", "x")), ("rendering", (None, "1")),
                ("origin", ("other", None, 7)), ("ledger_id", ("00" * 16, "", None)),
                ("first", (2, 4, 8, -1, None, "3", 2**64, True)), ("after", (7, 9, 3, None, 2**64)),
                ("size", (11, 8, None, 2**64)),
                ("chain_before", ("00" * 32, "", None, good["chain_before"].upper())),
                ("left", (good["left"][1:], [*good["left"], b64(SALT)], good["left"][::-1], [], None)),
                ("right", (good["right"][1:], [*good["right"], b64(SALT)], good["right"][::-1], [],
                           None)),
                ("counts", ({}, None, {"records": 5})), ("files", ({}, None, []))):
            for value in values:
                expect = UNKNOWN if name == "format" else TAMPERED
                self.check(f"{name} is {value}", bundle, expect, **{name: value})
        self.check("a later rendering", bundle, UNKNOWN, rendering=2)
        self.check("more", bundle, OK, more=[1, None, {}])
        for what, note in (("none", b""), ("of another size", self.forge.checkpoint(11)),
                           ("another root", self.forge.checkpoint(root=bytes(32))),
                           ("the old key's", self.forge.checkpoint(seed=SEED)),
                           ("of nobody", self.forge.checkpoint(seed=bytes(32)))):
            bent = self.bundle(3, 8)
            bent.checkpoint = note
            self.check(f"checkpoint: {what}", bent)

    def test_tar(self):
        bundle = self.bundle(3, 8)
        members = bundle.members()
        self.check("the same", tar(members), OK)
        for number, (name, data) in enumerate(members):
            def bent(*instead, number=number):
                return tar([*members[:number], *instead, *members[number + 1:]])
            self.check(f"without {name}", bent(), USAGE if number == 0 else TAMPERED)
            self.check(f"{name} twice", bent((name, data), (name, data)))
            self.check(f"{name} by another name", bent((name + "x", data)))
            self.check(f"a byte of {name}", bent((name, data + b"x")),
                       TAMPERED if name != "x" else OK)
            for at, field in ((100, b"0000644\0"), (108, b"0000001\0"), (136, b"00000000001\0"),
                              (156, b"2"), (157, b"/etc"), (257, b"ustar  \0"), (265, b"root"),
                              (329, b"0000000\0"), (345, b"x"), (500, b"x"), (124, b" " * 12),
                              (124, b"77777777777\0"), (124, b"-0000000001\0"), (124, bytes(12))):
                self.check(f"{name}: {field} at {at}", bent((name, (data, {f"a{at}": field}))))
        data = tar(members)
        for what, bent in (("cut", data[:-1]), ("more behind", data + bytes(512)),
                           ("no end", data[:-1024]), ("a short end", data[:-512]),
                           ("not zero", data[:-1] + b"x"), ("a file more", tar([*members, ("x", b"")]))):
            self.check(what, bent)
        self.assertEqual(len(tar_header("x", 1)), 512)

    def test_every_bit_counts(self):
        data = self.bundle(3, 9, cosigned={"w": self.forge.checkpoint(5)}).tar()
        for at in spread(range(len(data)), 6 * FLIPS):
            self.assertNotEqual(OK, self.check(f"bit of byte {at}", flipped(data, at, at % 8), None))
        for at in spread(range(len(data)), FLIPS):
            self.assertNotEqual(OK, self.check(f"cut at {at}", data[:at], None))


if __name__ == "__main__":
    unittest.main(verbosity=2)
