#!/usr/bin/env python3
"""Verifies an .aioss ledger with Python 3.11's standard library alone: a second opinion, written
from docs/formats/ledger.md (sections, verdicts and exit codes are those of that page) and not from
the program that writes ledgers. It streams: one frame, the tree's frontier and a bounded set of
open requests are all that it keeps in memory."""
import argparse
import base64
import hashlib
import json
import os
import re
import stat
import struct
import sys

WORDS = ("ok", "usage", "tampered", "truncated", "fork", "torn tail", "unknown")
OK, USAGE, TAMPERED, TRUNCATED, FORK, TORN, UNKNOWN = range(7)
SEVEREST_FIRST = (FORK, TRUNCATED, TAMPERED, TORN, UNKNOWN, OK)
BODY_BYTES_MAX, CHECKPOINT_BYTES_MAX, DEPTH_MAX = 65_535, 16_384, 8
OPEN_REQUESTS_MAX = 65_536  # followed at the same time; more are not counted
GENESIS, SEGMENT_OPEN, SEGMENT_SEAL, INFER_REQUEST, INFER_RESULT, INFER_ABORT = 1, 2, 3, 20, 21, 22
KNOWN_TYPES = {*range(1, 9), *range(10, 17), *range(20, 24)}
ORIGIN = re.compile(rb"[!-*,-~]{1,255}")
DASH = "\u2014 ".encode()

class Stop(Exception):
    """Reading ends here: (verdict, finding)."""
class Damaged(ValueError):
    """Bytes that are not what they should be; what that means, the caller knows."""

def sha3(*parts):
    return hashlib.sha3_256(b"".join(parts)).digest()

# CRC-32C of whole 32-bit words: it is linear, so two tables of 16 bits make a step of four bytes.
def crc_table(first_bit):
    table = [0]
    for bit in range(first_bit, first_bit + 16):
        value = 1 << bit
        for _ in range(32):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table += [value ^ other for other in table]
    return table

CRC_LOW, CRC_HIGH = crc_table(0), crc_table(16)
def crc32c(data):
    crc = 0xFFFFFFFF
    for word in struct.unpack(f"<{len(data) // 4}I", data):
        crc ^= word
        crc = CRC_LOW[crc & 0xFFFF] ^ CRC_HIGH[crc >> 16]
    return crc ^ 0xFFFFFFFF

# Ed25519: RFC 8032 section 5.1.7, without the cofactor.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D, IDENTITY = -121665 * pow(121666, -1, P) % P, (0, 1, 1, 0)

def point_add(a, b):
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P

def point_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

def point_encode(point):
    inverse = pow(point[2], -1, P)
    return (point[1] * inverse % P | (point[0] * inverse % P & 1) << 255).to_bytes(32, "little")

BASE = point_decode(bytes([0x58] + [0x66] * 31))
def ed25519_holds(public_key, message, signature):
    """Whether [S]B - [k]A, encoded, is the signature's R byte for byte."""
    a, s = point_decode(public_key), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or s >= L:
        return False
    hashed = hashlib.sha512(signature[:32] + public_key + message)
    k = int.from_bytes(hashed.digest(), "little") % L
    minus = (P - a[0], a[1], 1, P - a[3])
    table = (IDENTITY, BASE, minus, point_add(BASE, minus))
    result = IDENTITY
    for bit in range(252, -1, -1):
        addend = table[(s >> bit & 1) | (k >> bit & 1) << 1]
        result = point_add(point_add(result, result), addend)
    return point_encode(result) == signature[:32]

# Canonical CBOR: section 3. ValueError or IndexError if it is not; an item that is cut short may
# also show by an offset behind it that is beyond the data.
def cbor_head(data, at):
    """(major type, argument, offset behind them) of the item at an offset."""
    major, value = data[at] >> 5, data[at] & 31
    if value > 27 or major == 6 or major == 7 and value not in (20, 21):
        raise Damaged("CBOR item of a kind that is not allowed")
    if value < 24:
        return major, value, at + 1
    width = 1 << value - 24
    value = int.from_bytes(data[at + 1:at + 1 + width], "big")
    if value < (24 if width == 1 else 1 << 4 * width) or major == 1 and value >> 63:
        raise Damaged("CBOR integer not in its shortest form, or below -2^63")
    return major, value, at + 1 + width

