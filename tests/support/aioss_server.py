"""Starts the real binary for a test and cleans up after it: own ledger, own port, verified.

Standard library only. AIOSS_BINARY names the binary, AIOSS_MODELS_DIR the folder of models."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BINARY = os.environ.get("AIOSS_BINARY", "build/release/bin/aioss")
MODELS = os.environ.get("AIOSS_MODELS_DIR", "")
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "models"
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1"
GEMMA = "gemma-3-270m-q4_k_m"


def run(*arguments, **options):
    """The binary, to its end: CompletedProcess with text output."""
    options.setdefault("timeout", 300)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, **options)


def children(pid):
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended in between has none
            found += [int(c) for c in path.read_text().split()]
    return found


class AiossServer:
    """with AiossServer(...) as server: server.url, server.post(...), server.worker_pids()."""

    def __init__(self, *flags, models=None, fake=False, verify=True, inside=()):
        """inside: the beginning of a command that runs what follows it somewhere else."""
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="aioss-test-"))
        self.ledger = self.home / "ledger"
        self.verify_at_end = verify
        self.flags, self.inside = [*map(str, flags)], [*map(str, inside)]
        if fake:
            self.flags.append("--fake-models")
        self.models = models or (FIXTURES if fake else MODELS)
        self.answer_seconds = 300  # that a test waits for one
        made = run("ledger", "init", self.ledger, "--origin", "test", "--json")
        assert made.returncode == 0, made.stderr
        self.vkey = json.loads(made.stdout)["vkey"]
        self.process = None

    def start(self):
        self.log = open(self.home / "log", "ab")
        self.process = subprocess.Popen(
            [*self.inside, BINARY, "serve", "--port", "0", "--ledger", str(self.ledger),
             "--models-dir", str(self.models), *self.flags],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True,
            # What is measured in the background would come between what a test looks at.
            env={"AIOSS_TUNE": "off", **os.environ, "XDG_STATE_HOME": str(self.home / "state"),
                 "XDG_CONFIG_HOME": str(self.home / "config")})
        line = self.process.stdout.readline()
        found = re.match(r"aioss listening on (http://127\.0\.0\.1:(\d+))$", line.strip())
        if not found:
            raise AssertionError(f"no listening line, but {line!r}; log:\n{self.log_text()}")
        self.url, self.port = found.group(1), int(found.group(2))
        return self

    def log_text(self):
        return (self.home / "log").read_text(errors="replace")

    def stop(self, expect=0):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert code == expect, f"exit code {code}, not {expect}; log:\n{self.log_text()}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def verify(self, expect=(0,)):
        result = run("verify", self.ledger, "--key", self.vkey, "--json")
        assert result.returncode in expect, f"verify: {result.returncode} {result.stdout}"
        return json.loads(result.stdout)

    def worker_pids(self):
        return children(self.process.pid)

    def get(self, path, headers=None):
        return self._ask(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(urllib.request.Request(
            self.url + path, data=data,
            headers={"Content-Type": "application/json", **(headers or {})}))

    def _ask(self, request):
        """(status, headers, parsed JSON or text)."""
        try:
            with urllib.request.urlopen(request, timeout=self.answer_seconds) as answer:
                status, headers, raw = answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            status, headers, raw = error.code, dict(error.headers), error.read()
        text = raw.decode()
        try:
            return status, headers, json.loads(text)
        except ValueError:
            return status, headers, text

    def records(self):
        """Every record of the ledger, as `ledger tail --json` prints them."""
        result = run("ledger", "tail", self.ledger, "-n", "1000000", "--json")
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            if self.process.poll() is None:
                if kind is None:
                    self.stop()
                else:
                    self.kill()
            if kind is None and self.verify_at_end:
                self.verify()
            elif kind is not None:
                print(self.log_text()[-4000:])
        finally:
            self.process.stdout.close()
            self.log.close()
            shutil.rmtree(self.home, ignore_errors=True)


def wait_until(condition, seconds=30, what="condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")
