"""Verifies what leaves the machine of an .aioss ledger: receipts, fork proofs and bundles. Written
from docs/formats/proofs.md (sections and exit codes are of that page) and not from the program that
makes them. aioss_verify.py calls it. What a bundle renders for people it does not look at."""
import json
import re

from aioss_verify import (FORK, INFER_ABORT, INFER_REQUEST, INFER_RESULT, KEY_ROTATE, OK,
                          SEVEREST_FIRST, TAMPERED, UNKNOWN, USAGE, Frame, Ledger, Note,
                          base64_exact, content, is_uint, judge, need, sha3)

JSON_BYTES_MAX = 1 << 22
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
FIRST, LAST = ["manifest.json", "checkpoint", "frames.bin", "keys.bin"], \
    ["records.jsonl", "records.csv", "README.txt"]
HOLDS = OK, "everything holds, signed by the given key"


# Proofs: section 1.
def climb(old, size, path, leaf=None):
    """(root over the first `old` leaves, root over all `size`) by a path, used up from its end.
    With a leaf, which is the last of the first `old`, only the second one is right."""
    if size == (1 if leaf else old):
        return (leaf or path.pop(),) * 2
    left, beside = 1 << (size - 1).bit_length() - 1, path.pop()
    if old <= left:
        was, now = climb(old, left, path, leaf)
        return was, sha3(b"\1", now, beside)
    was, now = climb(old - left, size - left, path, leaf)
    return sha3(b"\1", beside, was), sha3(b"\1", beside, now)


def add_right(ledger, nodes, size):
    """The full subtrees that cover the leaves from the last record to `size`."""
    for node in nodes:
        left = size - ledger.records
        need(left > 0, "a range proof with a node too many")
        aligned = ledger.records & -ledger.records or left
        ledger.add(node, min(aligned, 1 << left.bit_length() - 1))


# What documents are made of: section 2.
def from_json(data):
    def once(pairs):
        need(len(dict(pairs)) == len(pairs), "JSON with a name that stands twice")
        return dict(pairs)
    need(len(data) <= JSON_BYTES_MAX, "JSON that is too long")
    return json.loads(data.decode(), object_pairs_hook=once, parse_float=str, parse_constant=str)


def from_hex(text, size):
    data = bytes.fromhex(text)
    need(data.hex() == text and len(data) == size, "no lower-case hexadecimal of the right size")
    return data


def from_base64(texts, size=None):
    need(type(texts) is list, "no list of base64")
    return [base64_exact(text, size) for text in texts]


def frames(data, at, end):
    while at < end:
        frame = Frame(data, at, end)
        need(frame.good, f"no good record at byte {at}")
        yield frame
        at = frame.end


def one_frame(data):
    frame = Frame(data, 0, len(data))
    need(frame.good and frame.end == len(data), "not exactly one good record")
    return frame


def told(document, rotations, given):
    """The ledger that a document tells of; the signatures of KEY_ROTATE records are enough. Without
    any, it has the given key; without that, none."""
    ledger, origin = Ledger(), document["origin"]
    ledger.id = from_hex(document["ledger_id"], 16)
    need(type(origin) is str, "an origin that is no text")
    for frame in rotations:
        frame.decode(ledger.id)
        ledger.keys = ledger.keys or [(0, (origin, frame.body.get(16)))]
        ledger.rotate(frame)
    if given and not ledger.keys:
        ledger.keys = [(0, (origin, given[1]))]
    return ledger


def note_of(text, document):
    note = Note(text.encode() if isinstance(text, str) else text)
    need(note.origin == document["origin"], "a checkpoint of another origin")
    return note


# Receipts: section 3.
def included(part, ledger, note):
    """The record of a receipt, when it is in the tree of the checkpoint."""
    frame, path = one_frame(base64_exact(part["frame"])), from_base64(part["proof"], 32)
    leaf = frame.decode(ledger.id)
    need(is_uint(part["index"]) and part["index"] == frame.index < note.size, "another index")
    root = climb(frame.index + 1, note.size, path, leaf)[1]
    need(not path and root == note.root, "a record that is not in the tree")
    return frame


