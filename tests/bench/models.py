"""Models in memory: `./dev bench models`, or each case by itself. What coming back to a model
costs, against servers that keep one of them, and what a gateway takes that has none.

The peers are llama-server's router with --models-max 1 and, where ./dev could build it, Ollama with
one loaded model: what each of them does when a second model does not fit by its own count."""
import contextlib
import pathlib
import subprocess
import tempfile
import time

import figures
import models_plan
import models_shapes
import servers
import stats
from common import SETTLE_SECONDS, come_back, first_token, paired, warm_up
from figures import Goal

PARALLEL, CONTEXT = 1, 1024


def start_router(binary, models, threads):
    """llama-server that starts a llama-server for the model that is asked for; one at a time."""
    port = servers.free_port()
    log = open(tempfile.mktemp(prefix="llama-router-"), "wb")
    return servers.Server("llama-server's router", [
        str(binary), "--models-dir", str(models), "--models-max", "1", "--offline", "--host",
        "127.0.0.1", "--port", str(port), "-np", str(PARALLEL), "-c", str(CONTEXT * PARALLEL), "-t",
        str(threads), "-tb", str(threads)], port, log)


class Ollama:
    """A server that knows these model files by their stems and keeps one loaded."""

    def __init__(self, binary, files, threads):
        home = pathlib.Path(tempfile.mkdtemp(prefix="ollama-bench-"))
        port = servers.free_port()
        environment = {"HOME": str(home), "OLLAMA_HOST": f"127.0.0.1:{port}",
                       "OLLAMA_MODELS": str(home / "models"), "OLLAMA_MAX_LOADED_MODELS": "1",
                       "OLLAMA_NUM_PARALLEL": str(PARALLEL), "OLLAMA_CONTEXT_LENGTH": str(CONTEXT),
                       "OLLAMA_NO_CLOUD": "1", "PATH": "/usr/bin:/bin"}
        command = ["/usr/bin/env", *(f"{k}={v}" for k, v in environment.items()), str(binary)]
        self.server = servers.Server("Ollama", [*command, "serve"], port, open(home / "log", "wb"))
        self.server.wait_listening()
        for file in files:
            modelfile = home / f"{file.stem}.modelfile"
            modelfile.write_text(f"FROM {file}\nPARAMETER num_thread {threads}\n")
            subprocess.run([*command, "create", file.stem, "-f", str(modelfile)], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def peers(args, peer, files):
    """Those there are, each ready to be asked."""
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(start_router(peer / "llama-server",
                                                  files[0].parent, args.threads))
        router.wait_listening()
        found = [router]
        if args.ollama:
            found.append(stack.enter_context(Ollama(args.ollama, files, args.threads).server))
        else:
            figures.progress("Ollama is not there: no figure against it")
        yield found


def bench_swap(args, peer, files):
    """A, B, A: the first token of the model that one comes back to."""
    names = [file.stem for file in files]
    with servers.start_aioss(args.aioss, files[0].parent, PARALLEL, CONTEXT, args.threads,
                             args.profile) as ours, peers(args, peer, files) as others:
        ours.wait_listening()
        for server in (ours, *others):
            for name in names:
                warm_up(server, name)
        for index, name in enumerate(names):
            away = names[1 - index]
            figures.title(f"{name}: first token after {away} was asked")
            for other in others:
                pairs = paired(args.pairs or 10,
                               lambda i: come_back(ours, away, name, 1000 * index + i),
                               lambda i, other=other: come_back(other, away, name,
                                                                1000 * index + i))
                figures.show(args, name, f"A to B to A against {other.name}'s",
                             stats.median_ratio(pairs), Goal(0.5), len(pairs))
            pairs = paired(args.pairs or 10,
                           lambda i: come_back(ours, away, name, 5000 + 1000 * index + i),
                           lambda i: first_token(ours, name, 9000 + 1000 * index + i))
            figures.show(args, name, "A to B to A against never having left",
                         stats.median_ratio(pairs), Goal(1.2), len(pairs))


def bench_idle(args, peer, files):
    """A gateway that has not loaded anything."""
    del peer, files
    with tempfile.TemporaryDirectory(prefix="aioss-bench-none-") as empty, \
            servers.start_aioss(args.aioss, empty, PARALLEL, CONTEXT, args.threads) as server:
        server.wait_listening()
        time.sleep(SETTLE_SECONDS)
        mib = servers.resident_bytes(server.process.pid) / 2**20
        figures.title("a gateway without models")
        figures.show(args, "none", "resident", (mib, mib, mib), Goal(40, unit=" MiB"), 1)


CASES = {"models-swap": bench_swap, "models-idle": bench_idle,
         "models-plan": models_plan.bench_plan, "models-shapes": models_shapes.bench_shapes}