def cbor_item(data, at, depth=1):
    """(value, offset behind it)."""
    major, count, at = cbor_head(data, at)
    if major in (0, 1, 7):
        return (count == 21 if major == 7 else -1 - count if major else count), at
    if major in (2, 3):
        text = data[at:at + count]
        return (text.decode() if major == 3 else text), at + count
    if depth > DEPTH_MAX:
        raise Damaged("CBOR that nests too deeply")
    values, last = {}, -1
    for key in range(count):  # each turn takes a byte or raises: a false count costs nothing
        if major == 5:
            kind, key, at = cbor_head(data, at)
            if kind != 0 or key <= last:
                raise Damaged("CBOR map whose keys are not ascending unsigned integers")
        values[key], at = cbor_item(data, at, depth + 1)
        last = key
    return (values if major == 5 else list(values.values())), at

def is_uint(value, below=1 << 64):
    return type(value) is int and 0 <= value < below
def is_bytes(value, size):
    return type(value) is bytes and len(value) == size

# Keys and checkpoints: section 5.
def base64_exact(data):
    decoded = base64.b64decode(data, validate=True)
    if base64.b64encode(decoded) != data:
        raise Damaged("base64 with bits to spare")
    return decoded

def key_id(key):
    return hashlib.sha256(key[0] + b"\n\x01" + key[1]).digest()[:4]

def parse_key(text):
    """(origin, public key) of a vkey line."""
    origin, said, public = (os.fsencode(text).strip().split(b"+", 2) + [b"", b""])[:3]
    public = base64_exact(public)
    key = origin, public[1:]
    if not ORIGIN.fullmatch(origin) or len(public) != 33 or public[0] != 1 or \
            said != key_id(key).hex().encode():
        raise Damaged("the key is not of the form origin+id+base64, or does not fit its id")
    return key

class Checkpoint:
    def __init__(self, data):
        lines = data.split(b"\n")
        if len(data) > CHECKPOINT_BYTES_MAX or len(lines) < 6 or lines[3] or lines[-1] or \
                not all(line.startswith(DASH) for line in lines[4:-1]):
            raise Damaged("no signed note of three lines")
        self.origin, size, self.root = lines[0], lines[1], base64_exact(lines[2])
        self.size = int(size) if re.fullmatch(b"0|[1-9][0-9]{0,19}", size) else -1
        if not is_uint(self.size) or len(self.root) != 32:
            raise Damaged("no good size or no good root")
        self.signed, self.signatures = b"\n".join(lines[:3]) + b"\n", lines[4:-1]

    def check(self, key):
        """Raises unless the key signed this, and no line of it pretends so wrongly."""
        name = DASH + key[0] + b" "
        own = [base64_exact(line[len(name):]) for line in self.signatures if line.startswith(name)]
        own = [line[4:] for line in own if line[:4] == key_id(key) or len(line) < 4]
        if self.origin != key[0] or not own or not all(
                ed25519_holds(key[1], self.signed, signature) for signature in own):
            raise Damaged("not signed by the key")

