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
from aioss_server import BINARY, MODELS, SMOLLM2, AiossServer, run  # noqa: E402
from skips import main, skip_loudly  # noqa: E402

NOBODY = 65534  # a user without rights, for tests that root runs

ASK = {"prompt": "Hello", "max_tokens": 2, "temperature": 0}


# A small disk in a mount namespace of its own, for whom the kernel lets mount nothing else. The
# ledger refuses tmpfs, as it should; an overlay over one has its size and is taken.
OVERLAY = """
mount -t tmpfs -o size=48m none "$1" && mkdir "$1/lower" "$1/upper" "$1/work" "$1/disk" &&
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" none "$1/disk" || exit
shift
exec "$@"
"""

def succeeds(*command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              check=False).returncode == 0
    except FileNotFoundError:  # no such program here
        return False


def mount_small_disk(image, folder):
    """As root, and where there are loop devices; False elsewhere."""
    with open(image, "wb") as file:
        file.truncate(48 << 20)
    return (os.geteuid() == 0 and succeeds("mkfs.ext4", "-q", image) and
            succeeds("mount", "-o", "loop", image, folder))


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
    def serve(self, *flags, models=MODELS, **options):
        return run("serve", "--models-dir", models, *flags, timeout=60, **options)

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

    def assert_ledger_refused(self, ledger, **options):
        result = self.serve("--port", 0, "--ledger", ledger, **options)
        self.assertIn(result.returncode, (1, 2, 3, 4), result)
        self.assertNotIn("listening", result.stdout)
        # Nothing but the reason, and that in one line.
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertIn("ledger", lines[0])
        self.assertIn(str(ledger), lines[0])

    def test_ledger_under_a_file(self):
        """Nobody can write there, not even root."""
        with tempfile.TemporaryDirectory() as home:
            pathlib.Path(f"{home}/file").write_text("not a folder")
            self.assert_ledger_refused(f"{home}/file/ledger")

    def test_ledger_where_the_kernel_takes_no_files(self):
        self.assert_ledger_refused("/proc/aioss-ledger")

    def test_unwritable_ledger_directory(self):
        with tempfile.TemporaryDirectory() as home:
            os.chmod(home, 0o755)
            for name in ("models", "closed"):
                os.mkdir(f"{home}/{name}")
                os.chmod(f"{home}/{name}", 0o555)
            options = {"env": {**os.environ, "HOME": home}}
            if os.geteuid() == 0:  # whom no permission stops
                options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
                try:
                    run("version", **options)
                except PermissionError:
                    skip_loudly(self, "root runs this, and nobody else may execute the binary")
            self.assert_ledger_refused(f"{home}/closed/ledger", models=f"{home}/models", **options)

    def test_full_disk(self):
        with tempfile.TemporaryDirectory() as home:
            folder = f"{home}/small"
            os.mkdir(folder)
            if not mount_small_disk(f"{home}/image", folder):
                self.fill_overlay(folder)
                return
            try:
                result = self.serve("--port", 0, "--ledger", f"{folder}/ledger")
                self.assert_one_line(result, 4, "free")
            finally:
                subprocess.run(["umount", folder], check=True)

    def fill_overlay(self, folder):
        inside = ("unshare", "-rm", "sh", "-c", OVERLAY, "sh", folder)
        if not succeeds(*inside, "true"):
            skip_loudly(self, "neither a loop device nor an overlay can be mounted: no small disk")
        result = subprocess.run(
            [*inside, BINARY, "serve", "--models-dir", MODELS, "--port", "0",
             "--ledger", f"{folder}/disk/ledger"],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        self.assert_one_line(result, 4, "free")

    def test_ledger_in_use(self):
        with AiossServer() as server:
            result = self.serve("--port", 0, "--ledger", server.ledger)
            self.assertEqual(result.returncode, 4, result)
            self.assertIn("in use", result.stderr)


if __name__ == "__main__":
    main()
