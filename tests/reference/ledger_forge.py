"""Makes .aioss ledgers from docs/formats/ledger.md alone, and false ones that are true in every
other respect: a forger who holds the keys. Takes curve and CRC from tools/aioss_verify.py."""
import base64
import functools
import hashlib
import struct

import aioss_verify as av

SEED, NEXT_SEED, WITNESS_SEED = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
KEPT = {1, 2, 3, 5, 6, 50, 51, 52}  # types whose frames stay when a segment is pruned
RUN_LEAVES_MAX = 2048


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


def point_encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


@functools.lru_cache(maxsize=None)
def key_pair(seed):
    """(secret scalar, prefix of nonces, public key)."""
    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return secret, digest[32:], point_encode(av.point_times(secret, av.BASE))


def public_of(seed):
    return key_pair(seed)[2]


@functools.lru_cache(maxsize=None)
def sign(seed, message):
    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")

    secret, prefix, public = key_pair(seed)
    nonce = number(prefix, message) % av.L
    commitment = point_encode(av.point_times(nonce, av.BASE))
    answer = (nonce + number(commitment, public, message) * secret) % av.L
    return commitment + answer.to_bytes(32, "little")


def b64(data):
    return base64.b64encode(data).decode()


def key_id(name, public, kind=1):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def vkey(name, seed, kind=1):
    public = public_of(seed)
    return f"{name}+{key_id(name, public, kind).hex()}+{b64(bytes([kind]) + public)}"


def cosignature(name, seed, note, time):
    """The line of a witness under a note."""
    text = f"cosignature/v1\ntime {time}\n".encode() + note.partition(b"\n\n")[0] + b"\n"
    signed = key_id(name, public_of(seed), 4) + struct.pack(">Q", time) + sign(seed, text)
    return f"\u2014 {name} {b64(signed)}\n".encode()


def frame(index, kind, flags, chain, body, length=None, padding=None):
    length = len(body) if length is None else length
    rest = body + (bytes(-len(body) % 8) if padding is None else padding)
    head = b"AREC" + struct.pack("<IQHH", length, index, kind, flags)
    return head + struct.pack("<I", av.crc32c(head + chain + rest)) + chain + rest


def run(first, leaves, zero=0, count=None, crc=0):
    """A run of leaves in a pruned segment."""
    count = len(leaves) if count is None else count
    head, data = b"ALEF" + struct.pack("<IQ", count, first), b"".join(leaves)
    behind = struct.pack("<I", zero) + data
    return head + struct.pack("<I", av.crc32c(head + behind) ^ crc) + behind


class Forge:
    """A ledger in memory; every list may be bent before files()."""

    def __init__(self, origin="example.test/ledger", seed=SEED, ledger_id=bytes(range(32, 48)),
                 genesis=None):
        self.origin, self.seed, self.id = origin, seed, ledger_id
        self.epochs = [(0, seed)]
        name = origin.encode()
        self.genesis_hash = av.sha3(b"aioss/genesis/v1\n", ledger_id, struct.pack(">I", len(name)),
                                    name, public_of(seed))
        self.chain, self.chains = self.genesis_hash, []
        self.link, self.leaves, self.types, self.segments = bytes(32), [], [], {}
        self.pruned = {}
        self.open()
        body = {16: origin, 17: public_of(seed), 18: 65536, 19: "1.0.0"}
        self.add(1, {**body, **(genesis or {})}, flags=0)

    def key(self, seed=None):
        return vkey(self.origin, seed or self.seed)

    def key_id(self, seed=None):
        return key_id(self.origin, public_of(seed or self.seed))

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
        self.types.append(kind)
        self.chains.append(self.chain)
        self.frames.append(frame(index, kind, flags, self.chain, body, **lies))
        return index

    def seal(self, flags=0, **own):
        at = len(b"".join(self.frames))
        body = {16: len(self.leaves) - self.first, 17: at, 18: len(self.leaves), 19: self.root(),
                20: b"".join(self.tree(self.leaves).frontier)}
        self.add(3, {**body, **{int(k[1:]): v for k, v in own.items()}}, flags=flags)
        count = len(self.leaves) - self.first
        self.link = av.sha3(b"aioss/segment/v1\n", self.header, self.chain,
                            count.to_bytes(8, "big"))

    def next_segment(self):
        self.seal()
        self.open()

    @staticmethod
    def tree(leaves):
        tree = av.Ledger()
        for leaf in leaves:
            tree.add(leaf)
        return tree

    def root(self, size=None):
        return self.tree(self.leaves[:len(self.leaves) if size is None else size]).root()

    def rotation(self, new_seed, old_seed=None, statement=None, by_old=None, by_new=None):
        """Own keys of a KEY_ROTATE that would be the next record; what is given is a lie."""
        old_seed, root = old_seed or self.epochs[-1][1], self.root()
        said = {"prefix": b"aioss/rotate/v1\n", "id": self.id, "root": root,
                "index": struct.pack(">Q", len(self.leaves)), "old": public_of(old_seed),
                "new": public_of(new_seed), **(statement or {})}
        text = b"".join(said[name] for name in ("prefix", "id", "index", "root", "old", "new"))
        return {16: public_of(old_seed), 17: public_of(new_seed),
                18: sign(by_old or old_seed, text), 19: sign(by_new or new_seed, text),
                20: "rotation", 22: root}

    def rotate(self, new_seed, own=None, **lies):
        index = self.add(5, {**self.rotation(new_seed, **lies), **(own or {})})
        self.epochs.append((index + 1, new_seed))
        return index

    def rotations(self, size=None):
        """The frames of every KEY_ROTATE below a size."""
        frames = self.record_frames()
        return [frames[first - 1] for first, _ in self.epochs[1:] if size is None or first <= size]

    def record_frames(self):
        return [frame for frames in self.segments.values() for frame in frames[1:]]

    def seed_for(self, size):
        return [seed for first, seed in self.epochs if first <= size][-1]

    def checkpoint(self, size=None, root=None, text=None, seed=None):
        size = len(self.leaves) if size is None else size
        root = root or self.root(size)
        text = text or f"{self.origin}\n{size}\n{b64(root)}\n"
        return (text + "\n" + self.signature(text, seed=seed or self.seed_for(size))).encode()

    def signature(self, text, spoil=0, seed=None):
        seed = seed or self.seed
        signed = bytearray(self.key_id(seed) + sign(seed, text.encode()))
        signed[10] ^= spoil
        return f"\u2014 {self.origin} {b64(signed)}\n"

    def prune(self, first, most=RUN_LEAVES_MAX, kept=()):
        """Replaces a sealed segment by what is left of it: [header, item, …]."""
        frames = self.segments[first]
        items, leaves = [frames[0]], []

        def flush(index):
            for at in range(0, len(leaves), most):
                items.append(run(index - len(leaves) + at, leaves[at:at + most]))
            leaves.clear()

        for index, data in enumerate(frames[1:], first):
            if self.types[index] in KEPT or index in kept:
                flush(index)
                items.append(data)
            else:
                leaves.append(self.leaves[index])
        flush(first + len(frames) - 1)
        self.pruned[first] = items
        return items

    def files(self, checkpoint=None):
        """{path in the ledger's directory: bytes}."""
        out = {f"seg/{first:020d}.aioss": b"".join(frames)
               for first, frames in self.segments.items() if first not in self.pruned}
        out.update({f"seg/{first:020d}.pruned": b"".join(items)
                    for first, items in self.pruned.items()})
        return {**out, "checkpoint": self.checkpoint() if checkpoint is None else checkpoint}
