#!/usr/bin/env python3
"""Checks a plugin's file with readelf: what it exports, needs, and maps. Exit 1, a line a fault.

Usage: check_plugin.py [--also LIBRARY]… FILE…; LIBRARY is one of the system's, as of a driver."""
import argparse
import re
import subprocess
import sys

LIBRARIES = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
ENTRY = "aioss_engine_entry"


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True,
                          text=True).stdout


def faults(path, libraries):
    dynamic = readelf("-d", path)
    for library in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
        if library not in libraries:
            yield f"it needs {library}"
    if "TEXTREL" in dynamic:
        yield "its code is changed when it is loaded"
    exported = []
    for line in readelf("--dyn-syms", path).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] in ("GLOBAL", "WEAK", "UNIQUE") and fields[6] != "UND":
            exported.append(fields[7])
    if exported != [ENTRY]:
        yield f"it exports {exported or 'nothing'}, not {ENTRY} alone"
    for line in readelf("-l", path).splitlines():
        if "GNU_STACK" in line and "RWE" in line:
            yield "its stack may be executed"
        if line.split()[:1] == ["LOAD"] and "RWE" in line:
            yield "it maps memory that may be written and executed"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--also", action="append", default=[], metavar="LIBRARY")
    given = parser.parse_args()
    libraries = LIBRARIES | set(given.also)
    found = [f"{path}: {fault}" for path in given.files for fault in faults(path, libraries)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
