"""Ledgers whose key was rotated, whose segments were pruned, and checkpoints that somebody kept:
`aioss verify` and tools/aioss_verify.py must agree on the good ones and on every forged one."""
import unittest

from agreement import LONG, Agreement, flipped, spread

from aioss_verify import FORK, OK, TAMPERED, TORN, TRUNCATED, UNKNOWN, USAGE
from ledger_forge import NEXT_SEED, SEED, Forge, frame, public_of, run

THIRD_SEED = bytes(range(100, 132))
FLIPS = 60  # of the quick form


def rotated(checkpoint=None):
    """Keys: SEED up to size 4, NEXT_SEED up to 7, THIRD_SEED from 8 on; ten records."""
    forge = Forge()
    forge.add(20)
    forge.add(21, {6: 2}, flags=0)
    forge.rotate(NEXT_SEED)
    forge.next_segment()
    forge.rotate(THIRD_SEED)
    forge.add(20)
    return forge, forge.files(checkpoint)


def dropped(segments=2, requests=5):
    """Sealed segments of requests, then one with the RETENTION_DROP of them."""
    forge = Forge()
    for _ in range(segments):
        for _ in range(requests):
            forge.add(20)
        forge.next_segment()
    forge.add(51, {16: 0, 17: forge.first, 18: segments, 19: "test"})
    return forge


class Epochs(Agreement):
    def rotation(self, what, expect, **lies):
        """One KEY_ROTATE, false in one respect; the checkpoint is signed by the new key."""
        forge = Forge()
        forge.add(20)
        own = lies.pop("own", None)
        seed = lies.pop("new_seed", NEXT_SEED)
        forge.rotate(seed, own, **lies)
        forge.add(20)
        self.both(what, forge.files(), forge.key(), expect)
        self.both(what + ", no key", forge.files(), None, UNKNOWN if expect == OK else expect)

    def test_every_epoch_is_a_key_of_the_ledger(self):
        forge, files = rotated()
        for seed in (SEED, NEXT_SEED, THIRD_SEED):
            self.both("an epoch's key", files, forge.key(seed), OK)
        self.both("no epoch's key", files, forge.key(bytes(32)), TAMPERED)
        self.both("no key", files, None, UNKNOWN)
        other = Forge(origin="other.test").key(NEXT_SEED)
        self.both("an epoch's key under another name", files, other, TAMPERED)

    def test_back_to_an_old_key(self):
        forge = Forge()
        forge.rotate(NEXT_SEED)
        forge.rotate(SEED)
        self.both("there and back", forge.files(), forge.key(), OK)
        for size, seed in ((2, SEED), (3, NEXT_SEED), (4, SEED)):
            for by in (SEED, NEXT_SEED):
                self.both(f"{size} there and back", forge.files(forge.checkpoint(size, seed=by)),
                          forge.key(), OK if by == seed else TAMPERED)

    def test_forged_rotations(self):
        self.rotation("true", OK)
        for what, lies in (
                ("another old key", {"old_seed": THIRD_SEED}),
                ("another old key, signed by the right one",
                 {"own": {16: public_of(THIRD_SEED)}}),
                ("another root in statement", {"statement": {"root": bytes(32)}}),
                ("another root in 22", {"own": {22: bytes(32)}}),
                ("another root in both", {"statement": {"root": bytes(32)},
                                          "own": {22: bytes(32)}}),
                ("another index", {"statement": {"index": bytes(7) + b"\x04"}}),
                ("another ledger", {"statement": {"id": bytes(16)}}),
                ("another statement", {"statement": {"prefix": b"aioss/rotate/v2\n"}}),
                ("the same key", {"new_seed": SEED}),
                ("old signature by the new key", {"by_old": NEXT_SEED}),
                ("new signature by the old key", {"by_new": SEED}),
                ("signed by a third", {"by_old": THIRD_SEED, "by_new": THIRD_SEED})):
            self.rotation(what, TAMPERED, **lies)
        for key, values in ((16, (None, bytes(31), "x" * 32, [1] * 32)),
                            (17, (None, bytes(32), bytes(31), b"\xff" * 32)),
                            (18, (None, bytes(64), bytes(63), 1)),
                            (19, (None, bytes(64), bytes(63), [0] * 64)),
                            (22, (None, bytes(31), 7))):
            for value in values:
                self.rotation(f"key {key} is {value}", TAMPERED, own={key: value})
        for key, value in ((20, None), (20, 7), (21, ["a", "b"]), (21, {}), (23, b"x")):
            self.rotation(f"key {key} is {value}", OK, own={key: value})

    def test_which_key_signs_which_checkpoint(self):
        forge, _ = rotated()
        last = len(forge.leaves)
        for size in range(last + 3):
            right = [seed for first, seed in forge.epochs if first <= size][-1]
            for seed in (SEED, NEXT_SEED, THIRD_SEED):
                for key in (SEED, THIRD_SEED, None):
                    for root in (None, bytes(32)):
                        text = None
                        if size > last:
                            root, text = bytes(32), f"{forge.origin}\n{size}\n{'A' * 43}=\n"
                        note = forge.checkpoint(size, root, text, seed)
                        expect = OK if key else UNKNOWN
                        expect = FORK if root else expect
                        expect = TRUNCATED if size > last else expect
                        self.both(f"size {size}", forge.files(note), key and forge.key(key),
                                  expect if seed == right else TAMPERED)
                        if not LONG:
                            break

    def test_cut_before_a_rotation(self):
        """Who knows the new key sees that records are missing, who knows the old one cannot."""
        forge, files = rotated()
        first = f"seg/{0:020d}.aioss"
        for cut in (4, 5):
            short = {**files, first: b"".join(forge.segments[0][:cut + 1])}
            short = {name: short[name] for name in (first, "checkpoint")}
            for seed, expect in ((THIRD_SEED, TRUNCATED), (NEXT_SEED, TAMPERED), (SEED, TAMPERED),
                                 (bytes(32), TAMPERED)):
                self.both(f"{cut} records", short, forge.key(seed), expect)

    def test_rotation_cut_and_bent(self):
        forge, files = rotated()
        name = f"seg/{forge.first:020d}.aioss"
        at = len(b"".join(forge.segments[forge.first][:2]))
        size = len(forge.segments[forge.first][2])
        for byte in spread(range(at, at + size), FLIPS):
            bent = {**files, name: flipped(files[name], byte, byte % 8)}
            self.both(f"bit of byte {byte}", bent, forge.key(), TAMPERED)
        whole = forge.files(forge.checkpoint(len(forge.leaves) - 2))
        for byte in spread(range(at, at + size), FLIPS):
            cut = {**whole, name: whole[name][:byte]}
            self.both(f"cut at {byte}", cut, forge.key(), OK if byte == at else TORN)

    def test_rotation_with_another_type(self):
        forge = Forge()
        forge.add(41, forge.rotation(NEXT_SEED))
        files = forge.files(forge.checkpoint(seed=NEXT_SEED))
        self.both("a KEY_ROTATE by another name", files, forge.key(), TAMPERED)