# Files and frames: sections 1 to 3.
def open_regular(path):
    """(file, size). O_NONBLOCK, so that a pipe in a ledger cannot make us wait."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file")
    return file, status.st_size

class Frame:
    def __init__(self, file, at, end):
        """The frame at an offset, or Damaged: cut short, no magic, absurd length or wrong CRC."""
        file.seek(at)
        head = file.read(56)
        if len(head) < 56 or at + 56 > end:
            raise Damaged("record that is cut short")
        magic, self.length = head[:4], int.from_bytes(head[4:8], "little")
        if magic != b"AREC" or self.length > BODY_BYTES_MAX:
            raise Damaged("no record where one should be")
        self.end = at + 56 + self.length + -self.length % 8
        rest = file.read(self.end - at - 56)
        if self.end > end or len(rest) < self.end - at - 56:
            raise Damaged("record that is cut short")
        self.index, self.type, self.flags, crc = struct.unpack("<QHHI", head[8:24])
        if crc32c(head[:20] + head[24:] + rest) != crc:
            raise Damaged("record with a wrong CRC")
        self.chain, self.body, self.padding = head[24:], rest[:self.length], rest[self.length:]

def group_follows(file, at, end, index_min):
    """Whether a good frame that begins a commit group stands anywhere from an offset on."""
    for start in range(at, end, 1 << 20):
        file.seek(start)
        for found in re.finditer(b"AREC", file.read(min((1 << 20) + 3, end - start))):
            try:
                frame = Frame(file, start + found.start(), end)
                if frame.flags & 1 and frame.index >= index_min:
                    return True
            except Damaged:
                pass
    return False

class Ledger:
    def __init__(self, path):
        self.path, self.records, self.segments, self.frontier, self.open = path, 0, 0, [], set()
        self.id = self.chain = self.link = self.key = self.unknown = None
        self.checkpoint, self.checkpoint_problem, self.root_at_checkpoint = None, None, sha3()

    def root(self):
        root = self.frontier[-1] if self.frontier else sha3()
        for node in reversed(self.frontier[:-1]):
            root = sha3(b"\1", node, root)
        return root

    def add_leaf(self, leaf):
        count = self.records
        while count & 1:
            leaf, count = sha3(b"\1", self.frontier.pop(), leaf), count >> 1
        self.frontier.append(leaf)
        self.records += 1
        if self.checkpoint and self.checkpoint.size == self.records:
            self.root_at_checkpoint = self.root()

    def need(self, holds, what):
        if not holds:
            raise Stop(TAMPERED, f"record {self.records}: {what}")

    def read(self):
        """Every record, or Stop at the first thing that is wrong."""
        path, checkpoint = os.path.join(self.path, "seg"), os.path.join(self.path, "checkpoint")
        firsts = [int(name[:20]) for name in (os.listdir(path) if os.path.lexists(path) else ())
                  if re.fullmatch(r"[0-9]{20}\.aioss", name) and int(name[:20]) < 1 << 64]
        count, last = len(firsts), max(firsts, default=-1)
        if not count and not os.path.lexists(checkpoint):
            raise FileNotFoundError("there is no ledger here")
        while self.segments < count:
            name = os.path.join(path, f"{self.records:020d}.aioss")
            self.need(os.path.lexists(name), "no segment begins with it, but there are more")
            file, size = open_regular(name)
            with file:
                self.read_segment(file, size, self.records == last)
            self.segments += 1

    def bad(self, file, at, size, is_last, what):
        """A bad frame or header: a torn tail, if a crash explains it (section 7, rule 2)."""
        torn = is_last and not group_follows(file, at + 1, size, self.records)
        raise Stop(TORN if torn else TAMPERED, f"{what}: record {self.records}, byte {at}")

    def read_segment(self, file, size, is_last):
        header, first, at, kind = file.read(min(128, size)), self.records, 128, None
        if len(header) < 128 or header[:8] != b"AIOSSLG1" or \
                crc32c(header[:124]) != int.from_bytes(header[124:], "little"):
            self.bad(file, 0, size, is_last, "bad segment header")
        self.check_header(header)
        while kind != SEGMENT_SEAL and (at < size or kind is None):
            try:
                frame = Frame(file, at, size)
            except Damaged as problem:
                self.bad(file, at, size, is_last, str(problem))
            leaf = self.check_record(frame, sha3(header) if kind is None else None)
            if frame.type == SEGMENT_SEAL:
                there = self.records - first, at, self.records, self.root(), b"".join(self.frontier)
                self.need(all(type(self.body.get(key)) is type(value) and self.body[key] == value
                              for key, value in enumerate(there, 16)), "a seal that does not fit")
            self.chain, at, kind = frame.chain, frame.end, frame.type
            self.add_leaf(leaf)
        self.need(kind != SEGMENT_SEAL or at == size, "bytes stand after the seal before it")
        self.need(kind == SEGMENT_SEAL or is_last, "another segment, but no seal before it")
        count = (self.records - first).to_bytes(8, "big")
        self.link = sha3(b"aioss/segment/v1\n", header, self.chain, count)

    def check_header(self, header):
        if header[8:14] != bytes((1, 0, 0, 0, 1, 0)):
            raise Stop(UNKNOWN, f"a later format begins with record {self.records}")
        if self.segments == 0:
            self.id, self.chain, self.link = header[16:32], header[48:80], bytes(32)
        numbers = struct.pack("<QQ", self.segments, self.records)
        self.need(header[14:112] == bytes(2) + self.id + numbers + self.chain + self.link and
                  not any(header[120:124]), "is in a segment whose header does not fit")

    def check_record(self, frame, header_hash):
        """The leaf of a frame with a good CRC that breaks no rule; only a seal's keys are left."""
        need = self.need
        need(frame.index == self.records, f"its index is {frame.index}")
        need(frame.flags < 2 and not any(frame.padding), "flags or padding that are not zero")
        leaf = sha3(b"\0aioss/entry/v1\n", self.id, struct.pack(
            ">QHHI", frame.index, frame.type, frame.flags, frame.length), frame.body)
        need(frame.chain == sha3(b"aioss/chain/v1\n", self.chain, leaf), "breaks the chain")
        try:
            body, end = cbor_item(frame.body, 0)
        except (ValueError, IndexError) as problem:
            need(False, f"no canonical CBOR: {problem}")
        need(type(body) is dict and end == frame.length, "a body that is not exactly one map")
        need(is_uint(body.get(0), 1 << 63) and is_uint(body.get(1)) and is_bytes(body.get(3), 16),
             "without good keys 0, 1 and 3")
        self.body = body
        need((frame.type == SEGMENT_OPEN, frame.type == GENESIS) ==
             (header_hash is not None, self.records == 1), "SEGMENT_OPEN or GENESIS out of place")
        if frame.type == SEGMENT_OPEN:
            need(frame.flags == 1 and body.get(16) == header_hash, "another's SEGMENT_OPEN")
        elif frame.type == GENESIS:
            self.read_genesis()
        elif frame.type not in KNOWN_TYPES and frame.type < 0x8000:
            self.unknown = self.unknown or f"record {self.records} is of the type {frame.type}"
        if frame.type == INFER_REQUEST and len(self.open) < OPEN_REQUESTS_MAX:
            self.open.add(self.records)
        elif frame.type in (INFER_RESULT, INFER_ABORT) and is_uint(body.get(6)):
            self.open.discard(body[6])
        return leaf

    def read_genesis(self):
        name, public = self.body.get(16), self.body.get(17)
        name = name.encode() if isinstance(name, str) else b""
        self.need(ORIGIN.fullmatch(name) and is_bytes(public, 32), "GENESIS without name or key")
        before = sha3(b"aioss/genesis/v1\n", self.id, len(name).to_bytes(4, "big"), name, public)
        self.need(sha3(b"aioss/chain/v1\n", before, self.frontier[0]) == self.chain,
                  "the chain does not begin with this GENESIS")
        self.key = name, public

