"""`./dev bench models-shapes`: A, B, A for synthetic models A of several sizes: the first token of
the one that one comes back to, against never having unloaded it. Once with memory for both, and
once with memory for one of them, so that A has really gone and comes from the page cache."""
import contextlib
import json
import pathlib
import subprocess
import tempfile

import figures
import servers
import stats
from common import come_back, first_token, paired, synthetic
from figures import Goal

SIZES = (256, 512, 1024, 2048)  # MiB of weights
KIND = "Q4_0"
PARALLEL, CONTEXT = 1, 1024
TOKENS = 16  # of an answer: the first may be half a character, which is not sent


def tight_limit(needs):
    """Room for each of the two alone, and not for both."""
    return max(needs) + min(needs) // 2


def needs_of(args, folder, names):
    """What each is planned to take, in bytes."""
    found = []
    for name in names:
        plan = subprocess.run(
            [str(args.aioss), "plan", name, "--models-dir", str(folder), "--parallel",
             str(PARALLEL), "--ctx", str(CONTEXT), "--threads", str(args.threads), "--json"],
            capture_output=True, text=True, check=True)
        found.append(json.loads(plan.stdout)["bytes"]["committed"])
    return found


@contextlib.contextmanager
def two_models(a, b):
    """A folder with both, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="aioss-bench-shapes-") as folder:
        for file in (a, b):
            (pathlib.Path(folder) / file.name).symlink_to(file)
        yield folder


def start(args, folder, *extra):
    return servers.start_aioss(args.aioss, folder, PARALLEL, CONTEXT, args.threads, args.profile,
                               ("--prefix-mib", 0, "--spill-mib", 0, *extra))


def compare(args, roomy, tight, a, b, seed):
    """Both ways of coming back, each interleaved with staying."""
    def stay(i):
        return first_token(roomy, a, seed + 500_000 + i, TOKENS)
    for server, title, goal in ((roomy, "with memory for both", Goal(1.2)),
                                (tight, "with memory for one", None)):
        for name in (b, a):
            first_token(server, name, seed + 999_999, TOKENS)
        first_token(roomy, a, seed + 999_998, TOKENS)
        pairs = paired(args.pairs or 10,
                       lambda i, server=server: come_back(server, b, a, seed + i, TOKENS), stay)
        figures.show(args, a, f"A to B to A against never having unloaded, {title}",
                     stats.median_ratio(pairs), goal, len(pairs))


def bench_shapes(args, peer, files):
    del peer
    for index, mib in enumerate(SIZES):
        shape = synthetic(args, mib, KIND)
        figures.title(f"{mib} MiB of {KIND}: first token after {files[0].stem} was asked")
        with two_models(shape, files[0]) as folder:
            limit = tight_limit(needs_of(args, folder, (shape.stem, files[0].stem)))
            with start(args, folder) as roomy, \
                    start(args, folder, "--memory-max", limit) as tight:
                roomy.wait_listening()
                tight.wait_listening()
                compare(args, roomy, tight, shape.stem, files[0].stem, 10_000_000 * index)