class Pruned(Agreement):
    def test_good(self):
        for requests in (0, 1, 5):
            forge = dropped(3, requests)
            for firsts in ([0], list(forge.segments)[:3], list(forge.segments)[1:2]):
                forge.pruned = {}
                for first in firsts:
                    forge.prune(first)
                self.both(f"{firsts} pruned", forge.files(), forge.key(), OK)
                self.both(f"{firsts} pruned, no key", forge.files(), None, UNKNOWN)
                for most in (1, 2, 3):
                    for first in firsts:
                        forge.prune(first, most)
                    self.both("runs that are shorter", forge.files(), forge.key(), OK)

    def test_runs_of_the_greatest_length(self):
        forge = Forge()
        for _ in range(2049):
            forge.add(20)
        forge.next_segment()
        forge.add(51, {16: 0, 17: forge.first})
        forge.prune(0)
        self.both("2,048 and 1", forge.files(), forge.key(), OK)
        forge.prune(0, most=2049)
        self.both("2,049", forge.files(), forge.key(), TAMPERED)

    def test_kept_types(self):
        for kind, own in ((6, {}), (50, {}), (51, {16: 9, 17: 9}), (52, {}), (5, None)):
            forge = Forge()
            forge.add(20)
            forge.rotate(NEXT_SEED) if own is None else forge.add(kind, own)
            forge.add(20)
            forge.next_segment()
            forge.add(51, {16: 0, 17: forge.first})
            items = forge.prune(0)
            self.assertEqual(len(items), 7)
            self.both(f"type {kind} kept", forge.files(), forge.key(), OK)
            items[3:6] = [run(2, forge.leaves[2:5])]
            # A hidden rotation shows by the checkpoint; the others are bytes like any.
            self.both(f"type {kind} hidden", forge.files(), forge.key(),
                      TAMPERED if own is None else OK)
        forge = dropped()
        forge.prune(0, kept=[3])
        self.both("a request kept", forge.files(), forge.key(), TAMPERED)
        for index in (1, 6):
            forge = dropped(1, 4)
            items = forge.prune(0)
            place = {1: 2, 6: len(items) - 1}[index]
            items[place] = run(index, [forge.leaves[index]])
            self.both(f"record {index} hidden", forge.files(), forge.key(), TAMPERED)

    def test_coverage(self):
        for what, expect, drops in (
                ("exactly", OK, [(9, 18)]), ("more", OK, [(0, 19)]), ("none", TAMPERED, []),
                ("more than there was", TAMPERED, [(0, 20)]),
                ("two", OK, [(3, 4), (0, 18)]), ("late", TAMPERED, [(10, 18)]),
                ("short", TAMPERED, [(9, 17)]),
                ("two halves", TAMPERED, [(9, 13), (13, 18)]), ("backwards", TAMPERED, [(18, 9)]),
                ("odd", TAMPERED, [(None, 18), ("x", 18), (9, None), (True, 18), (-1, 18)])):
            forge = Forge()
            for _ in range(2):
                for _ in range(7 - (forge.first == 0)):
                    forge.add(20)
                forge.next_segment()
            for first, after in drops:
                forge.add(51, {16: first, 17: after})
            forge.add(20)
            self.assertEqual(list(forge.segments), [0, 9, 18])
            forge.prune(9)
            self.both(f"covered: {what}", forge.files(), forge.key(), expect)
            torn = forge.files()
            torn[f"seg/{18:020d}.aioss"] += b"torn"
            self.both(f"covered: {what}, torn", torn, forge.key(),
                      TORN if expect == OK else TAMPERED)

    def test_the_drop_is_later_than_what_it_drops(self):
        forge = Forge()
        forge.add(51, {16: 0, 17: 99})
        forge.next_segment()
        forge.prune(0)
        self.both("a drop inside", forge.files(), forge.key(), TAMPERED)
        forge.seal()
        self.both("all sealed", forge.files(), forge.key(), TAMPERED)

    def test_both_forms_of_a_segment(self):
        forge = dropped()
        whole = forge.files()
        forge.prune(0)
        both = {**forge.files(), **whole}
        self.both("the whole one counts", both, forge.key(), OK)
        name = f"seg/{0:020d}.pruned"
        self.both("the other is not read", {**both, name: b"x"}, forge.key(), OK)
        name = f"seg/{0:020d}.aioss"
        self.both("a whole one that is torn", {**both, name: b"x"}, forge.key(), TAMPERED)
        odd = {**whole, "seg/0.pruned": b"", f"seg/{2**64:020d}.pruned": b"", "seg/x": b""}
        self.both("names that are none", odd, forge.key(), OK)
        more = {**whole, f"seg/{3:020d}.pruned": b""}
        self.both("a pruned segment inside another", more, forge.key(), TAMPERED)

    def test_forged_runs(self):
        forge = dropped(1, 6)
        leaves = forge.leaves[2:8]
        for what, item in (
                ("another index", run(3, leaves)), ("zero is one", run(2, leaves, zero=1)),
                ("wrong CRC", run(2, leaves, crc=1)), ("one more", run(2, leaves, count=7)),
                ("one fewer", run(2, leaves, count=5)), ("none", run(2, [])),
                ("very many", run(2, leaves, count=2**32 - 1)), ("no magic", b"ALEG" + bytes(212)),
                ("another leaf", run(2, [bytes(32), *leaves[1:]])),
                ("swapped leaves", run(2, [leaves[1], leaves[0], *leaves[2:]])),
                ("a leaf too many", run(2, [*leaves, bytes(32)])),
                ("a leaf too few", run(2, leaves[1:])),
                ("an empty run before", run(2, []) + run(2, leaves)),
                ("the run twice", run(2, leaves) * 2),
                ("zeros before", bytes(8) + run(2, leaves)),
                ("a frame with a bad CRC", flipped(forge.segments[0][3], 60, 0))):
            items = forge.prune(0)
            items[3:4] = [item]
            self.both(what, forge.files(), forge.key(), TAMPERED)
        items = forge.prune(0)
        items[3:4] = [run(2, leaves[:2]), run(4, leaves[2:])]
        self.both("two runs", forge.files(), forge.key(), OK)
        items[3], items[4] = items[4], items[3]
        self.both("runs in another order", forge.files(), forge.key(), TAMPERED)

    def test_cut_and_bent(self):
        forge = dropped(2, 3)
        forge.prune(0)
        files, name = forge.files(), f"seg/{0:020d}.pruned"
        places = range(len(files[name]))
        for at in spread(places, FLIPS):
            bent = {**files, name: flipped(files[name], at, at % 8)}
            self.both(f"bit of byte {at}", bent, forge.key(), TAMPERED)
        for at in spread(places, FLIPS):
            cut = {**files, name: files[name][:at]}
            self.both(f"cut at {at}", cut, forge.key(), TAMPERED)
        self.both("more behind", {**files, name: files[name] + bytes(8)}, forge.key(), TAMPERED)
        only = {name: files[name], "checkpoint": forge.checkpoint(2)}
        self.both("nothing but the pruned segment", only, forge.key(), TAMPERED)
        for at in spread(places, 12):
            cut = {**only, name: files[name][:at]}
            self.both(f"alone, cut at {at}", cut, forge.key(), TAMPERED)

    def test_pruned_rotations_count(self):
        forge = Forge()
        forge.rotate(NEXT_SEED)
        forge.add(20)
        forge.next_segment()
        forge.add(51, {16: 0, 17: forge.first})
        forge.prune(0)
        for seed in (SEED, NEXT_SEED):
            self.both("rotated, pruned", forge.files(), forge.key(seed), OK)
        items = forge.pruned[0]
        items[3] = flipped(items[3], 80, 0)
        self.both("its rotation bent", forge.files(), forge.key(), TAMPERED)


