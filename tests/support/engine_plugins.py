"""Engine plugins for tests: the example, and the same with one fault each, built with the system's
C compiler and put into an engine directory as `aioss engine add` does, or as somebody else might.

Standard library only."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "engine-minimal"
HOSTILE = ROOT / "tests" / "plugins" / "hostile_engine.c"
COMPILER = os.environ.get("CC", "cc")


def build_example(folder):
    """As a person does who has the example and the header, and nothing else. The plugin's path."""
    source = pathlib.Path(folder) / "engine-minimal"
    shutil.copytree(EXAMPLE, source)
    header = pathlib.Path(folder) / "include" / "aioss"
    header.mkdir(parents=True)
    shutil.copy(ROOT / "include" / "aioss" / "engine.h", header)
    subprocess.run(["make", "-C", source, f"CC={COMPILER}", f"AIOSS_INCLUDE={header.parent}"],
                   check=True, stdout=subprocess.DEVNULL)
    return source / "minimal.so"


def build_hostile(path, *defines):
    """The example with these faults; it calls itself as its file, unless NAME is among them."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not any(define.startswith("NAME=") for define in defines):
        defines = (*defines, f'NAME="{path.stem}"')
    subprocess.run([COMPILER, "-std=c11", "-O1", "-w", "-shared", "-fPIC", "-fvisibility=hidden",
                    f"-I{ROOT / 'include'}", *(f"-D{define}" for define in defines),
                    "-o", path, HOSTILE, "-lpthread"], check=True)
    return path


def write_manifest(path, **changes):
    """Beside the plugin, without anybody's asking it."""
    path = pathlib.Path(path)
    manifest = {"name": path.stem, "version": "1.0.0", "abi": 1, "formats": ["gguf"],
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **changes}
    path.with_suffix(".json").write_text(json.dumps(manifest))
