"""The models folder: `aioss models add|rm|show|verify`, the watch over it, the list of allowed
files, aliases and settings, and a split model beside the whole one."""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from aioss_server import MODELS, SMOLLM2, AiossServer, run, wait_until  # noqa: E402

ALIGNMENT = 32


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def padded(raw):
    return raw + b"\0" * (-len(raw) % ALIGNMENT)


def gguf(extra=(), tensors=(("a.weight", 64),), name="Tiny"):
    """A small file that is whole and says little: entries are (key, type number, packed value)."""
    entries = [("general.architecture", 8, text("llama")), ("general.name", 8, text(name)), *extra]
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    for key, kind, value in entries:
        out += text(key) + struct.pack("<I", kind) + value
    data = b""
    for tensor, size in tensors:
        out += text(tensor) + struct.pack("<IQIQ", 1, size, 0, len(data))
        data += padded(bytes(4 * size))
    return padded(out) + data


def part(number, count, tensor):
    return gguf([("split.no", 2, struct.pack("<H", number)),
                 ("split.count", 2, struct.pack("<H", count)),
                 ("split.tensors.count", 5, struct.pack("<i", count))], [(tensor, 64)])


class Gguf:
    """A file taken apart, to be cut into parts as gguf-split does it."""
    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def __init__(self, path):
        self.raw, self.at = path.read_bytes(), 8
        tensors, self.entries = self.take("<QQ")
        begin = self.at
        for _ in range(self.entries):
            self.skip(8)
            self.skip(self.take("<I")[0])
        self.metadata = self.raw[begin:self.at]
        table = []
        for _ in range(tensors):
            begin = self.at
            self.skip(8)
            dimensions = self.take("<I")[0]  # takes, and so moves, before it is added to
            self.at += 8 * dimensions + 4
            table.append((self.raw[begin:self.at], self.take("<Q")[0]))
        data = self.at + -self.at % ALIGNMENT
        ends = [offset for _, offset in table[1:]] + [len(self.raw) - data]
        self.tensors = [(head, self.raw[data + offset:data + end])
                        for (head, offset), end in zip(table, ends)]

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def skip(self, kind):
        if kind == 8:
            size = self.take("<Q")[0]
            self.at += size
        elif kind == 9:
            inner, count = self.take("<IQ")
            if inner == 8:
                for _ in range(count):
                    self.skip(8)
            else:
                self.at += self.SIZES[inner] * count
        else:
            self.at += self.SIZES[kind]

    def part(self, number, count, begin, end):
        own = [("split.no", 2, struct.pack("<H", number)),
               ("split.count", 2, struct.pack("<H", count)),
               ("split.tensors.count", 5, struct.pack("<i", len(self.tensors)))]
        out = b"GGUF" + struct.pack("<IQQ", 3, end - begin,
                                    len(own) + (self.entries if number == 0 else 0))
        out += self.metadata if number == 0 else b""
        for key, kind, value in own:
            out += text(key) + struct.pack("<I", kind) + value
        data = b""
        for head, raw in self.tensors[begin:end]:
            out += head + struct.pack("<Q", len(data))
            data += padded(raw)
        return padded(out) + data


