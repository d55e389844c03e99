#!/usr/bin/env python3
"""Checks the include arrows of docs/architecture.md: a folder includes only the layers below it,
and some libraries are used in one place only. Exit 1 and a line per fault."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# Folder → the folders it may include. Transitive on purpose: an arrow skips no layer silently.
BASE = {"base"}
OS = BASE | {"os"}
SUPPORT = OS | {"crypto", "codec"}
LEDGER_CORE = {"ledger/format", "ledger/reading", "ledger/writing"}
LEDGER = LEDGER_CORE | {"ledger/custody", "ledger/evidence", "ledger/witness"}
GATEWAY_BELOW = SUPPORT | LEDGER | {"memory", "plugins", "ipc"}
# Within the runtime: folder → the others of its folders that it may include.
VALUES = {"settings", "calls"}
CATALOGUE = VALUES | {"catalogue"}
PLANNING = CATALOGUE | {"dry_runs", "tuning", "planning"}
STREAMS = CATALOGUE | {"records", "prefixes", "streams"}
MODELS = PLANNING | STREAMS | {"models"}
WITHIN_RUNTIME = {
    "settings": set(),
    "calls": set(),
    "catalogue": VALUES,
    "dry_runs": CATALOGUE,
    "tuning": CATALOGUE | {"dry_runs"},
    "planning": CATALOGUE | {"dry_runs", "tuning"},
    "records": CATALOGUE,
    "prefixes": CATALOGUE,
    "streams": CATALOGUE | {"records", "prefixes"},
    "models": PLANNING | STREAMS,
    "room": MODELS,
    "requests": MODELS | {"room"},
    "lives": MODELS | {"room", "requests"},
}
RUNTIME = {"runtime"} | {f"runtime/{folder}" for folder in WITHIN_RUNTIME}
GATEWAY = {"memory", "plugins", "ipc"} | RUNTIME
ALLOWED = {
    "base": BASE,
    "os": OS,
    "crypto": OS | {"crypto"},
    "codec": OS | {"codec"},
    "ledger/format": SUPPORT | {"ledger/format"},
    "ledger/reading": SUPPORT | {"ledger/format", "ledger/reading"},
    "ledger/writing": SUPPORT | LEDGER_CORE,
    "ledger/custody": SUPPORT | LEDGER_CORE | {"ledger/custody"},
    "ledger/evidence": SUPPORT | LEDGER_CORE | {"ledger/evidence"},
    "ledger/witness": SUPPORT | LEDGER_CORE | {"ledger/witness"},
    "ledger/testing": SUPPORT | LEDGER_CORE | {"ledger/testing"},
    "memory": BASE | {"memory"},
    "plugins": SUPPORT | {"plugins"},
    "ipc": SUPPORT | {"memory", "ipc"},
    "engine": SUPPORT | {"engine"},
    "engines/fake": SUPPORT | {"engine", "engines/fake"},
    "engines/ggml": SUPPORT | {"engine", "engines/ggml"},
    "engines/ik": SUPPORT | {"engine", "engines/ggml", "engines/ik"},
    "engines/llama": SUPPORT | {"engine", "engines/ggml", "engines/llama"},
    "http": SUPPORT | {"http"},
    "worker": SUPPORT | {"memory", "ipc", "engine", "worker"},
    "runtime": GATEWAY_BELOW | RUNTIME,
    "runtime/testing": GATEWAY_BELOW | RUNTIME | {"runtime/testing"},
    "api/openai": SUPPORT | {"ipc", "runtime/calls", "api/openai"} | LEDGER,
    "server": SUPPORT | GATEWAY | {"http", "api/openai", "server"} | LEDGER,
    "cli": SUPPORT | GATEWAY | {"http", "api/openai", "server", "cli"} | LEDGER,
}
for name, below in WITHIN_RUNTIME.items():
    ALLOWED[f"runtime/{name}"] = GATEWAY_BELOW | {f"runtime/{n}" for n in below | {name}}
ALLOWED["app"] = set().union(*ALLOWED.values()) | {"app"}

# A test may also use the fake engine, and for the gateway's tests the worker. One of a folder of
# the runtime may use a whole gateway.
TEST_EXTRA = {
    "worker": {"engines/fake"},
    "runtime": {"runtime/testing"},
    "runtime/testing": {"worker", "engine", "engines/fake"},
    "engine": {"engines/fake"},
    "engines/ik": {"engines/llama"},
    "ledger/format": {"ledger/testing"} | LEDGER_CORE,
    "ledger/reading": {"ledger/testing"} | LEDGER_CORE,
    "ledger/writing": {"ledger/testing"},
    "ledger/custody": {"ledger/testing"},
    "ledger/evidence": {"ledger/testing"},
    "ledger/witness": {"ledger/testing"},
}

for name in WITHIN_RUNTIME:
    TEST_EXTRA[f"runtime/{name}"] = {"runtime", "runtime/testing"}
# The tests of these look at what planning makes of their answers, too.
for name in ("dry_runs", "tuning"):
    TEST_EXTRA[f"runtime/{name}"] |= {"runtime/planning"}

# Header prefix → the only folders that may include it.
ONLY_IN = {
    "boost/": {"http", "server", "cli"},
    "openssl/": {"crypto"},
    "seccomp.h": {"os"},
    "qrcodegen/": {"cli"},
    "linux/": {"os", "engines/ik"},  # a plugin's threads wait by themselves
    "sys/": {"os", "http", "ipc", "base", "engines/ik"},  # sockets of their own, the log's terminal
    "nlohmann/": {"codec", "api/openai", "server", "cli", "worker"},
    "toml++": {"cli"},
    "CLI/": {"cli"},
    "spdlog/": {"base"},
    "fmt/": {"base"},
}
# llama.cpp's own headers, and ik_llama.cpp's, which are included by bare or folder name; for
# engines/llama and engines/ik alone.
LLAMA_HEADERS = {"llama.h", "llama-ext.h", "llama-model.h", "gguf.h", "chat.h", "log.h", "json.h",
                 "build-info.h", "jinja/caps.h", "jinja/runtime.h", "ggml.h", "ggml-cpu.h",
                 "ggml-backend.h", "llama-context.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def folder_of(path):
    parts = path.relative_to(SRC).parts[:-1]
    return "/".join(parts[:2]) if parts[0] in ("engines", "api", "ledger", "runtime") else parts[0]


def is_test(path):
    """Tests, and what only they use: x_test.cc, x_fixture.h, x_builder.h, x_bench.cc, test_x.h."""
    words = path.stem.split("_")
    return ("testing" in path.parts or
            bool({"test", "fixture", "builder", "bench"} & {words[0], words[-1]}))


def faults_of(path):
    folder = folder_of(path)
    if folder not in ALLOWED:
        yield f"{path.relative_to(ROOT)}: folder '{folder}' is not in tools/layers.py"
        return
    allowed = set(ALLOWED[folder])
    if is_test(path):
        allowed |= TEST_EXTRA.get(folder, set())
    for quote, name in INCLUDE.findall(path.read_text()):
        if quote == '"':
            target = name.rsplit("/", 1)[0]
            if name.startswith("aioss/"):
                continue
            if folder in ("engines/llama", "engines/ik") and name in LLAMA_HEADERS:
                continue
            home = target
            if is_test(path) and target not in ALLOWED:
                home = target.removesuffix("/testing")
            if home not in allowed:
                yield f"{path.relative_to(ROOT)}: {folder} may not include {name}"
            elif not (SRC / name).exists():
                yield f"{path.relative_to(ROOT)}: no such header: {name}"
        for prefix, homes in ONLY_IN.items():
            if quote == "<" and name.startswith(prefix) and folder not in homes:
                if prefix in ("sys/", "linux/", "nlohmann/") and is_test(path):
                    continue
                yield (f"{path.relative_to(ROOT)}: <{name}> belongs to "
                       f"{', '.join(sorted(homes))} only")


def main():
    files = sorted(p for p in SRC.rglob("*") if p.suffix in (".h", ".cc", ".c"))
    faults = [fault for path in files for fault in faults_of(path)]
    for fault in faults:
        print(fault)
    print(f"layers: {len(files)} files, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
