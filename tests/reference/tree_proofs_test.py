"""The walk of tools/aioss_documents.py down the tree, against the definitions of RFC 9162 as
docs/formats/proofs.md gives them: all proofs of small trees hold, and none with anything wrong."""
import random
import unittest

from agreement import LONG, flipped

import aioss_documents
from aioss_verify import Bad, sha3
from document_forge import consistency, cover, inclusion, range_proof, subproof, tree_root
from ledger_forge import Forge

SIZES_MAX = 1025 if LONG else 40


class Proofs(unittest.TestCase):
    """The walk down the tree, against the definitions, for all pairs of sizes."""

    leaves = [sha3(number.to_bytes(4, "big")) for number in range(SIZES_MAX)]

    def refused(self, function, *arguments):
        try:
            return function(*arguments)
        except (Bad, IndexError, ValueError, RecursionError):
            return None

    def test_inclusion(self):
        count = false = 0
        roots = [tree_root(self.leaves[:n]) for n in range(SIZES_MAX + 1)]
        for size in range(1, SIZES_MAX + 1):
            for index in range(size) if size < 130 else random.Random(size).sample(range(size), 9):
                path, leaf = inclusion(index, self.leaves[:size]), self.leaves[index]

                def leads(index, size, path, leaf):
                    left = list(path)
                    found = self.refused(aioss_documents.climb, index + 1, size, left, leaf)
                    return found and not left and found[1] == roots[size]

                self.assertTrue(leads(index, size, path, leaf))
                count += 1
                bent = [(index, size, [*path[:i], flipped(node, 5, 3), *path[i + 1:]], leaf)
                        for i, node in enumerate(path)]
                bent += [(index, size, path[1:], leaf)] if path else []
                bent += [(index, size, [*path, leaf], leaf)]
                bent += [(index, size, path, flipped(leaf, 0, 0))]
                bent += [(other, size, path, leaf) for other in range(max(0, index - 3), size)
                         if other != index][:6]
                for case in bent:
                    self.assertFalse(leads(*case), case)
                    false += 1
        print(f"inclusion: {count} proofs hold, {false} false ones do not")

    def test_consistency(self):
        count = false = 0
        for size in range(1, SIZES_MAX + 1):
            for old in range(1, size + 1):
                if size > 130 and random.Random(size * old).random() > 0.02:
                    continue
                path = subproof(old, self.leaves[:size])
                both = tree_root(self.leaves[:old]), tree_root(self.leaves[:size])
                rest = consistency(old, self.leaves[:size])
                known = [both[0]] if old & (old - 1) == 0 and old < size else []
                self.assertEqual([] if old == size else path, [*known, *rest])
                self.assertEqual(aioss_documents.climb(old, size, list(path)), both)
                count += 1
                for i, node in enumerate(path):
                    bent = [*path[:i], flipped(node, 9, 1), *path[i + 1:]]
                    self.assertNotEqual(aioss_documents.climb(old, size, bent), both)
                    false += 1
                for m, n in ((old - 1, size), (old + 1, size), (old, size + 1), (old, size - 1)):
                    left = list(path)
                    found = self.refused(aioss_documents.climb, m, n, left) if 0 < m <= n else None
                    wrong = n != size and tree_root(self.leaves[:n]) or both[1]
                    self.assertFalse(found and not left and found == (both[0], wrong) and m != old)
                    false += 1
        print(f"consistency: {count} proofs hold, {false} false ones do not")

    def test_range(self):
        count = 0
        for size in range(1, min(SIZES_MAX, 70) + 1):
            for first in range(size):
                for after in range(first + 1, size + 1):
                    left, right = range_proof(first, after, self.leaves[:size])
                    forge = Forge.tree([])
                    forge.records, forge.frontier = first, list(left)
                    self.assertEqual(len(left), first.bit_count())
                    for leaf in self.leaves[first:after]:
                        forge.add(leaf)
                    aioss_documents.add_right(forge, right, size)
                    self.assertEqual((forge.records, forge.root()),
                                     (size, tree_root(self.leaves[:size])))
                    count += 1
        self.assertEqual(list(cover(5, 8)), [(5, 6), (6, 8)])
        self.assertEqual(list(cover(4, 7)), [(4, 6), (6, 7)])
        self.assertEqual(list(cover(0, 7)), [(0, 4), (4, 6), (6, 7)])
        print(f"ranges: {count} proofs hold")


if __name__ == "__main__":
    unittest.main(verbosity=2)
