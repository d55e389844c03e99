"""Bad files and bad surroundings: one clear line that says what to do, and a gateway unharmed."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import MODELS, SMOLLM2, AiossServer, run  # noqa: E402

ASK = {"prompt": "Hello", "max_tokens": 2, "temperature": 0}


class BadModelFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-models-"))
        good = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
        shutil.copy(good, cls.folder / "good.gguf")
        (cls.folder / "not-gguf.gguf").write_bytes(b"PK\3\4 this is no model" * 100)
        (cls.folder / "empty.gguf").write_bytes(b"")
        with open(good, "rb") as source:
            head = source.read(40_000_000)
        (cls.folder / "truncated.gguf").write_bytes(head)
        (cls.folder / "stub.gguf").write_bytes(head[:1000])
        (cls.folder / "absurd.gguf").write_bytes(
            b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1) + head[24:100_000])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_inspect_says_what_is_wrong(self):
        for name, words in (("not-gguf", "not a GGUF"), ("empty", ""), ("truncated", "truncated"),
                            ("stub", ""), ("absurd", "tensor")):
            result = run("inspect", self.folder / f"{name}.gguf")
            self.assertEqual(result.returncode, 5, f"{name}: {result}")
            self.assertEqual(result.stdout, "")
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertIn(words, result.stderr)

    def test_inspect_of_a_good_file(self):
        result = run("inspect", self.folder / "good.gguf")
        self.assertEqual(result.returncode, 0, result.stderr)
        for word in ("llama", "Q4_1", "8192"):
            self.assertIn(word, result.stdout.replace(",", ""))

    def test_gateway_is_unharmed_by_a_bad_model(self):
        with AiossServer(models=self.folder) as server:
            for name in ("not-gguf", "empty", "truncated", "stub", "absurd"):
                status, _, answer = server.post("/v1/completions", {"model": name, **ASK})
                self.assertEqual(status, 500, f"{name}: {answer}")
                self.assertEqual(answer["error"]["code"], "model_corrupt", f"{name}: {answer}")
            status, _, answer = server.post("/v1/completions", {"model": "good", **ASK})
            self.assertEqual(status, 200, answer)


class BadSurroundings(unittest.TestCase):
    def serve(self, *flags, **options):
        return run("serve", "--models-dir", MODELS, *flags, timeout=60, **options)

    def assert_one_line(self, result, code, *words):
        self.assertEqual(result.returncode, code, result)
        last = result.stderr.strip().splitlines()[-1]
        for word in words:
            self.assertIn(word, last)

    def test_port_in_use(self):
        with tempfile.TemporaryDirectory() as home, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.serve("--port", port, "--ledger", f"{home}/ledger")
            self.assert_one_line(result, 4, str(port), "--port")

    @unittest.skipIf(os.geteuid() != 0, "needs root to mount a read-only file system")
    def test_unwritable_ledger_directory(self):
        with tempfile.TemporaryDirectory() as home:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", home], check=True)
            try:
                result = self.serve("--port", 0, "--ledger", f"{home}/ledger")
                self.assertNotEqual(result.returncode, 0)
                self.assertIn("ledger", result.stderr)
            finally:
                subprocess.run(["umount", home], check=True)

    @unittest.skipIf(os.geteuid() != 0, "needs root to mount a small file system")
    def test_full_disk(self):
        with tempfile.TemporaryDirectory() as home:
            image, folder = f"{home}/image", f"{home}/small"
            os.mkdir(folder)
            with open(image, "wb") as file:
                file.truncate(48 << 20)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            if subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode:
                self.skipTest("this machine cannot mount a loop device: no small disk to fill")
            try:
                result = self.serve("--port", 0, "--ledger", f"{folder}/ledger")
                self.assert_one_line(result, 4, "free")
            finally:
                subprocess.run(["umount", folder], check=True)

    def test_ledger_in_use(self):
        with AiossServer() as server:
            result = self.serve("--port", 0, "--ledger", server.ledger)
            self.assertEqual(result.returncode, 4, result)
            self.assertIn("in use", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
