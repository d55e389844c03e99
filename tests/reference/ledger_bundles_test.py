"""Bundles: `aioss verify` and tools/aioss_verify.py must agree on the good ones and the bent ones.
The forge cannot make the files for people, which the program makes again and compares: they come
from an export of the forged ledger. Where the program exports none (of a ledger that breaks a rule
it does not), only what Python finds wrong is compared."""
import unittest

from agreement import Agreement, flipped, run, spread

import aioss_documents
from aioss_verify import FORK, OK, TAMPERED, UNKNOWN, USAGE
from document_forge import SALT, Bundle, answered, tar, tar_header
from ledger_forge import NEXT_SEED, SEED, WITNESS_SEED, Forge, b64, cosignature

FLIPS = 80  # of the quick form


class Bundles(Agreement):
    def setUp(self):
        super().setUp()
        self.forge = answered(2)
        self.key = self.forge.key()

    def bundle(self, first, after, size=None, forge=None, **more):
        forge = forge or self.forge
        bundle = Bundle(forge, first, after, size, **more)
        exported = self.export(forge, first, after, size)
        if exported:
            members = aioss_documents.tar_members(exported)
            bundle.people = {name: exported[slice(*members[name])] for name in bundle.people}
        self.PYTHON_ALONE = set() if exported else {OK, UNKNOWN, FORK}
        return bundle

    def export(self, forge, first, after, size):
        """What the program makes of the forged ledger, or None."""
        self.folder.put(forge.files(forge.checkpoint(size)))
        file = self.scratch / "exported.aioss"
        file.unlink(missing_ok=True)
        done = run("ledger", "export", file, self.folder.path, "--first", first, "--after", after)
        return file.read_bytes() if done.returncode == 0 else None

    def check(self, what, bundle, expect=TAMPERED, **manifest):
        data = bundle if isinstance(bundle, bytes) else bundle.tar(**manifest)
        return self.both_of(what, data, self.key, expect)

    def test_good(self):
        last = len(self.forge.leaves)
        ranges = [(a, b, n) for n in (6, 9, last) for a in range(n) for b in range(a + 1, n + 1)]
        for first, after, size in spread(ranges, 60):
            self.check(f"[{first}, {after}) of {size}", self.bundle(first, after, size), OK)
        data = self.bundle(3, 8).tar()
        for _, seed in self.forge.epochs:
            self.both_of("a key", data, self.forge.key(seed), OK)
        self.both_of("no key", data, None, UNKNOWN)
        self.both_of("another key", data, self.forge.key(bytes(32)), TAMPERED)
        self.both_of("--since", data, self.key, USAGE, since="/dev/null")

    def test_what_the_program_exports(self):
        """Byte for byte what the pages say, but for the form of the JSON."""
        last = len(self.forge.leaves)
        for first, after, size in ((0, last, last), (3, 8, last), (2, 3, 6), (7, last, last)):
            exported = self.export(self.forge, first, after, size)
            self.check(f"exported [{first}, {after})", exported, OK)
            made = dict(self.bundle(first, after, size).members())
            members = aioss_documents.tar_members(exported)
            for name, where in members.items():
                if name != "manifest.json":
                    self.assertEqual(exported[slice(*where)], made[name], name)
            manifest = aioss_documents.from_json(exported[slice(*members["manifest.json"])])
            self.assertEqual(manifest, aioss_documents.from_json(made["manifest.json"]))

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
                           ("bent", [flipped(good[0], 90, 0), good[1]]),
                           ("bytes behind", [*good, b"x"])):
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
            data = self.bundle(first, 4, forge=liar).tar()
            self.both_of("a lying root", data, liar.key(), expect)

    def test_frames_that_break_a_rule(self):
        for what, kind, own, lies, expect in (
                ("a seal", 3, {18: 5}, {}, TAMPERED), ("a record 1", 1, {}, {}, TAMPERED),
                ("flags", 20, {}, {"flags": 2}, TAMPERED),
                ("no key 3", 20, {3: None}, {}, TAMPERED),
                ("an unknown type", 99, {}, {}, UNKNOWN), ("a segment", 2, {16: b"x"}, {}, OK)):
            liar = Forge()
            liar.add(20)
            liar.add(kind, own, **lies)
            for first in (0, 2, 3):
                data = self.bundle(first, 4, forge=liar).tar()
                self.both_of(what, data, liar.key(), expect)
        for own, key, expect in (({16: "other"}, None, TAMPERED), ({17: bytes(32)}, None, TAMPERED),
                                 ({}, bytes(32), TAMPERED)):
            liar = Forge(genesis=own)
            liar.add(20)
            data = self.bundle(0, 3, forge=liar).tar()
            self.both_of("GENESIS", data, liar.key(key or SEED), expect)

    def test_manifest(self):
        bundle = self.bundle(3, 8)
        good = bundle.manifest
        for name, values in (
                ("format", ("aioss-bundle/2", "x")), ("rendering", (None, "1")),
                ("origin", ("other", None, 7)), ("ledger_id", ("00" * 16, "", None)),
                ("first", (2, 4, 8, -1, None, "3", 2**64, True)), ("after", (7, 9, 3, None, 2**64)),
                ("size", (11, 8, None, 2**64)),
                ("chain_before", ("00" * 32, "", None, good["chain_before"].upper())),
                *((side, (good[side][1:], [*good[side], b64(SALT)], good[side][::-1], [], None))
                  for side in ("left", "right")),
                ("counts", ({}, None, {"records": 5})), ("files", ({}, None, []))):
            for value in values:
                expect = UNKNOWN if name == "format" else TAMPERED
                self.check(f"{name} is {value}", bundle, expect, **{name: value})
        for name, value in (("after", 7), ("after", 9), ("first", 2), ("first", 4), ("size", 9)):
            bent = self.bundle(3, 8)
            bent.manifest[name] = value  # before the counts are made, so that they fit
            self.check(f"{name} is {value}, and the counts fit", bent)
        self.check("first is true", self.bundle(1, 8), first=True)
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
                           ("not zero", data[:-1] + b"x"),
                           ("a file more", tar([*members, ("x", b"")]))):
            self.check(what, bent)
        self.assertEqual(len(tar_header("x", 1)), 512)

    def test_every_bit_counts(self):
        data = self.bundle(3, 9, cosigned={"w": self.forge.checkpoint(5)}).tar()
        for at in spread(range(len(data)), 6 * FLIPS):
            bent = flipped(data, at, at % 8)
            self.assertNotEqual(OK, self.check(f"bit of byte {at}", bent, None))
        for at in spread(range(len(data)), FLIPS):
            self.assertNotEqual(OK, self.check(f"cut at {at}", data[:at], None))


if __name__ == "__main__":
    unittest.main(verbosity=2)