def commitment_to(text, salt):
    return sha3(b"aioss/commit/v1\n", from_hex(salt, 32), len(text).to_bytes(8, "big"), text)


def check_text(path, salt, commitment):
    need(commitment_to(content(path)[:], salt) == commitment,
         f"{path} is not what was committed to")


def read_receipt(document, given, prompt=None, answer=None, choice=0):
    rotations = [one_frame(data) for data in from_base64(document["keys"])]
    ledger, note = told(document, rotations, given), note_of(document["checkpoint"], document)
    need(is_uint(document["size"]) and document["size"] == note.size, "another size")
    name, aborted, begun = document["request_id"], "abort" in document, "request" in document
    need(type(name) is str and aborted != ("result" in document), "not one end of one request")
    end = included(document["abort" if aborted else "result"], ledger, note)
    need(end.type == (INFER_ABORT if aborted else INFER_RESULT), "an end of another type")
    need(begun or aborted and 6 not in end.body, "the request is missing")
    need(end.body.get(5) == name or aborted and begun and 5 not in end.body, "another request's")
    if begun:
        begin = included(document["request"], ledger, note)
        need(begin.type == INFER_REQUEST and begin.body.get(5) == name and
             end.body.get(6) == begin.index < end.index, "another end's request")
    if (prompt or answer) and "salts" not in document:
        raise OSError("without salts the receipt cannot show what was committed to")
    if prompt:
        check_text(prompt, document["salts"]["prompt"], begin.body[19])
    if answer:
        check_text(answer, document["salts"]["outputs"][choice], end.body[17][choice][0])
    return ledger, {"checkpoint": note}, HOLDS


# Fork proofs: section 4.
def read_fork(document, given):
    document = {"keys": [], "ledger_id": "00" * 16, **document}
    rotations = [one_frame(data) for data in from_base64(document["keys"])]
    ledger, path = told(document, rotations, given), from_base64(document["proof"], 32)
    first, second = (note_of(document[name], document) for name in ("first", "second"))
    need(0 < first.size <= second.size, "sizes out of order")
    old, new = second.root, second.root
    if first.size < second.size:
        old, new = climb(first.size, second.size, path)
    need(not path and new == second.root, "a proof that does not lead to the second root")
    need(old != first.root, "the two checkpoints do not contradict each other")
    for note in (first, second) if ledger.keys else ():
        note.check(ledger.keys_until())
    return ledger, {}, (FORK, "a fork: two histories signed by one ledger")


# Bundles: section 5.
def tar_members(data):
    """{name: (its first byte, the one behind its last)} of a tar in the one form it may have."""
    members, at = {}, 0
    while at < len(data) - 1024:
        header, name = data[at:at + 512], data[at:at + 100].rstrip(b"\0").decode()
        size = int(header[124:135], 8)
        head = b"%b0000444\0%b%011o\0%011o\0" % (header[:100], b"0000000\0" * 2, size, 0)
        tail = b"0".ljust(101, b"\0") + b"ustar\x0000".ljust(255, b"\0")
        end = at + 512 + size
        need(size >= 0 and name not in members and not any(data[end:end + -size % 512]) and
             header == head + b"%06o\0 " % (sum(head + tail) + 256) + tail, "a tar of another form")
        members[name], at = (at + 512, end), end + -size % 512
    need(data[at:] == bytes(1024), "a tar that does not end as it should")
    return members


