"""Makes .aioss ledgers from docs/formats/ledger.md alone, and false ones that are true in every
other respect: a forger who holds the key. Takes curve and CRC from tools/aioss_verify.py."""
import base64
import hashlib
import struct

import aioss_verify as av

SEED = bytes(range(32))


def cbor(value):
    def head(major, count):
        for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if count < 24:
                return bytes([major << 5 | count])
            if count < 1 << 8 * width:
                return bytes([major << 5 | info]) + count.to_bytes(width, "big")
        raise ValueError(count)

    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(value[k]) for k in sorted(value))


def sign(seed, message):
    def times(scalar):
        result, power = av.IDENTITY, av.BASE
        while scalar:
            result = av.point_add(result, power) if scalar & 1 else result
            power, scalar = av.point_add(power, power), scalar >> 1
        return av.point_encode(result)

    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")

    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = times(secret)
    nonce = number(digest[32:], message) % av.L
    commitment = times(nonce)
    answer = (nonce + number(commitment, public, message) * secret) % av.L
    return public, commitment + answer.to_bytes(32, "little")


def frame(index, kind, flags, chain, body, length=None, padding=None):
    length = len(body) if length is None else length
    rest = body + (bytes(-len(body) % 8) if padding is None else padding)
    head = b"AREC" + struct.pack("<IQHH", length, index, kind, flags)
    return head + struct.pack("<I", av.crc32c(head + chain + rest)) + chain + rest


class Forge:
    """A ledger in memory; every list may be bent before write()."""

    def __init__(self, origin="example.test/ledger", seed=SEED, ledger_id=bytes(range(32, 48)),
                 genesis=None):
        self.origin, self.seed, self.id = origin, seed, ledger_id
        self.public = sign(seed, b"")[0]
        name = origin.encode()
        self.chain = av.sha3(b"aioss/genesis/v1\n", ledger_id, struct.pack(">I", len(name)), name,
                             self.public)
        self.link, self.leaves, self.segments = bytes(32), [], {}
        self.open()
        body = {16: origin, 17: self.public, 18: 65536, 19: "1.0.0"}
        self.add(1, {**body, **(genesis or {})}, flags=0)

    def key(self):
        public = base64.b64encode(b"\1" + self.public).decode()
        return f"{self.origin}+{self.key_id().hex()}+{public}"

    def key_id(self):
        return hashlib.sha256(self.origin.encode() + b"\n\x01" + self.public).digest()[:4]

    @staticmethod
    def common():
        return {0: 1_750_000_000_000_000_000, 1: 1000, 2: bytes(16), 3: bytes(range(48, 64))}

    def open(self, version=(1, 0, 1, 0), zero=0, **own):
        self.first = len(self.leaves)
        header = b"AIOSSLG1" + struct.pack("<4H", *version) + self.id + struct.pack(
            "<QQ", len(self.segments), self.first) + self.chain + self.link + struct.pack(
            "<QI", 1_750_000_000_000_000_000, zero)
        self.header = header + struct.pack("<I", av.crc32c(header))
        self.frames = self.segments.setdefault(self.first, [self.header])
        self.add(2, {16: av.sha3(self.header)}, **own)

    def add(self, kind, own=None, flags=1, raw=None, **lies):
        """A record; `own` None as a value takes the key away."""
        body = {**self.common(), **(own or {})}
        body = cbor({k: v for k, v in body.items() if v is not None}) if raw is None else raw
        index = len(self.leaves)
        entry = struct.pack(">QHHI", index, kind, flags, len(body)) + body
        leaf = av.sha3(b"\0aioss/entry/v1\n", self.id, entry)
        self.chain = av.sha3(b"aioss/chain/v1\n", self.chain, leaf)
        self.leaves.append(leaf)
        self.frames.append(frame(index, kind, flags, self.chain, body, **lies))

    def seal(self, flags=0, **own):
        tree = self.tree(self.leaves)
        at = len(b"".join(self.frames))
        body = {16: len(self.leaves) - self.first, 17: at, 18: len(self.leaves), 19: tree.root(),
                20: b"".join(tree.frontier)}
        self.add(3, {**body, **{int(k[1:]): v for k, v in own.items()}}, flags=flags)
        count = len(self.leaves) - self.first
        self.link = av.sha3(b"aioss/segment/v1\n", self.header, self.chain,
                            count.to_bytes(8, "big"))

    @staticmethod
    def tree(leaves):
        tree = av.Ledger("")
        for leaf in leaves:
            tree.add_leaf(leaf)
        return tree

    def checkpoint(self, size=None, root=None, text=None):
        size = len(self.leaves) if size is None else size
        root = root or self.tree(self.leaves[:size]).root()
        text = text or f"{self.origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        return (text + "\n" + self.signature(text)).encode()

    def signature(self, text, spoil=0):
        signed = bytearray(self.key_id() + sign(self.seed, text.encode())[1])
        signed[10] ^= spoil
        return f"\u2014 {self.origin} {base64.b64encode(signed).decode()}\n"

    def files(self, checkpoint=None):
        """{path in the ledger's directory: bytes}."""
        out = {f"seg/{first:020d}.aioss": b"".join(frames)
               for first, frames in self.segments.items()}
        return {**out, "checkpoint": self.checkpoint() if checkpoint is None else checkpoint}
