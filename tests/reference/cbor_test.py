"""Canonical CBOR against PyPI cbor2: encoders agree byte for byte, and what a verifier of ours
accepts is exactly what cbor2 decodes and encodes canonically to the same bytes, within the subset
of docs/formats/ledger.md, section 3. The program joins by `aioss verify`: each value in a record.

AIOSS_SEED repeats a run; AIOSS_LONG=1 tries a hundred times as much."""
import os
import random
import sys
import unittest

try:
    import cbor2
except ImportError:
    sys.exit("cbor2 is not installed for this Python: `./dev test` does that")

from agreement import LONG, Agreement

import aioss_verify
from aioss_verify import OK, TAMPERED
from ledger_forge import Forge, cbor

VALUES, MUTANTS, LEDGERS = (200_000, 2_000_000, 3_000) if LONG else (2_000, 20_000, 120)
SEED = int(os.environ.get("AIOSS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
EDGES = [sign * (1 << width) + step for width in (0, 5, 8, 16, 32, 63, 64) for sign in (1, -1)
         for step in (-1, 0, 1)]
DEPTH_MAX = 8
BANNED = [bytes.fromhex(item) for item in (
    "f6", "f7", "f93c00", "c101", "ff", "9f", "bfff", "c24101", "f814", "fb0000000000000000",
    "5fff", "1c", "d9d9f7")]


def integer(chance):
    value = chance.choice((chance.choice(EDGES), chance.getrandbits(chance.randrange(1, 65))))
    return min(max(value, -2**63), 2**64 - 1)


def text(chance):
    """Valid UTF-8 of all lengths, U+0000 and the last code point too."""
    def character():
        code = chance.getrandbits(chance.choice((7, 8, 11, 16, 21)))
        return "\0" if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)
    return "".join(character() for _ in range(chance.choice((0, 1, 3, 23, 24, 60))))


def value_of(chance, depth=1):
    kind = chance.randrange(7 if depth <= DEPTH_MAX else 5)
    if kind < 2:
        return integer(chance)
    if kind == 2:
        return chance.randbytes(chance.choice((0, 1, 23, 24, 255, 256, 300)))
    if kind == 3:
        return text(chance)
    if kind == 4:
        return chance.random() < 0.5
    count = chance.choice((0, 1, 2, 5, 24)) if depth < 4 else chance.randrange(2)
    if kind == 5:
        return [value_of(chance, depth + 1) for _ in range(count)]
    return {abs(integer(chance)): value_of(chance, depth + 1) for _ in range(count)}


def within(value, depth=1):
    """Whether a value that cbor2 decoded is of the subset."""
    if type(value) is int:
        return -2**63 <= value < 2**64
    if type(value) in (bytes, str, bool):
        return True
    if type(value) not in (list, dict) or depth > DEPTH_MAX:
        return False
    if type(value) is dict and not all(type(k) is int and 0 <= k < 2**64 for k in value):
        return False
    return all(within(v, depth + 1) for v in (value.values() if type(value) is dict else value))


def theirs(data):
    """What cbor2 makes of bytes: (whether they are canonical and of the subset, the value)."""
    try:
        value = cbor2.loads(data)
        return within(value) and cbor2.dumps(value, canonical=True) == data, value
    except Exception:  # noqa: BLE001: bytes of any kind, and whatever it says of them is a no
        return False, None


def ours(data):
    try:
        value, end = aioss_verify.cbor(data, 0)
        return end == len(data), value
    except (ValueError, IndexError):
        return False, None


def mutant(chance, data):
    """One to three changes; often of heads, where the rules are."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            data[at:at + 1] = bytes([chance.getrandbits(8)])
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[at:at + chance.randrange(1, 5)]
        elif kind == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 5))
        elif kind == 4 and at < len(data):  # the same head, longer than it has to be
            major, info = data[at] & 0xE0, data[at] & 31
            width = chance.randrange(4)
            number = (info if info < 24 else 24).to_bytes(1 << width, "big")
            data[at:at + 1] = bytes([major | 24 + width]) + number
        else:
            data[at:at + 1] = chance.choice(BANNED)
    return bytes(data)


class Cbor(Agreement):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(SEED)

    def test_encoders_agree(self):
        for number in range(VALUES):
            value = value_of(self.chance)
            data = cbor(value)
            self.assertEqual(data, cbor2.dumps(value, canonical=True), f"seed {SEED}, {number}")
            self.assertEqual(ours(data), (True, value), f"seed {SEED}, {number}")
        print(f"{VALUES} values are encoded alike and decoded again (seed {SEED})")

    def test_decoders_agree(self):
        accepted = 0
        for number in range(MUTANTS):
            data = mutant(self.chance, cbor(value_of(self.chance)))
            if number % 10 == 0:
                data = self.chance.randbytes(self.chance.randrange(1, 12))
            we, they = ours(data), theirs(data)
            self.assertEqual(we[0], they[0], f"seed {SEED}, {number}: {data.hex()}")
            if we[0]:
                self.assertEqual(we[1], they[1], f"seed {SEED}, {number}: {data.hex()}")
                accepted += 1
        print(f"of {MUTANTS} byte strings {accepted} are canonical to both (seed {SEED})")

    def test_every_short_string(self):
        accepted = 0
        for size in (1, 2):
            for number in range(1 << 8 * size):
                data = number.to_bytes(size, "big")
                self.assertEqual(ours(data)[0], theirs(data)[0], data.hex())
                accepted += ours(data)[0]
        print(f"of all strings of one and two bytes {accepted} are canonical to both")

    def test_the_program_agrees(self):
        """Values that are canonical in one ledger; each that is not in one of its own."""
        good, bad = [], []
        while len(good) < 10 * LEDGERS or len(bad) < LEDGERS:
            data = cbor(value_of(self.chance, 2))
            data = mutant(self.chance, data) if self.chance.random() < 0.5 else data
            body = cbor(Forge.common())
            body = bytes([body[0] + 1]) + body[1:] + b"\x18\x1e" + data
            if len(body) < 10_000:
                self.assertEqual(ours(body)[0], theirs(body)[0], body.hex())
                (good if ours(body)[0] else bad).append(body)
        forge = Forge()
        for body in good[:10 * LEDGERS]:
            forge.add(0x8000, raw=body)
        self.both(f"all canonical, seed {SEED}", forge.files(forge.checkpoint(2)), forge.key(), OK)
        start = Forge()
        for body in bad[:LEDGERS]:
            forge = Forge()
            forge.add(0x8000, raw=body)
            files = forge.files(start.checkpoint())
            self.both(f"seed {SEED}: {body.hex()}", files, forge.key(), TAMPERED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
