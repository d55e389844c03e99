"""Two verifiers, one verdict: `aioss verify` and tools/aioss_verify.py, which was written from
docs/formats/ledger.md alone, must agree on every ledger that can be made, cut, bent or forged here.

AIOSS_BINARY names the binary; AIOSS_LONG=1 cuts at and flips a bit of every byte."""
import base64
import json
import os
import struct
import subprocess
import sys
import unittest

from agreement import LONG, VERIFIER, Agreement, flipped, real_ledger, run, spread

import aioss_verify
from aioss_verify import FORK, OK, TAMPERED, TORN, TRUNCATED, UNKNOWN, USAGE, crc32c
from ledger_forge import Forge, cbor, frame

LINES_MAX, DOCUMENT_LINES_MAX = 400, 250
CUTS, FLIPS = 60, 200  # of the quick form, over all ledgers


def forged_ledger():
    """Three segments, of which the checkpoint covers two; requests with and without an answer."""
    forge = Forge()
    forge.add(20)
    forge.add(21, {6: 2}, flags=0)
    forge.seal()
    forge.open()
    forge.add(20)
    forge.add(0x8000, {16: bytes(range(100))})
    forge.seal(flags=1)
    size = len(forge.leaves)
    forge.open()
    forge.add(20)
    forge.add(22, {6: size + 1}, flags=0)
    return forge.files(forge.checkpoint(size)), forge.key()


def split(data):
    frames, at = [], 128
    while at < len(data):
        length = int.from_bytes(data[at + 4:at + 8], "little")
        end = at + 56 + length + -length % 8
        frames.append(data[at:end])
        at = end
    return frames


def join(file, frames):
    return file[:128] + b"".join(frames)