class Models(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-models-"))
        self.models = self.folder / "models"
        self.models.mkdir()
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"),
                            "XDG_CONFIG_HOME": str(self.folder / "config")}

    def aioss(self, *arguments, expect=0):
        result = run("models", *arguments, "--models-dir", self.models, env=self.environment)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        if expect:
            return result.stdout + result.stderr
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def names(self):
        return sorted(path.name for path in self.models.iterdir())

    # ---- add, show, verify, rm ------------------------------------------------------------------

    def test_a_file_comes_whole_or_not_at_all(self):
        source = self.file("tiny.gguf", gguf())
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        added = self.aioss("add", source, "--json")["added"][0]
        self.assertEqual((added["name"], added["files"][0]["sha256"]), ("tiny", digest))
        self.assertTrue(source.exists())
        self.assertIn("--force", self.aioss("add", source, expect=4))
        self.file("tiny.gguf", gguf(name="Other"))
        self.aioss("add", source, "--force")
        self.assertEqual(self.aioss("show", "tiny", "--json")["model"]["name"], "Other")
        bad = self.file("bad.gguf", b"GGUF" + b"x" * 100)
        self.aioss("add", bad, expect=5)
        self.aioss("add", self.folder / "none.gguf", expect=3)
        self.aioss("add", source, "--name", "../x", expect=2)
        self.aioss("add", source, "--copy", "--move", expect=2)
        self.assertEqual(self.names(), ["tiny.gguf"])

    def test_moved_and_linked(self):
        source = self.file("tiny.gguf", gguf())
        self.aioss("add", source, "--link", "--name", "linked")
        self.assertEqual((self.models / "linked.gguf").resolve(), source.resolve())
        self.aioss("rm", "linked")
        self.assertTrue(source.exists(), "only the link goes")
        self.aioss("add", source, "--move")
        self.assertFalse(source.exists())
        self.assertEqual(self.names(), ["tiny.gguf"])

    def test_all_parts_of_a_split_model(self):
        first = self.file("big-00001-of-00002.gguf", part(0, 2, "a.weight"))
        self.assertIn("part 2", self.aioss("add", first, expect=5))
        self.file("big-00002-of-00002.gguf", part(1, 2, "b.weight"))
        self.aioss("add", first, "--name", "two")
        self.assertEqual(self.names(), ["two-00001-of-00002.gguf", "two-00002-of-00002.gguf"])
        shown = self.aioss("show", "two", "--json")
        self.assertEqual((shown["model"]["tensors"], len(shown["files"])), (2, 2))
        self.assertIn("two", self.aioss())
        self.aioss("add", self.file("one.gguf", gguf()), "--name", "two", "--force")
        self.assertEqual(self.names(), ["two.gguf"])
        self.aioss("rm", "two")
        self.assertEqual(self.names(), [])

    # ---- bundles --------------------------------------------------------------------------------

    def bundle(self, key="publisher.key", name="models.example/releases"):
        """The stick with two models, signed: (its list, the public key)."""
        stick = self.folder / "stick"
        stick.mkdir(exist_ok=True)
        for model in ("one", "two"):
            (stick / f"{model}.gguf").write_bytes(gguf(name=model))
        new = [] if (self.folder / key).exists() else ["--new-key", name]
        vkey = run("models", "bundle", stick, "--sign", self.folder / key, *new)
        self.assertEqual(vkey.returncode, 0, vkey.stderr)
        return stick / "SHA256SUMS", vkey.stdout.strip()

    def take(self, listed, *flags, **options):
        return self.aioss("add", "--from-bundle", listed, *flags, **options)

    def test_a_signed_bundle(self):
        listed, vkey = self.bundle()
        self.assertEqual(os.stat(self.folder / "publisher.key").st_mode & 0o777, 0o600)
        self.assertIn("--models-key", self.take(listed, expect=2))
        self.take(listed, "--models-key", vkey)
        self.assertEqual(self.names(), ["one.gguf", "two.gguf"])
        # The key in a file, and as a setting; signing again with it.
        again, same = self.bundle()
        self.assertEqual(vkey, same)
        self.take(again, "--force", "--models-key", f"@{self.folder}/publisher.key.vkey")
        config = self.file("aioss.toml", f'models_key = "{vkey}"\n'.encode())
        self.take(again, "--force", "--config", config)

    def test_a_bundle_of_somebody_else(self):
        _, vkey = self.bundle()
        listed, other = self.bundle("other.key", "elsewhere.example")
        self.assertNotEqual(vkey, other)
        said = self.take(listed, "--models-key", vkey, expect=1)
        self.assertIn("not signed by models.example/releases+", said)
        self.assertIn("but by elsewhere.example+", said)
        self.assertIn("no key", self.take(listed, "--models-key", vkey[:-4], expect=2))
        self.assertIn("--new-key", self.take(listed, "--models-key", "rubbish", expect=2))
        self.assertEqual(self.names(), [])

    def test_a_bundle_that_was_changed(self):
        listed, vkey = self.bundle()
        whole = listed.read_bytes()
        (listed.parent / "one.gguf").write_bytes(gguf(name="evil"))
        evil = hashlib.sha256((listed.parent / "one.gguf").read_bytes()).hexdigest().encode()
        self.assertIn("SHA-256", self.take(listed, "--models-key", vkey, expect=5))
        listed.write_bytes(evil + whole[64:])
        self.assertIn("changed since", self.take(listed, "--models-key", vkey, expect=5))
        note = listed.with_name("SHA256SUMS.note")
        text = note.read_bytes()
        digests = [hashlib.sha256(data).hexdigest().encode() for data in (whole, evil + whole[64:])]
        note.write_bytes(text.replace(*digests))
        self.assertIn("does not hold", self.take(listed, "--models-key", vkey, expect=1))
        note.write_bytes(text[:40])
        self.assertIn("no signatures", self.take(listed, "--models-key", vkey, expect=5))
        note.unlink()
        self.assertIn("not signed", self.take(listed, "--models-key", vkey, expect=1))
        self.assertEqual(self.names(), [])

    def test_signing_keys(self):
        self.bundle()
        key, stick = self.folder / "publisher.key", self.folder / "stick"

        def refused(code, *flags):
            result = run("models", "bundle", stick, *flags)
            self.assertEqual(result.returncode, code, result)
            return result.stderr

        self.assertIn("already", refused(4, "--sign", key, "--new-key", "models.example"))
        self.assertIn("--new-key", refused(3, "--sign", self.folder / "none"))
        self.assertIn("--sign", refused(2, "--new-key", "models.example"))
        self.bundle("other.key", "elsewhere.example")
        shutil.copy(self.folder / "other.key", key)
        self.assertIn("do not belong together", refused(5, "--sign", key))
        (self.folder / "empty").mkdir()
        self.assertEqual(run("models", "bundle", self.folder / "empty").returncode, 3)
        # A list without a signature takes the old note away.
        self.assertEqual(run("models", "bundle", stick).returncode, 0)
        self.assertFalse((stick / "SHA256SUMS.note").exists())

    def test_an_unsigned_bundle(self):
        self.file("one.gguf", gguf(name="One"))
        self.file("two.gguf", gguf(name="Two"))
        self.file("not-listed.gguf", gguf(name="Three"))
        sums = "".join(f"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}  {name}\n"
                       for name in ("one.gguf", "two.gguf"))
        listed = self.file("SHA256SUMS", sums.encode())
        self.assertIn("--unsigned", self.take(listed, expect=2))
        self.assertEqual(self.names(), [])
        self.take(listed, "--unsigned")
        self.assertEqual(self.names(), ["one.gguf", "two.gguf"])
        self.file("two.gguf", gguf(name="Evil"))
        (self.models / "two.gguf").unlink()
        (self.models / "one.gguf").unlink()
        self.assertIn("SHA-256", self.take(listed, "--unsigned", expect=5))
        self.assertNotIn("two.gguf", self.names())

    def test_verify_finds_what_has_changed(self):
        self.aioss("add", self.file("tiny.gguf", gguf()))
        path = self.models / "tiny.gguf"
        os.utime(path, ns=(10 ** 18, 10 ** 18))
        self.assertEqual(self.aioss("verify", "--json")["files"][0]["verdict"],
                         "read for the first time")
        self.assertEqual(self.aioss("verify", "tiny", "--json")["files"][0]["verdict"], "as before")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertEqual(self.aioss("show", "tiny", "--json")["files"][0]["sha256"], digest)
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        with open(path, "r+b") as writer:
            writer.write(raw)
        os.utime(path, ns=(10 ** 18, 10 ** 18))
        self.assertIn("DIFFERS", self.aioss("verify", expect=1))
        listed = self.file("allow", f"{digest}  tiny.gguf\n".encode())
        self.assertIn("DIFFERS", self.aioss("verify", "--models-allow", listed, expect=1))
        self.assertIn("not added", self.aioss("add", self.file("x.gguf", gguf(name="X")),
                                              "--models-allow", listed, expect=1))
        self.assertEqual(self.names(), ["tiny.gguf"])

    def test_settings_and_aliases(self):
        self.aioss("add", self.file("tiny.gguf", gguf()))
        (self.models / "tiny.toml").write_text('ctx = 512\naliases = ["t"]\n')
        shown = self.aioss("show", "t", "--json")
        self.assertEqual((shown["name"], shown["aliases"], shown["settings"]),
                         ("tiny", ["t"], {"ctx": 512}))
        self.assertIn("alias", self.aioss("rm", "t", expect=2))
        (self.models / "tiny.toml").write_text("ctxx = 512\n")
        self.assertIn("did you mean 'ctx'", self.aioss("show", "tiny"))
        self.aioss("rm", "tiny")
        self.assertEqual(self.names(), [])

    # ---- beside a server ------------------------------------------------------------------------

    def test_a_running_server_takes_up_what_comes_and_goes(self):
        config = self.folder / "aioss.toml"
        config.write_text('[models.scripted]\naliases = ["s"]\nparallel = 3\n')
        script = b"aioss-fake 1\nreply hello\n"
        with AiossServer("--config", config, fake=True, models=self.models) as server:
            def ids():
                return [m["id"] for m in server.get("/v1/models")[2]["data"]]

            (self.models / "scripted.fake").write_bytes(script)
            wait_until(lambda: ids() == ["scripted"], what="the new model")
            status, _, answer = server.post("/v1/completions", {"model": "s", "prompt": "x"})
            self.assertEqual((status, answer["model"]), (200, "scripted"), answer)
            _, _, model = server.get("/v1/models/s")
            self.assertEqual((model["aioss"]["aliases"], model["aioss"]["parallel"]), (["s"], 3))
            self.aioss("add", self.file("tiny.gguf", gguf()))
            wait_until(lambda: ids() == ["scripted", "tiny"], what="what was added")
            self.aioss("rm", "tiny")
            wait_until(lambda: ids() == ["scripted"], what="what was removed")
            server.stop()
            actions = [r["body"] for r in server.records() if r["type"] == "ADMIN_ACTION"]
        self.assertEqual([a["details"] for a in actions],
                         [["appeared scripted"], ["appeared tiny"], ["vanished tiny"]])
        self.assertEqual({a["actor"]["source"] for a in actions}, {"watch"})

    def test_a_split_model_answers_as_the_whole_one(self):
        whole = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
        if not MODELS or not whole.exists():
            self.skipTest(f"{SMOLLM2} is not in AIOSS_MODELS_DIR")
        model = Gguf(whole)
        middle = len(model.tensors) // 2
        for number, (begin, end) in enumerate(((0, middle), (middle, len(model.tensors)))):
            path = self.models / f"split-0000{number + 1}-of-00002.gguf"
            path.write_bytes(model.part(number, 2, begin, end))
        (self.models / "whole.gguf").symlink_to(whole)
        allowed = self.folder / "allow"
        allowed.write_text("".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(self.models.iterdir())))
        with AiossServer("--profile", "reproducible", "--models-allow", allowed,
                         models=self.models) as server:
            texts = []
            for name in ("whole", "split"):
                status, _, answer = server.post("/v1/completions", {
                    "model": name, "prompt": "The clerk of the court", "max_tokens": 24,
                    "temperature": 0})
                self.assertEqual(status, 200, answer)
                texts.append(answer["choices"][0]["text"])
            self.assertEqual(texts[0], texts[1])
            server.stop()
            loads = [r["body"] for r in server.records() if r["type"] == "MODEL_LOAD"]
        self.assertEqual([load["hash_source"] for load in loads], [2, 2])


if __name__ == "__main__":
    unittest.main()