class Since(Agreement):
    def test_notes_that_were_kept(self):
        forge, files = rotated()
        last = len(forge.leaves)
        old = {**files, "checkpoint": forge.checkpoint(3)}
        for size in range(last + 1):
            self.both(f"kept at {size}", files, forge.key(), OK, forge.checkpoint(size))
            self.both(f"{size}, no key", files, None, UNKNOWN, forge.checkpoint(size))
            self.both(f"fork at {size}", files, forge.key(), FORK,
                      forge.checkpoint(size, bytes(32)))
            self.both(f"kept behind the checkpoint, {size}", old, forge.key(), OK,
                      forge.checkpoint(size))
        for seed in (SEED, NEXT_SEED, THIRD_SEED):
            text = f"{forge.origin}\n{last + 1}\n{'A' * 43}=\n"
            self.both("rolled back", files, forge.key(), TRUNCATED,
                      forge.checkpoint(text=text, seed=seed))
            self.both("any key", files, forge.key(), OK, forge.checkpoint(3, seed=seed))
            self.both("any key, a fork", files, forge.key(), FORK,
                      forge.checkpoint(7, bytes(32), seed=seed))

    def test_notes_of_somebody_else(self):
        forge = Forge()
        forge.add(20)
        files, key = forge.files(), forge.key()
        other = Forge(origin="other.test")
        for what, note in (("another key", forge.checkpoint(3, seed=bytes(32))),
                           ("another ledger", other.checkpoint()),
                           ("a bit", flipped(forge.checkpoint(), -10, 1))):
            self.both(what, files, key, TAMPERED, note)
        for note in (b"", b"x", files["checkpoint"][:-1], files["checkpoint"] * 100):
            self.both("no note", files, key, USAGE, note)

    def test_with_the_rest_of_the_verdict(self):
        forge = Forge()
        forge.add(20)
        forge.add(20)
        files, key, name = forge.files(forge.checkpoint(2)), forge.key(), f"seg/{0:020d}.aioss"
        torn = {**files, name: files[name][:-1]}
        self.both("a torn tail", torn, key, TORN, forge.checkpoint(3))
        self.both("a signed torn tail", torn, key, TRUNCATED, forge.checkpoint(4))
        self.both("torn, a fork", torn, key, FORK, forge.checkpoint(3, bytes(32)))
        bad = {**files, name: files[name] + frame(4, 20, 1, bytes(32), b"\xa0")}
        self.both("tampered behind", bad, key, TAMPERED, forge.checkpoint(5, bytes(32)))
        self.both("tampered, and a fork", bad, key, FORK, forge.checkpoint(4, bytes(32)))
        bare = {name: files[name]}
        self.both("no checkpoint", bare, key, TAMPERED, forge.checkpoint())


if __name__ == "__main__":
    unittest.main(verbosity=2)
