#!/usr/bin/env python3
"""Compiles every header and every source of ours by itself, with the flags of its folder: headers
may not lean on what stands before them, nor sources on what is compiled with them in one group.

Usage: check_alone.py build/PRESET/compile_commands.json [TEXT]
TEXT: only files whose paths hold it"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def flags_of(database):
    """By file; by folder, of the file that sees most, for headers and what is not compiled here."""
    flags = {}
    for entry in json.loads(pathlib.Path(database).read_text()):
        words = shlex.split(entry["command"])
        kept = [w for w in words[1:] if w.startswith(("-I", "-D", "-std", "-W"))]
        for i, word in enumerate(words):
            if word == "-isystem":
                kept += ["-isystem", words[i + 1]]
        path = pathlib.Path(entry["file"])
        flags[path] = kept
        flags[path.parent] = max(flags.get(path.parent, []), kept, key=len)
    return flags


def compile_alone(path, flags):
    # A header is no main file: `#pragma once` would be an error there.
    is_header = path.suffix == ".h"
    command = ["c++", "-fsyntax-only", "-x", "c++", *flags, "-" if is_header else str(path)]
    return path, subprocess.run(command, input=f'#include "{path}"\n' if is_header else "",
                                capture_output=True, text=True)


def main():
    flags = flags_of(sys.argv[1])
    files = [f for folder in ("include", "src") for kind in ("*.h", "*.cc")
             for f in sorted((ROOT / folder).rglob(kind))]
    if len(sys.argv) > 2:
        files = [f for f in files if sys.argv[2] in str(f.relative_to(ROOT))]
    fallback = next(f for folder, f in flags.items() if folder.name == "cli")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(compile_alone, f, flags.get(f, flags.get(f.parent, fallback)))
                for f in files]
        for job in concurrent.futures.as_completed(jobs):
            path, result = job.result()
            if result.returncode:
                failed += 1
                print(f"{path.relative_to(ROOT)} does not compile alone:\n{result.stderr}")
    print(f"files: {len(files)} compiled alone, {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
