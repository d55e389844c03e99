#!/usr/bin/env python3
"""Verifies an .aioss ledger with Python 3.11's standard library alone: a second opinion, written
from docs/formats/ledger.md (sections, verdicts and exit codes are those of that page) and not from
the program that writes ledgers. It maps a segment at a time; of all records it keeps the tree's
frontier, the keys and a bounded set of open requests. Documents: aioss_documents.py beside it."""
import argparse
import base64
import hashlib
import json
import mmap
import os
import re
import struct
import sys

OK, USAGE, TAMPERED, TRUNCATED, FORK, TORN, UNKNOWN = range(7)
WORDS = ("ok", "usage", "tampered", "truncated", "fork", "torn tail", "unknown")
SEVEREST_FIRST = (USAGE, FORK, TRUNCATED, TAMPERED, TORN, UNKNOWN, OK)
BODY_BYTES_MAX, NOTE_BYTES_MAX, DEPTH_MAX = 65_535, 16_384, 8
RUN_LEAVES_MAX, KEYS_MAX, OPEN_REQUESTS_MAX = 2_048, 65_536, 65_536
GENESIS, SEGMENT_OPEN, SEGMENT_SEAL, KEY_ROTATE = 1, 2, 3, 5
INFER_REQUEST, INFER_RESULT, INFER_ABORT, RETENTION_DROP = 20, 21, 22, 51
KNOWN_TYPES = {*range(1, 9), *range(10, 17), *range(20, 28), 30, 31, 32, 40, 41, 42, 50, 51, 52, 60}
NEVER_PRUNED = {GENESIS, SEGMENT_OPEN, SEGMENT_SEAL, KEY_ROTATE, 6, 41, 50, RETENTION_DROP, 52}
ORIGIN, MAGIC, DASH = re.compile("[!-*,-~]{1,255}"), re.compile(b"AREC"), "\u2014 "

class Bad(ValueError):
    """A rule is broken."""
    def __init__(self, finding, verdict):
        super().__init__(finding)
        self.verdict = verdict

def need(holds, finding, verdict=TAMPERED):
    if not holds:
        raise Bad(finding, verdict)
def sha3(*parts):
    return hashlib.sha3_256(b"".join(parts)).digest()
def is_uint(value, below=1 << 64):
    return type(value) is int and 0 <= value < below
def is_bytes(value, size):
    return type(value) is bytes and len(value) == size

CRC_TABLE = list(range(1 << 16))
for _ in range(16):
    CRC_TABLE = [value >> 1 ^ (value & 1) * 0x82F63B78 for value in CRC_TABLE]
def crc32c(data):
    crc = 0xFFFFFFFF
    for half in struct.unpack(f"<{len(data) // 2}H", data):
        crc = CRC_TABLE[(crc ^ half) & 0xFFFF] ^ crc >> 16
    return crc ^ 0xFFFFFFFF

# Ed25519: RFC 8032 section 5.1.7, without the cofactor. Points are (x, y).
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
def point_add(a, b):
    t = D * a[0] * b[0] * a[1] * b[1] % P
    shared = pow(1 - t * t, -1, P)
    return ((a[0] * b[1] + a[1] * b[0]) * (1 - t) * shared % P,
            (a[1] * b[1] + a[0] * b[0]) * (1 + t) * shared % P)
def point_times(scalar, point):
    if scalar == 0:
        return 0, 1
    even = point_times(scalar >> 1, point_add(point, point))
    return point_add(even, point) if scalar & 1 else even
def point_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    need(y < P and x * x % P == square and (x or not sign), "no point of the curve")
    return x if x & 1 == sign else P - x, y
BASE = point_decode(bytes([0x58] + [0x66] * 31))
def check_signature(public, message, signature):
    """Raises unless [S]B = R + [k]A; only the one encoding of R is decoded."""
    k = hashlib.sha512(signature[:32] + public + message).digest()
    s, k = (int.from_bytes(part, "little") for part in (signature[32:], k))
    theirs = point_add(point_decode(signature[:32]), point_times(k % L, point_decode(public)))
    need(len(signature) == 64 and s < L and point_times(s, BASE) == theirs, "a false signature")