def rearranged(count):
    every = list(range(count))
    for i in range(count) if LONG else {0, 1, 2, count // 2, count - 2, count - 1} & set(every):
        yield f"record {i} deleted", every[:i] + every[i + 1:]
        yield f"record {i} doubled", every[:i + 1] + every[i:]
        if i + 1 < count:
            yield f"record {i} swapped", every[:i] + [i + 1, i] + every[i + 2:]


def reframed(old, index):
    head = old[:8] + struct.pack("<Q", index) + old[16:20]
    return head + struct.pack("<I", crc32c(head + old[24:])) + old[24:]


class Ledgers(Agreement):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ledgers = {"stopped": real_ledger("stopped"), "killed": real_ledger("killed"),
                       "forged": forged_ledger()}

    def spots(self, count):
        """(ledger, file, offset), `count` of them spread over all bytes, or every byte."""
        every = [(name, file, at) for name, (files, _) in self.ledgers.items()
                 for file in sorted(files) for at in range(len(files[file]))]
        return spread(every, count)

    def test_good_ledgers(self):
        other = Forge(seed=bytes(32)).key()
        for name, (files, key) in self.ledgers.items():
            self.both(name, files, key, OK)
            self.both(name, files, f" {key}\r\n", OK)
            self.both(name, files, None, UNKNOWN)
            self.both(name, files, other, TAMPERED)
            for text in ("", " ", "x", key[:-1], key + "=", key.replace("+", "-"), key.swapcase()):
                self.both(name, files, text, USAGE)

    def test_what_both_say_besides(self):
        for name, (files, key) in self.ledgers.items():
            self.folder.put(files)
            command = [sys.executable, VERIFIER, self.folder.path, "--key", key]
            ours = subprocess.run(command, capture_output=True, text=True, check=True)
            self.assertEqual(ours.stderr, "")
            ours = json.loads(ours.stdout)
            theirs = json.loads(run("verify", self.folder.path, "--key", key, "--json").stdout)
            for field in ("verdict", "exit_code", "origin", "records", "segments", "head_chain",
                          "root", "dangling_requests"):
                self.assertEqual(ours[field], theirs[field], f"{name}: {field}")
        self.assertEqual(theirs["dangling_requests"], 1)

    def test_cut_anywhere(self):
        for number, (name, file, at) in enumerate(self.spots(CUTS)):
            files, key = self.ledgers[name]
            bent = {**files, file: files[file][:at]}
            verdict = self.both(f"{name}, {file} cut at {at}", bent, key)
            if file == "checkpoint":
                self.assertEqual(verdict, TAMPERED)
            if number % 4 == 0:
                self.both(f"{name}, {file} cut at {at}, no key", bent, None)

    def test_flip_a_bit_anywhere(self):
        for number, (name, file, at) in enumerate(self.spots(FLIPS)):
            files, key = self.ledgers[name]
            bent = {**files, file: flipped(files[file], at, number * 5 % 8)}
            what = f"{name}, {file}, byte {at}, bit {number * 5 % 8}"
            self.assertNotEqual(OK, self.both(what, bent, key), what)
            if number % 4 == 0:
                self.both(what + ", no key", bent, None)

    def test_missing_files(self):
        for name, (files, key) in self.ledgers.items():
            for file in files:
                left = {f: data for f, data in files.items() if f != file}
                for given in (key, None):
                    self.both(f"{name} without {file}", left, given)
            for note in (files["checkpoint"], b""):  # whatever it says: there was a ledger
                for given in (key, None):
                    self.both(f"{name}: checkpoint alone", {"checkpoint": note}, given, TRUNCATED)
            self.both(f"{name}: nothing", {}, key, USAGE)
            stray = {**files, f"seg/{2**64:020d}.aioss": b"", "seg/x": b"", "seg/0.aioss": b"x"}
            self.both(f"{name} and files that are no segments", stray, key, OK)
            for number in (1, 3, 1 << 40, 2**64 - 1):
                more = {**files, f"seg/{number:020d}.aioss": b""}
                self.both(f"{name} and a segment {number}", more, key, TAMPERED)

    def test_records_moved(self):
        """Deleted, doubled and swapped, as they are; then with index and CRC that fit."""
        for name, (files, key) in self.ledgers.items():
            for file in sorted(set(files) - {"checkpoint"}):
                frames = split(files[file])
                for lie, order in rearranged(len(frames)):
                    moved = [frames[i] for i in order]
                    what = f"{name}, {file}: {lie}"
                    self.both(what, {**files, file: join(files[file], moved)}, key)
                    first = int.from_bytes(frames[0][8:16], "little")
                    moved = [reframed(f, first + i) for i, f in enumerate(moved)]
                    self.both(what + ", repaired", {**files, file: join(files[file], moved)}, key)

    def forged(self, what, expect, kind=20, own=None, genesis=None, **lies):
        """One more record, false in one respect; the rest is true, and signed."""
        forge = Forge(genesis=genesis)
        if kind is not None:
            forge.add(kind, own, **lies)
        self.both(what, forge.files(), forge.key(), expect)

    def test_forged_bodies(self):
        for key, good, bad in ((0, (0, 2**63 - 1), ("x", 2**63, -1, None, True)),
                               (1, (0, 2**64 - 1), (b"", -1, None)),
                               (2, (None, "x", bytes(15)), ()),
                               (3, (), (None, bytes(15), "x" * 16)),
                               (4, ("x", {}, {0: 9, 9: 9}), ()), (6, (99, "x", -1), ()),
                               (99, (True, -2**63, "\0"), (-2**63 - 1, -2**64))):
            for value in good:
                self.forged(f"key {key} is {value}", OK, own={key: value})
            for value in bad:
                self.forged(f"key {key} is {value}", TAMPERED, own={key: value})
        nested = [1]
        for depth in range(2, 10):
            self.forged(f"depth {depth}", OK if depth <= 8 else TAMPERED, own={30: nested})
            nested = [nested] if depth % 2 else {0: nested}
        body = cbor(Forge.common())
        for raw in (b"", b"\x80", body + b"\xa0", body[:-1], b"\xbf" + body[1:] + b"\xff"):
            self.forged(f"body {raw.hex()}", TAMPERED, raw=raw)
        for value in ("1805", "190005", "1a00000005", "1b0000000000000005", "f6", "f7", "f90000",
                      "fa00000000", "f814", "f815", "c101", "9fff", "5fff", "a1616101",
                      "a201010001", "a201010101", "61ff", "63eda080", "62c080", "1c", "ff",
                      "9bffffffffffffffff", "5bffffffffffffffff", "bbffffffffffffffff",
                      "19", "19ff", "1affffff", "42ff"):
            raw = bytes([body[0] + 1]) + body[1:] + b"\x18\x1e" + bytes.fromhex(value)
            for kind in (20, 99, 0x9000):
                self.forged(f"value {value}", TAMPERED, kind, raw=raw)

    def test_forged_frames(self):
        for kind in (4, 6, 7, 8, *range(10, 17), *range(20, 24), 0x8000, 0xFFFF):
            self.forged(f"type {kind}", OK, kind)
        for kind in (24, 25, 26, 27, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60):
            self.forged(f"type {kind}", OK, kind)
        for kind in (0, 9, 17, 18, 19, 28, 29, 33, 39, 43, 49, 53, 59, 61, 0x7FFF):
            self.forged(f"type {kind}", UNKNOWN, kind)
        for kind in (1, 2):
            self.forged(f"type {kind}", TAMPERED, kind)
        for flags in (2, 3, 0x8000):
            self.forged(f"flags {flags}", TAMPERED, flags=flags)
        body = cbor(Forge.common())
        self.forged("padding", TAMPERED, raw=body, padding=b"\1" * (-len(body) % 8))
        room = 65_535 - len(body) - 4
        self.forged("a body of the greatest length", OK, own={5: "x" * room})
        self.forged("a body that is too long", TRUNCATED, own={5: "x" * (room + 1)})
        for key, value, expect in ((16, None, TAMPERED), (16, "other", TAMPERED),
                                   (16, "a b", TAMPERED), (17, None, TAMPERED),
                                   (17, bytes(31), TAMPERED), (18, 9, OK), (18, None, OK),
                                   (19, None, OK)):
            self.forged(f"GENESIS {key} is {value}", expect, None, genesis={key: value})

    def test_forged_segments(self):
        for key, values in (("k16", (9, True, None)), ("k17", (9,)), ("k18", (9,)),
                            ("k19", (bytes(32),)), ("k20", (b"", bytes(32))), ("k21", (7, "x"))):
            for value in values:
                forge = Forge()
                forge.seal(**{key: value})
                forge.open()
                self.both(f"SEAL {key} is {value}", forge.files(), forge.key(),
                          OK if key == "k21" else TAMPERED)
        for what, expect, lies in (
                ("true", OK, {}), ("OPEN without bit 0", TAMPERED, {"flags": 0}),
                ("zero", TAMPERED, {"zero": 1}), ("minor", UNKNOWN, {"version": (1, 1, 1, 0)}),
                ("major", UNKNOWN, {"version": (2, 0, 1, 0)}),
                ("hash", UNKNOWN, {"version": (1, 0, 2, 0)}),
                ("reserved", TAMPERED, {"version": (1, 0, 1, 1)})):
            forge = Forge()
            forge.seal()
            forge.open(**lies)
            self.both(f"second header: {what}", forge.files(), forge.key(), expect)
            self.both(f"second header: {what}, bad checkpoint", forge.files(b"x"), forge.key(),
                      TAMPERED)
            forge = Forge()
            forge.segments, forge.leaves = {}, []
            forge.open(**lies)
            self.both(f"first header: {what}", forge.files(b"x"), forge.key(),
                      TRUNCATED if expect == OK else expect)

    def test_forged_tails(self):
        """What follows the last good record: does a crash explain it?"""
        common = cbor(Forge.common())
        follow = {name: frame(index, 20, flags, bytes(32), common) for name, index, flags in (
            ("group", 4, 1), ("far", 1 << 60, 1), ("below", 3, 1), ("no group", 4, 0))}
        outer = bytearray(frame(4, 20, 1, bytes(32), cbor({5: follow["group"]})))
        outer[30] ^= 1
        cases = {"junk": (b"torn", TORN), "zeros": (bytes(4096), TORN), "inside": (outer, TAMPERED),
                 "hides": (b"AREC" * 7 + follow["group"], TAMPERED)}
        for name, data in follow.items():
            for size in (1, 8, 1 << 20) if name == "group" else (8,):
                cases[f"{size} bytes, then {name}"] = (
                    bytes(size) + data, TAMPERED if name in ("group", "far") else TORN)
        for sealed in (False, True):
            forge = Forge()
            forge.add(20)
            forge.seal() if sealed else forge.add(20, flags=0)
            files, file = forge.files(forge.checkpoint(2)), f"seg/{0:020d}.aioss"
            for what, (tail, expect) in cases.items():
                self.both(what, {**files, file: files[file] + tail}, forge.key(),
                          TAMPERED if sealed else expect)
        forge.open()
        files = forge.files(forge.checkpoint(2))
        last = max(set(files) - {"checkpoint"})
        for size in range(len(files[last])) if LONG else (0, 1, 127, 128, 150):
            cut = {**files, last: files[last][:size]}
            self.both(f"last segment of {size}", cut, forge.key(), TORN)
        for at, expect in ((0, TAMPERED), (50, TAMPERED), (130, TORN), (200, TORN)):
            bent = {**files, last: flipped(files[last], at, 0)}
            self.both(f"last segment bent at {at}", bent, forge.key(), expect)

    def test_forged_checkpoints(self):
        forge = Forge()
        forge.add(20)
        forge.add(20)
        files, key, note = forge.files(), forge.key(), forge.checkpoint()
        text, own = note[:note.index(b"\n\n") + 1], note[note.index(b"\n\n") + 2:]
        name = f"\u2014 {forge.origin} ".encode()
        half = base64.b64encode(forge.key_id() + bytes(64))

        def line(data, who=name):
            return who + base64.b64encode(data) + b"\n"

        other = line(bytes(68), "\u2014 other ".encode())
        for expect, notes in (
                (OK, (note + other, text + b"\n" + other + own, note + own, note + line(bytes(68)),
                      note + line(bytes(4)), note + name[:4] + b"\n", note + other * 100,
                      note + name[:4] + b"\xff !\n", note + name[:-1] + b"x !\n",
                      forge.checkpoint(1), forge.checkpoint(3))),
                (TAMPERED, (b"", note[:-1], note + b"\n", note + b"x", note + other[3:],
                            text + b"\n", text + b"\n" + other, note.replace(b"\n", b"\r\n"),
                            note + own[:3] + b"\n", note + name + b"!!\n",
                            note + forge.signature(text.decode(), 1).encode(),
                            note + line(forge.key_id() + bytes(63)), note + line(bytes(3)),
                            note + name + half[:-2] + b"B=\n", note + name + half + b" x\n",
                            note + other * 200)),
                (TRUNCATED, (forge.checkpoint(text=text.decode().replace("\n4\n", f"\n{size}\n"))
                             for size in (5, 2**63, 2**64 - 1))),
                (TAMPERED, (forge.checkpoint(text=text.decode().replace("\n4\n", f"\n{size}\n"))
                            for size in ("", "04", "+4", "-4", "4 ", 2**64, "9" * 5000, "4\nx"))),
                (TAMPERED, (forge.checkpoint(text=text.decode().replace("test", "best")),
                            forge.checkpoint(text=text.decode().replace("=", "")),
                            forge.checkpoint(root=bytes(31)))),
                (FORK, (forge.checkpoint(root=bytes(32)), forge.checkpoint(3, bytes(32))))):
            for number, bent in enumerate(notes):
                bent = {**files, "checkpoint": bent}
                self.both(f"checkpoint {expect}.{number}", bent, key, expect)
        self.both("of no records", forge.files(forge.checkpoint(0)), key, OK)
        signature = bytearray(base64.b64decode(own.split(b" ")[-1]))
        s = int.from_bytes(signature[36:], "little") + aioss_verify.L
        signature[36:] = s.to_bytes(32, "little")
        self.both("S + L", {**files, "checkpoint": text + b"\n" + line(signature)}, key, TAMPERED)

    def test_which_verdict_is_reported(self):
        for what, kind, own, size, root, expect in (
                ("a bad record before a false root", 20, {3: None}, 4, bytes(32), TAMPERED),
                ("a bad record behind a false root", 20, {3: None}, 2, bytes(32), FORK),
                ("an unknown type before a false root", 99, {}, 4, bytes(32), FORK),
                ("an unknown type behind the checkpoint", 99, {}, 2, None, UNKNOWN)):
            forge = Forge()
            forge.add(kind, own)
            forge.add(20)
            self.both(what, forge.files(forge.checkpoint(size, root)), forge.key(), expect)
        forge = Forge()
        torn = {f"seg/{0:020d}.aioss": forge.files()[f"seg/{0:020d}.aioss"] + b"torn"}
        for key in (forge.key(), None):
            for expect, note in ((TORN, forge.checkpoint()), (FORK, forge.checkpoint(2, bytes(32))),
                                 (TAMPERED, b"x")):
                self.both("torn, and more", {**torn, "checkpoint": note}, key, expect)
            for size in (0, 127, 128, 200, 128 + len(forge.frames[1])):
                for note in (b"x", forge.checkpoint(), forge.checkpoint(1)):
                    whole = forge.files(note)
                    file = f"seg/{0:020d}.aioss"
                    cut = {**whole, file: whole[file][:size]}
                    self.both("cut before GENESIS", cut, key, TRUNCATED)

    def test_the_verifier_stays_small(self):
        self.assertLessEqual(VERIFIER.read_text().count("\n"), LINES_MAX)
        documents = VERIFIER.with_name("aioss_documents.py")
        self.assertLessEqual(documents.read_text().count("\n"), DOCUMENT_LINES_MAX)

    def test_no_traceback(self):
        self.folder.put({})
        for arguments in ([], ["--key"], ["/nowhere"], ["/dev/null"], ["\udcff"],
                          [self.folder.path, "--key", ""], [self.folder.path, "\udcff"],
                          [self.folder.path, "--key", "\udcff"]):
            done = subprocess.run([sys.executable, VERIFIER, *arguments], capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, USAGE, done)
            self.assertNotIn("Traceback", done.stderr)
        self.folder.put({"seg/" + "0" * 20 + ".aioss": os.urandom(70_000),
                         "checkpoint": os.urandom(70_000)})
        (self.folder.path / "seg" / f"{5:020d}.aioss").mkdir()
        done = subprocess.run([sys.executable, VERIFIER, self.folder.path], capture_output=True,
                              text=True, check=False)
        (self.folder.path / "seg" / f"{5:020d}.aioss").rmdir()
        self.assertEqual((done.returncode, done.stderr), (TAMPERED, ""), done)


if __name__ == "__main__":
    unittest.main(verbosity=2)
