"""Starts the servers under measurement and reads what the kernel says of them."""
import ctypes
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

PR_SET_PDEATHSIG = 1  # linux/prctl.h
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(pid):
    """pid and all below it."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        try:
            for children in pathlib.Path(f"/proc/{current}/task").glob("*/children"):
                queue += [int(c) for c in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def _stat(pid):
    """Fields of /proc/PID/stat behind the name: the first is the state."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def start_ticks(pid):
    """When the process began, in clock ticks since boot."""
    return int(_stat(pid)[19])


def own_cpu_seconds(pid):
    """(user, system) of that process alone."""
    fields = _stat(pid)
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def cpu_seconds(pid):
    return sum(sum(own_cpu_seconds(process)) for process in descendants(pid))


def thread_cpu_seconds(pid, name):
    """CPU time of the threads of that name, nanosecond resolution."""
    total = 0
    for process in descendants(pid):
        for task in pathlib.Path(f"/proc/{process}/task").iterdir():
            if (task / "comm").read_text().strip() == name:
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _memory_bytes(pid, field):
    total = 0
    for process in descendants(pid):
        status = pathlib.Path(f"/proc/{process}/status").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", status)
        total += int(found.group(1)) * 1024 if found else 0
    return total


def peak_bytes(pid):
    return _memory_bytes(pid, "VmHWM")


def resident_bytes(pid):
    return _memory_bytes(pid, "VmRSS")


def metric(port, name, key=None):
    """Of an aioss server: the value of a metric without labels. `key`: of an operator."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.M)
    return float(found.group(1))


def _end_with_parent():
    """In the child: SIGTERM when the benchmark ends, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """A child process that listens on self.port."""

    def __init__(self, name, command, port, log, folder=None):
        self.name, self.port = name, port
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        cwd=folder, preexec_fn=_end_with_parent)

    def wait_listening(self, timeout=120):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.002)
        raise RuntimeError(f"{self.name} does not listen")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start_aioss(binary, models, parallel, context, threads, profile="fast", extra=(),
                environment=None):
    port = free_port()
    state = tempfile.mkdtemp(prefix="aioss-bench-")
    log = open(f"{state}/log", "wb")
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    return Server("aioss", [
        *(["/usr/bin/env", *variables] if variables else []), str(binary), "serve", "--port",
        str(port), "--models-dir", str(models), "--ledger",
        f"{state}/ledger", "--parallel", str(parallel), "--ctx", str(context), "--threads",
        str(threads), "--profile", profile, "--record-rate", "0", *map(str, extra)], port,
        log)


def start_llama_server(binary, model, parallel, context, threads):
    port = free_port()
    log = open(tempfile.mktemp(prefix="llama-server-"), "wb")
    return Server("llama-server", [
        str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-np",
        str(parallel), "-c", str(parallel * context), "-t", str(threads), "-tb", str(threads)],
        port, log)


def build_peer(source, cache, jobs):
    """llama-server and llama-bench from the same tree, with upstream's own defaults."""
    build = pathlib.Path(cache) / "build" / f"peer-{pathlib.Path(source).name}"
    binary = build / "bin" / "llama-server"
    if not binary.exists():
        print("Building llama-server of the same llama.cpp release, unpatched (about 10 minutes)",
              flush=True)
        subprocess.run([
            "cmake", "-S", source, "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=ON", "-DLLAMA_BUILD_TESTS=OFF",
            "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_OPENSSL=OFF",
            "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"],
            check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", str(build), "-j", str(jobs), "--target",
                        "llama-server", "llama-bench"], check=True, stdout=subprocess.DEVNULL)
    return build / "bin"