# The verdict: section 8.
def judge(ledger, given, stop):
    """Every (verdict, finding) that applies."""
    if stop:
        yield stop
    if ledger.key is None:
        if stop is None or stop[0] == TORN:
            yield TRUNCATED, "the ledger ends before its GENESIS"
        return
    if given and given != ledger.key:
        yield TAMPERED, "GENESIS names another key than the given one"
    if ledger.unknown or not given:
        yield UNKNOWN, ledger.unknown or "self-consistent, untrusted: no key was given"
    checkpoint = ledger.checkpoint
    try:
        if checkpoint is None:
            raise ledger.checkpoint_problem
        checkpoint.check(given or ledger.key)
    except (ValueError, OSError) as problem:
        yield TAMPERED, f"the checkpoint: {problem}"
        return
    if checkpoint.size > ledger.records and (stop is None or stop[0] == TORN):
        yield TRUNCATED, f"{ledger.records} records are left of {checkpoint.size} that were signed"
    elif checkpoint.size <= ledger.records and checkpoint.root != ledger.root_at_checkpoint:
        yield FORK, f"another root was signed over the first {checkpoint.size} records"

def verify(path, key_text=None):
    """(verdict, finding, Ledger)."""
    ledger, given, stop = Ledger(path), None, None
    try:
        given = parse_key(key_text) if key_text is not None else None
        # The checkpoint first: on a running ledger the records may then only be more.
        try:
            with open_regular(os.path.join(path, "checkpoint"))[0] as file:
                ledger.checkpoint = Checkpoint(file.read(CHECKPOINT_BYTES_MAX + 1))
        except (ValueError, OSError) as problem:
            ledger.checkpoint_problem = problem
        ledger.read()
    except Stop as end:
        stop = end.args
    except (ValueError, OSError) as problem:
        return USAGE, str(problem), ledger
    found = list(judge(ledger, given, stop)) or [(OK, "everything holds, signed by the given key")]
    verdict, finding = min(found, key=lambda one: SEVEREST_FIRST.index(one[0]))
    return verdict, finding, ledger

def main():
    parser = argparse.ArgumentParser(description="Verify an .aioss ledger.")
    parser.error = lambda message: parser.exit(USAGE, f"{parser.prog}: {message}\n")
    parser.add_argument("ledger")
    parser.add_argument("--key", metavar="VKEY", help="the line that `aioss ledger init` printed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    verdict, finding, ledger = verify(arguments.ledger, arguments.key)
    origin, chain = ledger.key[0].decode() if ledger.key else "", ledger.chain or b""
    answer = {"verdict": WORDS[verdict], "exit_code": verdict, "finding": finding, "origin": origin,
              "records": ledger.records, "segments": ledger.segments, "head_chain": chain.hex(),
              "root": ledger.root().hex(), "dangling_requests": len(ledger.open),
              "checkpoint_size": ledger.checkpoint.size if ledger.checkpoint else 0}
    sys.stdout.reconfigure(errors="backslashreplace")
    print(json.dumps(answer) if arguments.json else
          "\n".join(f"{name:18}{value}" for name, value in answer.items()))
    return verdict

if __name__ == "__main__":
    sys.exit(main())
