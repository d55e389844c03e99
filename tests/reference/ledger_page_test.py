"""The test vectors of docs/formats/ledger.md and proofs.md are what the forger makes, and both
verifiers accept the ledger that they show. AIOSS_WRITE_VECTORS=1 prints them for the pages."""
import os
import unittest

from agreement import ROOT, Agreement

from aioss_verify import FORK, OK, Note, sha3
from document_forge import (consistency, fork_proof, inclusion, range_proof, receipt, subproof,
                            written)
from ledger_forge import NEXT_SEED, SEED, WITNESS_SEED, Forge, cosignature, public_of, vkey

WITNESS, TIME = "witness.example", 1_750_000_000


def page_ledger():
    """The ledger of the pages: records 0 to 6 in two segments, of which the first can be pruned."""
    forge = Forge()
    forge.add(0x8000)
    forge.seal(flags=1)
    forge.open()
    forge.rotate(NEXT_SEED)
    forge.add(51, {16: 0, 17: 4, 18: 1, 19: "test"})
    return forge


def request_ledger():
    """A request and its answer, for the receipt; its commitments are to nothing."""
    forge = Forge()
    forge.add(20, {5: "r-1"})
    forge.add(21, {5: "r-1", 6: 2, 17: []}, flags=0)
    return forge


def vectors_of_ledger(forge):
    frames = forge.record_frames()
    rotated = {
        "new public key": public_of(NEXT_SEED), "root over 5": forge.root(5),
        "statement": b"aioss/rotate/v1\n" + forge.id + (5).to_bytes(8, "big") + forge.root(5) +
        public_of(SEED) + public_of(NEXT_SEED),
        "record 5, frame": frames[5], "record 5, leaf": forge.leaves[5],
        "record 5, chain": forge.chains[5], "record 6, frame": frames[6],
        "record 6, leaf": forge.leaves[6], "record 6, chain": forge.chains[6],
        "root over 7": forge.root(), "vkey of the new key": forge.key(NEXT_SEED),
        "checkpoint of 7": forge.checkpoint().decode()}
    items = forge.prune(0)
    forge.pruned = {}
    return {"rotated": rotated,
            "pruned": {"run of record 2": items[3], "H of the file": sha3(*items)}}


def vectors_of_proofs(forge):
    left, right = range_proof(2, 5, forge.leaves)
    note = forge.checkpoint()
    line = cosignature(WITNESS, WITNESS_SEED, note, TIME)
    return {
        "trees": {"inclusion(2, 7)": inclusion(2, forge.leaves),
                  "consistency(3, 7)": consistency(3, forge.leaves),
                  "consistency(4, 7)": consistency(4, forge.leaves),
                  "subproof(4, 7)": subproof(4, forge.leaves),
                  "range [2, 5) of 7, left": left, "range [2, 5) of 7, right": right},
        "cosigned": {"witness vkey": vkey(WITNESS, WITNESS_SEED, 4), "line": line.decode()}}


def lines_of(value):
    if isinstance(value, list):
        return [line for one in value for line in lines_of(one)]
    if isinstance(value, str):
        return [line + "\\n" for line in value.split("\n")[:-1]] or [value]
    text = value.hex()
    return [text[at:at + 96] for at in range(0, len(text), 96)]


def block(name, vectors):
    out = [f"```{name}"]
    for title, value in vectors.items():
        out += [f"{title}:", *(f"    {line}" for line in lines_of(value))]
    return "\n".join([*out, "```"]) + "\n"


class Page(Agreement):
    def setUp(self):
        super().setUp()
        self.ledger_page = (ROOT / "docs/formats/ledger.md").read_text()
        self.proofs_page = (ROOT / "docs/formats/proofs.md").read_text()

    def test_first_vectors(self):
        """Those of the two segments, without the white space of the page."""
        page = "".join(self.ledger_page.split())
        forge = Forge()
        forge.add(0x8000)
        forge.seal(flags=1)
        link, first = forge.link, list(forge.frames)
        forge.open()
        text = "".join(forge.checkpoint(2).decode().replace("\n", "\\n").split())
        self.assertIn(text, page)
        for data in (*first, *forge.frames, *forge.leaves, link, *forge.chains, forge.root(2),
                     forge.root(3)):
            self.assertIn(data.hex(), page)
        self.both("the page's ledger", forge.files(), forge.key(), OK)

    def test_later_vectors(self):
        forge = page_ledger()
        for page, blocks in ((self.ledger_page, vectors_of_ledger(forge)),
                             (self.proofs_page, vectors_of_proofs(forge))):
            for name, vectors in blocks.items():
                text = block(name, vectors)
                if os.environ.get("AIOSS_WRITE_VECTORS"):
                    print(text)
                else:
                    self.assertIn(text, page)
        self.both("the page's ledger, rotated", forge.files(), forge.key(), OK)
        forge.prune(0)
        self.both("the page's ledger, pruned", forge.files(), forge.key(), OK)

    def test_a_cosigned_checkpoint_is_one(self):
        forge = page_ledger()
        note = forge.checkpoint()
        cosigned = note + cosignature(WITNESS, WITNESS_SEED, note, TIME)
        Note(cosigned).check([(forge.origin, public_of(NEXT_SEED))])
        self.both("cosigned", forge.files(cosigned), forge.key(), OK)

    def test_documents_of_the_page(self):
        forge = request_ledger()
        self.both_of("receipt", written(receipt(forge, 2, 3)), forge.key(), OK)
        other = Forge()
        other.add(20)
        data = written(fork_proof(other, 3, forge, 4))
        self.both_of("fork proof", data, forge.key(), FORK)
        self.assertEqual(sha3().hex()[:8], "a7ffc6f8")  # of nothing, as FIPS 202 has it


if __name__ == "__main__":
    unittest.main(verbosity=2)