def cbor(data, at, depth=1):
    """(value, offset behind it) of canonical CBOR: section 3. An item that is cut short is an error
    or shows by an offset that is beyond the data."""
    major, count, at = data[at] >> 5, data[at] & 31, at + 1
    need(count < 28 and major != 6 and (major != 7 or count in (20, 21)), "CBOR not of the subset")
    if count >= 24:
        width = 1 << count - 24
        count, at = int.from_bytes(data[at:at + width], "big"), at + width
        need(count >= (24 if width == 1 else 1 << 4 * width), "CBOR not in its shortest form")
    if major in (0, 1, 7):
        need(major != 1 or count < 1 << 63, "CBOR integer below -2^63")
        return (count == 21 if major == 7 else -1 - count if major else count), at
    if major in (2, 3):
        text = data[at:at + count]
        return (text.decode() if major == 3 else text), at + count
    need(depth <= DEPTH_MAX, "CBOR that nests too deeply")
    values, last = {}, -1
    for key in range(count):  # each turn takes a byte or raises: a false count costs nothing
        if major == 5:
            key, at = cbor(data, at, depth + 1)
            need(type(key) is int and key > last, "CBOR map whose keys do not ascend from 0")
        values[key], at = cbor(data, at, depth + 1)
        last = key
    return (values if major == 5 else list(values.values())), at