def read_bundle(data, given):
    where = tar_members(data)
    cosigned = [name for name in where if re.fullmatch(r"cosigned/[A-Za-z0-9._-]{1,80}", name)]
    need(list(where) == [*FIRST, *sorted(cosigned), *LAST], "other files than a bundle has")
    manifest = from_json(data[slice(*where["manifest.json"])])
    need(manifest["format"] == "aioss-bundle/1", "a bundle of a later format", UNKNOWN)
    need(manifest["files"] == {name: sha3(data[slice(*where[name])]).hex() for name in where
                               if name != "manifest.json"}, "a file that is not the manifest's")
    rotations = list(frames(data, *where["keys.bin"]))
    ledger = told(manifest, rotations, given)
    notes = {name: note_of(data[slice(*where[name])], manifest)
             for name in ("checkpoint", *cosigned)}
    read_range(ledger, manifest, notes, rotations, frames(data, *where["frames.bin"]))
    size = where["frames.bin"][1] - where["frames.bin"][0]
    need(manifest["counts"] == {"records": manifest["after"] - manifest["first"], "bytes": size,
                                "rotations": len(rotations), "cosigned": len(cosigned)},
         "counts that are not right")
    need(is_uint(manifest["rendering"]), "no number of the rendering")
    ledger.unknown = ledger.unknown or manifest["rendering"] != 1 and "a later rendering"
    return ledger, notes, HOLDS


def read_range(ledger, manifest, notes, rotations, records):
    """Takes the records, and roots at the sizes of the notes: the range proof has to lead there."""
    first, after, size = (manifest[name] for name in ("first", "after", "size"))
    need(all(map(is_uint, (first, after, size))) and first < after <= size, "sizes out of order")
    need(size == notes["checkpoint"].size and all(
        note.size == size or max(first, 1) <= note.size <= after for note in notes.values()),
        "a checkpoint of a size that it cannot have")
    need(all(frame.index < size for frame in rotations), "a key from behind the checkpoint")
    ledger.records, ledger.frontier = first, from_base64(manifest["left"], 32)
    need(len(ledger.frontier) == first.bit_count(), "a wrong number of nodes on the left")
    ledger.chain = from_hex(manifest["chain_before"], 32)
    ledger.roots.update({note.size: ledger.root() for note in notes.values()})
    told_before = {frame.index: frame.data for frame in rotations}
    for frame in records:
        rotation = frame.data if frame.type == KEY_ROTATE else None
        need(told_before.get(frame.index) == rotation, "frames.bin and keys.bin differ in keys")
        ledger.take(frame)
    need(ledger.records == after, "other records than the manifest says")
    add_right(ledger, from_base64(manifest["right"], 32), size)
    need(ledger.records == size and ledger.root() == notes["checkpoint"].root,
         "records and proof that do not lead to the root that was signed")


# The verdict: section 7.
def read_document(data, given, texts):
    if data[:13] == b"manifest.json":
        return read_bundle(data, given)
    if data[:1] != b"{":
        raise OSError("neither the folder of a ledger nor a document of one")
    document = from_json(data[:JSON_BYTES_MAX + 1])
    readers = {"aioss-receipt/1": lambda: read_receipt(document, given, **texts),
               "aioss-fork/1": lambda: read_fork(document, given)}
    kind = document["format"]
    need(type(kind) is str, "a format that is no text")
    need(kind in readers, "a document of an unknown format", UNKNOWN)
    return readers[kind]()


def verify(data, given, since, **texts):
    """(verdict, finding, Ledger)."""
    ledger = Ledger()
    try:
        if since is not None:
            raise OSError("--since goes with the folder of a ledger")
        ledger, notes, holds = read_document(data, given, texts)
    except OSError as problem:
        return USAGE, str(problem), ledger
    except DAMAGE as problem:
        return getattr(problem, "verdict", TAMPERED), str(problem), ledger
    found = [*judge(ledger, given, notes, HOLDS)]
    if not given:
        found.append((UNKNOWN, "self-consistent, untrusted: no key was given"))
    verdict, finding = min(found, key=lambda one: SEVEREST_FIRST.index(one[0]))
    return (*holds, ledger) if verdict == OK else (verdict, finding, ledger)
