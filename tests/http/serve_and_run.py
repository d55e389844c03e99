#!/usr/bin/env python3
"""Starts `aioss serve`, runs suites against it, stops it with SIGTERM, expects exit code 0 and a
ledger that verifies.

    serve_and_run.py fake            every suite for the scripted engine
    serve_and_run.py model NAME      the suite for a real model

The binary comes from AIOSS_BINARY, the folder of real models from AIOSS_MODELS_DIR."""
import argparse
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import aioss_server  # noqa: E402: found by the line above
import run  # noqa: E402

FAKE_SUITES = ["pages", "chat", "completions", "errors", "framing", "resume"]


def carries_ik():
    """Sanitizer builds do not. What the binary says of itself and the server lists must fit."""
    version = aioss_server.run("version")
    assert version.returncode == 0, version.stderr
    return "ik" if re.search(r"engine +ik .*\(inside", version.stdout) else "no-ik"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("engine", choices=["fake", "model"])
    parser.add_argument("model", nargs="?", default=aioss_server.SMOLLM2)
    parser.add_argument("--binary", help="instead of AIOSS_BINARY")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if arguments.binary:
        aioss_server.BINARY = arguments.binary
    fake = arguments.engine == "fake"
    variables = {"model": "scripted" if fake else arguments.model}
    names = FAKE_SUITES if fake else ["model"]
    flags = [] if fake else ["--parallel", "2", "--ctx", "1024"]
    with aioss_server.AiossServer(*flags, fake=fake) as server:
        passed, failed = run.run(server.url, [HERE / f"{name}.test" for name in names], variables,
                                 has={carries_ik()}, only=arguments.only)
        if failed:
            print(server.log_text()[-4000:])
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
