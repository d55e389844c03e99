"""The product with the CUDA engine against llama-server of the same tree with CUDA: prompts of one
client, and decoding for 1 and for 32 clients, in turns, so that both see the same machine. Also
says whether the kernel lets the product's sandbox do what the driver wants. Standard library only.

Exit code 1 if the product cannot be used; slower is reported, and no failure."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROUNDS = 3
WORDS = "the of and to in is that for it as was with be by on not he his but at are this".split()


def ask(url, model, prompt, tokens):
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "ignore_eos": True, "cache_prompt": False}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)["usage"]


def prompt_of(words, salt):
    return f"{salt} " + " ".join(WORDS[(i * 7 + salt) % len(WORDS)] for i in range(words))


def prefill(server, salt):
    """Tokens a second of a prompt alone."""
    begin = time.monotonic()
    usage = ask(server.url, server.model, prompt_of(1000, salt), 1)
    return usage["prompt_tokens"] / (time.monotonic() - begin)


def decode(server, clients, salt):
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(ask, server.url, server.model, prompt_of(8, salt + i), 128)
                for i in range(clients)]
        tokens = sum(f.result()["completion_tokens"] for f in done)
    return tokens / (time.monotonic() - begin)


class Server:
    def __init__(self, name, command, url, model, environment=None):
        self.name, self.url, self.model = name, url, model
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        env={**os.environ, **(environment or {})})

    def wait(self, seconds=180):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                ask(self.url, self.model, "warm up", 4)
                return True
            except (OSError, urllib.error.URLError, ValueError):
                time.sleep(0.2)
        return False

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_peer(args):
    port = free_port()
    return Server("llama-server", [
        args.llama_server, "-m", args.model, "--host", "127.0.0.1", "--port", str(port), "-ngl",
        "999", "-np", "32", "-c", str(32 * 2048)], f"http://127.0.0.1:{port}", "any")


def start_product(args, home):
    port, model = free_port(), pathlib.Path(args.model)
    environment = {"XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home,
                   "AIOSS_ENGINES_DIR": f"{home}/engines"}
    run = lambda *words: subprocess.run([args.aioss, *words], check=True,
                                        env={**os.environ, **environment})
    run("engine", "add", args.plugin)
    run("devices")
    run("ledger", "init", f"{home}/ledger", "--origin", "gpu")
    return Server("aioss", [
        args.aioss, "serve", "--port", str(port), "--ledger", f"{home}/ledger", "--models-dir",
        str(model.parent), "--engine", "cuda", "--device", args.device, "--parallel", "32",
        "--ctx", "2048", "--profile", "fast"],
        f"http://127.0.0.1:{port}", model.name.removesuffix(".gguf"), environment)


def measure(servers):
    found = {}
    for turn in range(ROUNDS):
        for server in servers:
            for what, work in (("prefill", lambda s: prefill(s, turn)),
                               ("decode, 1 client", lambda s: decode(s, 1, turn)),
                               ("decode, 32 clients", lambda s: decode(s, 32, turn))):
                found.setdefault((what, server.name), []).append(work(server))
    return {key: statistics.median(values) for key, values in found.items()}


def main():
    parser = argparse.ArgumentParser()
    for name in ("llama-server", "aioss", "plugin", "device", "model"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    if not os.access(args.aioss, os.X_OK):
        print("NOT MEASURED: the bundle has no product (./dev build portable, ./dev gpu-bundle)")
        return 0
    with tempfile.TemporaryDirectory(prefix="aioss-gpu-") as home:
        servers = [start_product(args, home)]
        try:
            if not servers[0].wait():
                print(servers[0].text()[-4000:])
                refused = re.search(r"confine|sandbox|seccomp|landlock", servers[0].text(), re.I)
                print("the product cannot be used with this GPU" + (
                    ": the kernel or the driver refuses its sandbox" if refused else ""))
                return 1
            servers.append(start_peer(args))
            if not servers[1].wait():
                print(servers[1].text()[-2000:], "llama-server does not answer", sep="\n")
                return 1
            found = measure(servers)
        finally:
            for server in servers:
                server.stop()
    for what in dict.fromkeys(key[0] for key in found):
        ours, theirs = found[what, "aioss"], found[what, "llama-server"]
        print(f"{what:20} aioss {ours:9.1f} tokens/s, llama-server {theirs:9.1f}: "
              f"{ours / theirs:.2f} ×")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
