"""The product with an engine for GPUs against llama-server of the same tree, for the same GPU:
prompts of one client, and decoding for 1 and for 32 clients, in turns, so that both see the same
machine. Also says whether the kernel lets the product's sandbox do what the driver wants. Standard
library only.

Exit code 1 if the product cannot be used; slower is reported, and no failure. Without
--llama-server the product alone is measured."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROUNDS = 3
# What the product says where it, or the kernel, does not let a driver do what it wants.
REFUSALS = ("GPUs need a kernel with Landlock", "cannot be confined", "cannot install the seccomp",
            "Operation not permitted")
WORDS = "the of and to in is that for it as was with be by on not he his but at are this".split()


def post(server, prompt, tokens, **fields):
    body = {"model": server.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "ignore_eos": True, **server.fields, **fields}
    request = urllib.request.Request(server.url + "/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=300)


def ask(server, prompt, tokens):
    with post(server, prompt, tokens) as answer:
        return json.load(answer)["usage"]


def prompt_of(words, salt):
    return f"{salt} " + " ".join(WORDS[(i * 7 + salt) % len(WORDS)] for i in range(words))


def prefill(server, salt, words):
    """Tokens a second of a prompt alone, up to its answer's first token."""
    begin, first, usage = time.monotonic(), None, None
    with post(server, prompt_of(words, salt), 2, stream=True,
              stream_options={"include_usage": True}) as answer:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            first = first or time.monotonic()
            usage = json.loads(line[6:]).get("usage") or usage
    return usage["prompt_tokens"] / (first - begin)


def decode(server, clients, salt, tokens):
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(ask, server, prompt_of(8, salt + i), tokens) for i in range(clients)]
        tokens = sum(f.result()["completion_tokens"] for f in done)
    return tokens / (time.monotonic() - begin)


class Server:
    def __init__(self, name, command, url, model, environment=None, fields=None):
        self.name, self.url, self.model, self.fields = name, url, model, fields or {}
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        env={**os.environ, **(environment or {})})

    def wait(self, seconds=180):
        """Why it does not answer; nothing once it does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                ask(self, "warm up", 4)
                return None
            except urllib.error.HTTPError as refusal:
                if refusal.code != 503:  # which is loading
                    return f"HTTP {refusal.code}: {refusal.read(2000).decode(errors='replace')}"
            except (OSError, ValueError):
                pass  # it does not listen yet
            time.sleep(0.2)
        return f"no answer within {seconds} s, exit code {self.process.poll()}"

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
        "999", "-np", str(args.clients), "-c", str(args.clients * args.context)],
        f"http://127.0.0.1:{port}", "any", fields={"cache_prompt": False})


def engine_of(plugin):
    return pathlib.Path(plugin).stem.removeprefix("aioss-engine-")


def start_product(args, home):
    port, model = free_port(), pathlib.Path(args.model)
    environment = {"XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home,
                   "AIOSS_ENGINES_DIR": f"{home}/engines"}
    for words in (("engine", "add", args.plugin), ("devices",),
                  ("ledger", "init", f"{home}/ledger", "--origin", "gpu")):
        done = subprocess.run([args.aioss, *words], env={**os.environ, **environment})
        if done.returncode != 0:
            raise SystemExit(f"'aioss {' '.join(words)}' ended with {done.returncode}")
    return Server("aioss", [
        args.aioss, "serve", "--port", str(port), "--ledger", f"{home}/ledger", "--models-dir",
        str(model.parent), "--engine", engine_of(args.plugin), "--device", args.device,
        "--parallel", str(args.clients), "--ctx", str(args.context), "--profile", "fast"],
        f"http://127.0.0.1:{port}", model.name.removesuffix(".gguf"), environment)


def measure(servers, args):
    found = {}
    for turn in range(args.rounds):
        for server in servers:
            for what, work in (("prefill", lambda s: prefill(s, turn, args.prompt)),
                               ("decode, 1 client", lambda s: decode(s, 1, turn, args.tokens)),
                               (f"decode, {args.clients} clients",
                                lambda s: decode(s, args.clients, turn, args.tokens))):
                found.setdefault((what, server.name), []).append(work(server))
    return found


def of_long_prompts(args, home):
    """What its ledger says of its long prompts, in ms: queue and prefill."""
    done = subprocess.run(
        [args.aioss, "ledger", "tail", f"{home}/ledger", "-n", "1000000", "--json"],
        capture_output=True, check=True)
    bodies = [record["body"] for record in map(json.loads, done.stdout.splitlines())
              if record["type"] == "INFER_RESULT"]
    longest = max(body["prompt_tokens"] for body in bodies)
    choices = [c for b in bodies if b["prompt_tokens"] > longest * 0.9 for c in b["choices"]]
    return [statistics.median(c[key] for c in choices) / 1e6 for key in ("queue_ns", "prefill_ns")]


def spread(values):
    return f"{statistics.median(values):9.1f} ({min(values):.1f} to {max(values):.1f})"


def report(what, ours, theirs):
    """Of all turns, the first too, where whatever was never used before is cold."""
    line = f"{what:20} tokens/s: aioss {spread(ours)}"
    if theirs:
        ratio = statistics.median(ours) / statistics.median(theirs)
        line += f", llama-server {spread(theirs)}: {ratio:.2f} ×"
    print(line)


def main():
    parser = argparse.ArgumentParser()
    for name in ("aioss", "plugin", "device", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--llama-server")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--prompt", type=int, default=1000, help="words of the long prompt")
    parser.add_argument("--clients", type=int, default=32, help="that ask at once")
    parser.add_argument("--context", type=int, default=2048, help="tokens of each of them")
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    args = parser.parse_args()
    if not os.access(args.aioss, os.X_OK):
        print("NOT MEASURED: the bundle has no product (./dev build portable, ./dev gpu-bundle)")
        return 0
    with tempfile.TemporaryDirectory(prefix="aioss-gpu-") as home:
        servers = [start_product(args, home)]
        try:
            if problem := servers[0].wait():
                print(servers[0].text()[-4000:], problem, sep="\n")
                refusals = [text for text in REFUSALS if text in servers[0].text() + problem]
                print("the product cannot be used with this GPU" + (
                    f"; its sandbox may be the reason: {refusals}" if refusals else ""))
                return 1
            if args.llama_server:
                servers.append(start_peer(args))
                if problem := servers[1].wait():
                    print(servers[1].text()[-2000:], f"llama-server: {problem}", sep="\n")
                    return 1
            found = measure(servers, args)
        finally:
            for server in servers:
                server.stop()
        for what in dict.fromkeys(key[0] for key in found):
            report(what, found[what, "aioss"], found.get((what, "llama-server")))
        waited, computed = of_long_prompts(args, home)
    print(f"long prompts of the product, by its ledger: {waited:.1f} ms waiting in its worker, "
          f"{computed:.1f} until their first token")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
