"""Makes what leaves the machine of a forged ledger, from docs/formats/proofs.md alone: tree proofs,
receipts, fork proofs, bundles. Each is a plain value that a test bends before it is written."""
import json

import aioss_verify as av
from ledger_forge import NEXT_SEED, Forge, b64, cbor

PROMPT, ANSWER, SALT = cbor({0: 0, 1: b"Hi"}), b"Hello", bytes(range(32))


def half(count):
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


def tree_root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else av.sha3()
    k = half(len(leaves))
    return av.sha3(b"\1", tree_root(leaves[:k]), tree_root(leaves[k:]))


def inclusion(index, leaves):
    if len(leaves) == 1:
        return []
    k = half(len(leaves))
    if index < k:
        return inclusion(index, leaves[:k]) + [tree_root(leaves[k:])]
    return inclusion(index - k, leaves[k:]) + [tree_root(leaves[:k])]


def subproof(size, leaves):
    if size == len(leaves):
        return [tree_root(leaves)]
    k = half(len(leaves))
    if size <= k:
        return subproof(size, leaves[:k]) + [tree_root(leaves[k:])]
    return subproof(size - k, leaves[k:]) + [tree_root(leaves[:k])]


def consistency(size, leaves):
    path = [] if size in (0, len(leaves)) else subproof(size, leaves)
    return path[1:] if size & (size - 1) == 0 else path


def cover(start, end):
    """The full subtrees that cover [start, end), each as large as fits."""
    while start < end:
        size = start & -start or 1 << end.bit_length()
        while start + size > end:
            size //= 2
        yield start, start + size
        start += size


def range_proof(first, after, leaves):
    """(left, right)."""
    def roots(start, end):
        return [tree_root(leaves[a:b]) for a, b in cover(start, end)]
    return roots(0, first), roots(after, len(leaves))


def commit(text):
    return av.sha3(b"aioss/commit/v1\n", SALT, len(text).to_bytes(8, "big"), text)


def answered(rotations=0):
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


def texts(hashes):
    return list(map(b64, hashes))


def written(document):
    return json.dumps(document, indent=1).encode()


def receipt(forge, request, answer, size=None, **more):
    """A receipt, as a dictionary; `request` None where there is none."""
    size = len(forge.leaves) if size is None else size
    leaves, frames = forge.leaves[:size], forge.record_frames()

    def part(index):
        return {"index": index, "frame": b64(frames[index]),
                "proof": texts(inclusion(index, leaves))}

    name = "abort" if forge.types[answer] == 22 else "result"
    return {"format": "aioss-receipt/1", "origin": forge.origin, "ledger_id": forge.id.hex(),
            "request_id": "r-1", **({} if request is None else {"request": part(request)}),
            name: part(answer), "size": size, "checkpoint": forge.checkpoint(size).decode(),
            "keys": texts(forge.rotations(size)), **more}


def fork_proof(first, first_size, second, second_size):
    """Of two forges' histories."""
    leaves = second.leaves[:second_size]
    path = [] if first_size == second_size else subproof(first_size, leaves)
    keys = texts(second.rotations(second_size))
    return {"format": "aioss-fork/1", "origin": second.origin, "ledger_id": second.id.hex(),
            "first": first.checkpoint(first_size).decode(),
            "second": second.checkpoint(second_size).decode(), "proof": texts(path),
            **({"keys": keys} if keys else {})}


def tar_header(name, size, **lies):
    fields = {0: name.encode(), 100: b"0000444\0", 108: b"0000000\0", 116: b"0000000\0",
              124: b"%011o\0" % size, 136: b"00000000000\0", 148: b" " * 8, 156: b"0",
              257: b"ustar\x0000", **{int(k[1:]): v for k, v in lies.items()}}
    header = bytearray(512)
    for at, data in fields.items():
        header[at:at + len(data)] = data
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar(members, tail=bytes(1024)):
    """Of (name, data) pairs; data may be (data, lies of the header)."""
    out = b""
    for name, data in members:
        data, lies = data if isinstance(data, tuple) else (data, {})
        out += tar_header(name, len(data), **lies) + data + bytes(-len(data) % 512)
    return out + tail


class Bundle:
    """Its parts, each to be bent: frames, keys, manifest, checkpoint, cosigned, people."""

    def __init__(self, forge, first, after, size=None, cosigned=()):
        size = len(forge.leaves) if size is None else size
        left, right = range_proof(first, after, forge.leaves[:size])
        self.frames = forge.record_frames()[first:after]
        self.keys = forge.rotations(size)
        self.checkpoint = forge.checkpoint(size)
        self.cosigned = dict(cosigned)
        self.people = {"records.jsonl": b"{}\n", "records.csv": b"a,b\n", "README.txt": b"Hello\n"}
        before = forge.chains[first - 1] if first else forge.genesis_hash
        self.manifest = {
            "format": "aioss-bundle/1", "rendering": 1, "origin": forge.origin,
            "ledger_id": forge.id.hex(), "first": first, "after": after, "size": size,
            "chain_before": before.hex(), "left": texts(left), "right": texts(right)}

    def members(self, **manifest):
        frames, keys = b"".join(self.frames), b"".join(self.keys)
        files = {"checkpoint": self.checkpoint, "frames.bin": frames, "keys.bin": keys,
                 **{f"cosigned/{name}": note for name, note in sorted(self.cosigned.items())},
                 **self.people}
        counts = {"records": self.manifest["after"] - self.manifest["first"], "bytes": len(frames),
                  "rotations": len(self.keys), "cosigned": len(self.cosigned)}
        hashes = {name: av.sha3(data).hex() for name, data in files.items()}
        head = {**self.manifest, "counts": counts, "files": hashes, **manifest}
        return [("manifest.json", written(head)), *files.items()]

    def tar(self, **manifest):
        return tar(self.members(**manifest))