# Files and frames: sections 1 and 3.
def content(path):
    """The bytes of a regular file, mapped; a pipe in a ledger cannot make us wait."""
    if not os.path.isfile(path):
        raise OSError(f"{path} is no regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

class Frame:
    """What stands at an offset, and whether it is a good frame: section 3."""
    def __init__(self, data, at, end):
        head, size = data[at:at + 24], int.from_bytes(data[at + 4:at + 8], "little")
        self.end = at + 56 + size + -size % 8
        self.good = head[:4] == b"AREC" and size <= BODY_BYTES_MAX and self.end <= end
        if self.good:
            self.data, crc = data[at:self.end], int.from_bytes(head[20:], "little")
            self.good = crc32c(self.data[:20] + self.data[24:]) == crc
            self.index, self.type, self.flags = struct.unpack("<QHH", head[8:20])
            self.size, self.chain = size, self.data[24:56]

    def decode(self, ledger_id):
        """The leaf; then the body is known, and the frame breaks no rule by itself."""
        raw, padding = self.data[56:56 + self.size], self.data[56 + self.size:]
        need(self.flags < 2 and not any(padding), "flags or padding that are not zero")
        self.body, end = cbor(raw, 0)
        need(type(self.body) is dict and end == self.size, "a body that is not exactly one map")
        need(is_uint(self.body.get(0), 1 << 63) and is_uint(self.body.get(1)) and
             is_bytes(self.body.get(3), 16), "without good keys 0, 1 and 3")
        numbers = struct.pack(">QHHI", self.index, self.type, self.flags, self.size)
        return sha3(b"\0aioss/entry/v1\n", ledger_id, numbers, raw)

# Keys and checkpoints: section 5. A key is (origin, public key).
def base64_exact(text, size=None):
    decoded = base64.b64decode(text, validate=True)
    need(base64.b64encode(decoded).decode() == text and size in (None, len(decoded)), "bad base64")
    return decoded

def key_id(key):
    return hashlib.sha256(key[0].encode() + b"\n\x01" + key[1]).digest()[:4]

def parse_key(text):
    origin, said, public = (text.strip().split("+", 2) + ["", ""])[:3]
    public = base64_exact(public, 33)
    key = origin, public[1:]
    need(ORIGIN.fullmatch(origin) and public[0] == 1 and said == key_id(key).hex(), "no good key")
    return key

class Note:
    """A signed note; lines that nobody looks into may be anything."""
    def __init__(self, data):
        self.text, _, lines = data.decode(errors="surrogateescape").partition("\n\n")
        *self.lines, end = lines.split("\n")
        need(len(data) <= NOTE_BYTES_MAX and self.lines and not end and
             all(line.startswith(DASH) for line in self.lines), "no signed note")
        self.origin, size, root = self.text.split("\n")
        self.size, self.root = int(size), base64_exact(root, 32)
        need(str(self.size) == size and is_uint(self.size), "a note without a good size")

    def check(self, keys):
        """Raises unless one of the keys signed this, and no line with the id of one is wrong."""
        ids = {key_id(key): key[1] for key in keys if key[0] == self.origin}
        name = f"{DASH}{self.origin} "
        own = [base64_exact(line[len(name):]) for line in self.lines if line.startswith(name)]
        signed = [(ids[line[:4]], line[4:]) for line in own if line[:4] in ids]
        need(signed and all(len(line) >= 4 for line in own), "not signed by the key")
        for public, signature in signed:
            check_signature(public, self.text.encode() + b"\n", signature)

class Ledger:
    """Who signs a ledger, and what is known behind its last good record."""
    def __init__(self, notes=()):
        self.id, self.keys, self.frontier, self.chain, self.link = None, [], [], b"", bytes(32)
        self.records, self.segments, self.pruned_records, self.open = 0, 0, 0, set()
        self.unknown, self.pruned, self.covered = None, [], 0
        self.roots = {**{getattr(note, "size", 0): None for note in notes}, 0: sha3()}

    def rotate(self, frame):
        """The key that a KEY_ROTATE brings, from the next record on."""
        (first, (origin, now)), index = self.keys[-1], frame.index
        old, new, by_old, by_new, root = map(frame.body.get, (16, 17, 18, 19, 22))
        need(frame.type == KEY_ROTATE and first <= index and len(self.keys) < KEYS_MAX and
             old == now != new and is_bytes(new, 32) and is_bytes(root, 32) and
             is_bytes(by_old, 64) and is_bytes(by_new, 64), "a KEY_ROTATE that is out of place")
        text = b"aioss/rotate/v1\n" + self.id + index.to_bytes(8, "big") + root + old + new
        check_signature(old, text, by_old)
        check_signature(new, text, by_new)
        self.keys.append((index + 1, (origin, new)))

    def keys_until(self, size=1 << 64):
        """The keys in their order up to the one that signs a checkpoint of this size."""
        return [key for first, key in self.keys if first <= size]

    def root(self):
        root = self.frontier[-1] if self.frontier else sha3()
        for node in reversed(self.frontier[:-1]):
            root = sha3(b"\1", node, root)
        return root

    def add(self, node, size=1):
        """A full subtree of `size` leaves; the size divides the number of leaves before it."""
        count = self.records // size
        while count & 1:
            node, count = sha3(b"\1", self.frontier.pop(), node), count >> 1
        self.frontier.append(node)
        self.records += size
        if self.records in self.roots:
            self.roots[self.records] = self.root()

    def take(self, frame, says=()):
        """Adds a record that breaks no rule; `says`: what it has to say of the file around it."""
        need(frame.index == self.records, f"its index is {frame.index}")
        leaf, kind, says = frame.decode(self.id), frame.type, dict(says)
        chain, body = sha3(b"aioss/chain/v1\n", self.chain, leaf), frame.body
        need(frame.chain == chain, "breaks the chain")
        need((kind == GENESIS) == (self.records == 1), "GENESIS out of place")
        if kind == GENESIS:
            self.begin(body.get(16), body.get(17))
        elif kind == KEY_ROTATE:
            says[22] = self.root()
            if self.keys[-1][0] <= self.records:  # a bundle has told its keys before
                self.rotate(frame)
        elif kind == SEGMENT_SEAL:
            says.update({18: self.records, 19: self.root(), 20: b"".join(self.frontier)})
        elif kind == RETENTION_DROP and is_uint(body.get(16)) and \
                is_uint(body.get(17), self.records + 1) and self.records < self.covered:
            self.pruned = [run for run in self.pruned if run[0] < body[16] or body[17] < run[1]]
        elif kind not in KNOWN_TYPES and kind < 0x8000:
            self.unknown = self.unknown or f"record {self.records} is of the type {kind}"
        elif kind == INFER_REQUEST and len(self.open) < OPEN_REQUESTS_MAX:
            self.open.add(self.records)
        elif kind in (INFER_RESULT, INFER_ABORT) and is_uint(body.get(6)):
            self.open.discard(body[6])
        need(all(type(body.get(key)) is type(value) and body[key] == value
                 for key, value in says.items()), "does not fit what is before it")
        self.chain = chain
        self.add(leaf)

    def begin(self, origin, public):
        need(type(origin) is str and ORIGIN.fullmatch(origin) and is_bytes(public, 32),
             "GENESIS without name or key")
        name = len(origin).to_bytes(4, "big") + origin.encode()
        before = sha3(b"aioss/genesis/v1\n", self.id, name, public)
        self.keys = self.keys or [(0, (origin, public))]
        need(sha3(b"aioss/chain/v1\n", before, self.frontier[0]) == self.chain and
             self.keys[0][1] == (origin, public), "the chain does not begin with this GENESIS")

    def take_run(self, data, at):
        """The offset behind a run of leaves in a pruned segment."""
        head = data[at:at + 24].ljust(24)
        magic, count, index, crc, zero = struct.unpack("<4sIQII", head)
        leaves = data[at + 24:at + 24 + 32 * min(count, RUN_LEAVES_MAX)]
        need(magic == b"ALEF" and leaves and len(leaves) == 32 * count and not zero and
             index == self.records > 1 and crc32c(head[:16] + head[20:] + leaves) == crc,
             "neither a good record nor a good run of leaves")
        for i in range(0, len(leaves), 32):
            self.chain = sha3(b"aioss/chain/v1\n", self.chain, leaves[i:i + 32])
            self.add(leaves[i:i + 32])
        self.pruned_records += count
        return at + 24 + len(leaves)

    def bad(self, data, at, is_last):
        """No good frame or header: a torn tail, if a crash explains it (section 7, rule 2)."""
        found = (Frame(data, match.start(), len(data)) for match in MAGIC.finditer(data, at + 1))
        torn = is_last and not any(frame.good and frame.flags & 1 and frame.index >= self.records
                                   for frame in found)
        need(False, f"no good record or header at byte {at}", TORN if torn else TAMPERED)

    def read(self, path):
        """Every record of a ledger's folder, or Bad at the first thing that is wrong."""
        folder = os.path.join(path, "seg")
        found = (re.fullmatch(r"([0-9]{20})\.(aioss|pruned)", name) for name in
                 (os.listdir(folder) if os.path.lexists(folder) else ()))
        firsts = {int(match[1]) for match in found if match and is_uint(int(match[1]))}
        if not firsts and not os.path.lexists(os.path.join(path, "checkpoint")):
            raise FileNotFoundError("there is no ledger here")
        while self.segments < len(firsts):
            need(self.records in firsts, "no segment begins with it, but there are more")
            name = os.path.join(folder, f"{self.records:020d}")
            pruned = not os.path.lexists(name + ".aioss")
            data = content(name + (".pruned" if pruned else ".aioss"))
            self.read_segment(data, self.records == max(firsts) and not pruned, pruned)
            self.segments += 1

    def read_segment(self, data, is_last, pruned):
        header, first, at, kind = data[:128], self.records, 128, None
        if len(header) < 128 or header[:8] != b"AIOSSLG1" or \
                crc32c(header[:124]) != int.from_bytes(header[124:], "little"):
            self.bad(data, 0, is_last)
        need(header[8:14] == bytes((1, 0, 0, 0, 1, 0)), "a later format", UNKNOWN)
        if not self.segments:
            self.id, self.chain = header[16:32], header[48:80]
        numbers = struct.pack("<QQ", self.segments, self.records)
        need(header[14:112] == bytes(2) + self.id + numbers + self.chain + self.link and
             not any(header[120:124]), "is in a segment whose header does not fit")
        while kind != SEGMENT_SEAL and (at < len(data) or kind is None):
            frame = Frame(data, at, len(data))
            if not frame.good and pruned and kind:
                at = self.take_run(data, at)
                continue
            if not frame.good:
                self.bad(data, at, is_last)
            need((frame.type == SEGMENT_OPEN) == (kind is None) and (kind or frame.flags == 1) and
                 (frame.type in NEVER_PRUNED or not pruned), "is of a type that is out of place")
            says = {} if kind else {16: sha3(header)}
            if frame.type == SEGMENT_SEAL:
                says = {16: self.records - first, **({} if pruned else {17: at})}
            self.take(frame, says)
            at, kind = frame.end, frame.type
        need(kind != SEGMENT_SEAL or at == len(data), "bytes stand after the seal before it")
        need(kind == SEGMENT_SEAL or is_last, "another segment, but no seal before it")
        self.pruned += [(first, self.records)] if pruned else []
        count = (self.records - first).to_bytes(8, "big")
        self.link = sha3(b"aioss/segment/v1\n", header, self.chain, count)

# The verdict: section 8.
def judge(ledger, given, notes, stop):
    """Every (verdict, finding) that applies; `stop` is what ended the reading before the end."""
    yield stop or (OK, "everything holds, signed by the given key")
    ended, keys = stop is None or stop[0] == TORN, ledger.keys_until()
    if not keys:
        if ended:
            yield TRUNCATED, "the ledger ends before its GENESIS"
        return
    if given and given not in keys:
        yield TAMPERED, "the ledger names other keys than the given one"
    if ended and ledger.pruned:
        yield TAMPERED, f"no RETENTION_DROP covers the pruned records {ledger.pruned[0]}"
    if ledger.unknown or not given:
        yield UNKNOWN, ledger.unknown or "self-consistent, untrusted: no key was given"
    for name, note in notes.items():
        try:
            if isinstance(note, Exception):
                raise note
            late = note.size > ledger.records
            signers = keys if name == "--since" else ledger.keys_until(note.size)[-1:]
            note.check(signers + ([given] if late and given and given not in keys else []))
        except (ValueError, OSError) as problem:
            yield TAMPERED, f"{name}: {problem}"
            continue
        if late and ended:
            yield TRUNCATED, f"{name}: {ledger.records} records are left of {note.size}"
        elif not late and note.root != ledger.roots[note.size]:
            yield FORK, f"{name}: another root was signed over the first {note.size} records"

def verify(path, key=None, since=None, **texts):
    """(verdict, finding, Ledger)."""
    notes, ledger, stop = {}, Ledger(), None
    try:
        given = None if key is None else parse_key(key)
        if os.path.isfile(path):
            sys.modules.setdefault("aioss_verify", sys.modules[__name__])
            import aioss_documents
            return aioss_documents.verify(content(path), given, since, **texts)
        if since is not None:
            notes["--since"] = Note(content(since.removeprefix("@"))[:NOTE_BYTES_MAX + 1])
        try:  # before the records: on a running ledger these may then only be more
            file = content(os.path.join(path, "checkpoint"))
            notes["checkpoint"] = Note(file[:NOTE_BYTES_MAX + 1])
        except (ValueError, OSError) as problem:
            notes["checkpoint"] = problem
        ledger = Ledger(notes.values())
        ledger.covered = getattr(notes["checkpoint"], "size", 0)
        try:
            ledger.read(path)
        except (ValueError, IndexError) as problem:
            verdict = getattr(problem, "verdict", TAMPERED)
            stop = verdict, f"record {ledger.records}: {problem}"
    except (ValueError, OSError) as problem:
        return USAGE, str(problem), ledger
    found = list(judge(ledger, given, notes, stop))
    verdict, finding = min(found, key=lambda one: SEVEREST_FIRST.index(one[0]))
    return verdict, finding, ledger

def main():
    parser = argparse.ArgumentParser(description="Verify an .aioss ledger, or a document of one.")
    parser.error = lambda message: parser.exit(USAGE, f"{parser.prog}: {message}\n")
    parser.add_argument("path", help="folder of a ledger, bundle, receipt or fork proof")
    parser.add_argument("--key", metavar="VKEY", help="the line that `aioss ledger init` printed")
    parser.add_argument("--since", metavar="NOTE", help="a checkpoint that was kept: its file")
    parser.add_argument("--prompt", metavar="FILE", help="what a receipt's request commits to")
    parser.add_argument("--answer", metavar="FILE", help="what a receipt's answer commits to")
    parser.add_argument("--choice", type=int, default=0, help="which of the answers it is")
    verdict, finding, ledger = verify(**vars(parser.parse_args()))
    sys.stdout.reconfigure(errors="backslashreplace")
    print(json.dumps({
        "verdict": WORDS[verdict], "exit_code": verdict, "finding": finding,
        "origin": ledger.keys[0][1][0] if ledger.keys else "", "records": ledger.records,
        "segments": ledger.segments, "pruned_records": ledger.pruned_records,
        "head_chain": ledger.chain.hex(), "root": ledger.root().hex(),
        "dangling_requests": len(ledger.open)}, indent=1))
    return verdict

if __name__ == "__main__":
    sys.exit(main())
