"""Two verifiers, one verdict: what the tests of tools/aioss_verify.py share. Each case is given to
both `aioss verify` (AIOSS_BINARY) and the Python verifier, and they must agree."""
import collections
import functools
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERIFIER = ROOT / "tools" / "aioss_verify.py"
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support"), str(ROOT / "tests/reference")]
import aioss_verify  # noqa: E402: found by the line above
from aioss_server import AiossServer, run  # noqa: E402

# Most cases share a few signatures, and a curve in Python is slow: those that hold are remembered.
aioss_verify.check_signature = functools.lru_cache(maxsize=None)(aioss_verify.check_signature)

LONG = os.environ.get("AIOSS_LONG", "") not in ("", "0")


def read_files(folder):
    paths = [folder / "checkpoint", *sorted((folder / "seg").iterdir())]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def real_ledger(end):
    """(files, vkey) of a ledger that the server wrote over two starts."""
    with AiossServer(fake=True, verify=False) as server:
        for number in range(2):
            for prompt in ("once", "upon", "a time"):
                status, _, answer = server.post("/v1/completions", {
                    "model": "scripted", "prompt": prompt, "max_tokens": 2 + number})
                assert status == 200, answer
            if number:
                break
            server.stop()
            server.process.stdout.close()
            server.log.close()
            server.start()
        server.kill() if end == "killed" else server.stop()
        return read_files(server.ledger), server.vkey


def spread(items, count):
    """About `count` of the items, evenly; all of them in the long form."""
    return items if LONG else items[::max(1, len(items) // count)]


def flipped(data, at, bit):
    bent = bytearray(data)
    bent[at] ^= 1 << bit
    return bytes(bent)


class Folder:
    """A ledger's directory that is brought from one set of files to the next."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="aioss-ledger-"))
        (self.path / "seg").mkdir()
        self.now = {}

    def put(self, files):
        for name in self.now.keys() - files.keys():
            (self.path / name).unlink()
        for name, data in files.items():
            if self.now.get(name) != data:
                (self.path / name).write_bytes(data)
        self.now = dict(files)


class Agreement(unittest.TestCase):
    """self.both() for a ledger's files, self.both_of() for a document's bytes."""

    PYTHON_ALONE = frozenset()  # verdicts that the program cannot come to with what the forge makes

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="aioss-document-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder.path)
        shutil.rmtree(cls.scratch)

    def setUp(self):
        self.counts, self.alone = collections.Counter(), 0

    def tearDown(self):
        told = ", ".join(f"{aioss_verify.WORDS[code]} {n}"
                         for code, n in sorted(self.counts.items()))
        print(f"{self.id().split('.')[-1]}: {self.counts.total()} verdicts agree: {told}")
        if self.alone:
            print(f"  NOT COMPARED: {self.alone} verdicts by Python alone, because `aioss verify` "
                  "has files for people that are its own, and exports none of this ledger")

    def judge(self, what, path, arguments, expect):
        """The verdict of both, which must be one, and the expected one."""
        options = {name.removeprefix("--"): value for name, value in arguments.items()}
        ours, finding, _ = aioss_verify.verify(str(path), **options)
        if ours in self.PYTHON_ALONE:
            self.alone += 1
        else:
            flat = [str(text) for pair in arguments.items() for text in pair]
            theirs = run("verify", path, *flat, cwd=self.scratch)  # a fork leaves its proof there
            self.assertEqual(theirs.returncode, ours, f"{what}: Python says {finding}; aioss: "
                             f"{theirs.stdout or theirs.stderr}")
            self.counts[ours] += 1
        if expect is not None:
            self.assertEqual(ours, expect, f"{what}: {finding}")
        return ours

    def both(self, what, files, key, expect=None, since=None):
        self.folder.put(files)
        arguments = {"--key": key} if key is not None else {}
        if since is not None:
            (self.scratch / "since").write_bytes(since)
            arguments["--since"] = str(self.scratch / "since")
        return self.judge(what, self.folder.path, arguments, expect)

    def both_of(self, what, data, key, expect=None, **options):
        path = self.scratch / "document"
        path.write_bytes(data)
        arguments = {"--key": key} if key is not None else {}
        arguments.update({f"--{name}": value for name, value in options.items()})
        return self.judge(what, path, arguments, expect)
