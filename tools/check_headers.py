#!/usr/bin/env python3
"""Compiles every header of ours by itself, with the flags of a neighbouring source file.
Usage: check_headers.py build/PRESET/compile_commands.json"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def flags_by_folder(database):
    flags = {}
    for entry in json.loads(pathlib.Path(database).read_text()):
        words = shlex.split(entry["command"])
        kept = [w for w in words[1:] if w.startswith(("-I", "-D", "-std", "-W"))]
        for i, word in enumerate(words):
            if word == "-isystem":
                kept += ["-isystem", words[i + 1]]
        flags.setdefault(pathlib.Path(entry["file"]).parent, kept)
    return flags


def compile_alone(header, flags):
    command = ["c++", "-fsyntax-only", "-x", "c++", "-Wno-pragma-once-outside-header", *flags,
               str(header)]
    return header, subprocess.run(command, capture_output=True, text=True)


def main():
    flags = flags_by_folder(sys.argv[1])
    headers = sorted((ROOT / "src").rglob("*.h")) + sorted((ROOT / "include").rglob("*.h"))
    fallback = next(f for folder, f in flags.items() if folder.name == "cli")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(compile_alone, h, flags.get(h.parent, fallback)) for h in headers]
        for job in concurrent.futures.as_completed(jobs):
            header, result = job.result()
            if result.returncode:
                failed += 1
                print(f"{header.relative_to(ROOT)} does not compile alone:\n{result.stderr}")
    print(f"headers: {len(headers)} compiled alone, {failed} failed")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
