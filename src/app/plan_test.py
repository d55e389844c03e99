"""`aioss plan` and GET /admin/plan: what they say, what they refuse, and their bytes against those
that the kernel counts of a worker once it has computed.

Without AIOSS_TEST_MODELS (a folder with both test models) the last part is left out. AIOSS_LONG=1
measures more sessions. Standard library only."""
import concurrent.futures
import json
import os
import pathlib
import re
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

from terminal_test import Case

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "support"))
from synthetic_model import synthetic_model  # noqa: E402

MODELS = os.environ.get("AIOSS_TEST_MODELS", "")
LONG = os.environ.get("AIOSS_LONG", "") not in ("", "0")
SECONDS = 600  # prompts that fill contexts, on a machine that does other things, too
SMOL, GEMMA = "SmolLM2-135M-Instruct.Q4_1", "gemma-3-270m-q4_k_m"
# Its output layer is its table of embeddings, repacked: the table itself is hardly read.
TIED = "synthetic-96M.Q4_0"
TOLERANCE = 0.05

# profile, model, sequences, context, KV type
QUICK = [("fast", SMOL, 2, 1024, "f16"), ("fast", SMOL, 4, 1024, "q8_0"),
         ("reproducible", SMOL, 2, 512, "f16"), ("fast", GEMMA, 2, 1024, "f16"),
         ("fast", GEMMA, 4, 512, "q8_0"), ("reproducible", GEMMA, 2, 512, "f16"),
         ("reproducible", SMOL, 2, 512, "q8_0"),
         ("fast", TIED, 2, 512, "f16"), ("reproducible", TIED, 1, 512, "f16")]
MORE = [("fast", SMOL, 1, 4096, "f16"), ("fast", SMOL, 4, 4096, "f16"),
        ("fast", SMOL, 8, 2048, "q4_0"), ("reproducible", SMOL, 4, 2048, "f16"),
        ("fast", GEMMA, 1, 4096, "f16"),
        ("fast", GEMMA, 4, 4096, "f16"), ("fast", GEMMA, 8, 1024, "q8_0"),
        ("reproducible", SMOL, 4, 1024, "q8_0"),
        ("reproducible", GEMMA, 4, 2048, "f16"), ("reproducible", GEMMA, 1, 4096, "f16")]


class Plan(Case):
    def plan(self, model, *arguments):
        return self.aioss("plan", model, "--fake-models", "--models-dir", self.home, *arguments)

    def planned(self, model, *arguments):
        result = self.plan(model, "--json", *arguments)
        self.assertIn(result.returncode, (0, 4), result.stderr)
        return json.loads(result.stdout)

    def serve(self, directory, *arguments):
        process = self.start("serve", "--fake-models", "--models-dir", directory, "--port", 0,
                             "--log-level", "off", *arguments)
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"aioss listening on (http://127\.0\.0\.1:\d+)\n", line)
        self.assertTrue(found, line + (process.stderr.read().decode() if not line else ""))
        return process, found.group(1)

    @staticmethod
    def get(url):
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


class Scripted(Plan):
    def test_names_every_kind(self):
        self.model("known", "aioss-fake 1\nmemory weights=1000000 kv=100 compute=7 overhead=9\n")
        plan = self.planned("known", "--ctx", 1000, "--parallel", 3)
        self.assertEqual(plan["bytes"]["weights"], 1000000)
        self.assertEqual(plan["bytes"]["kv"], 300000)
        self.assertEqual((plan["parallel"], plan["context_tokens"]), (3, 1000))
        self.assertTrue(plan["fits"])
        kinds = ("weights", "kv", "compute", "output", "vocabulary", "overhead")
        self.assertEqual(plan["bytes"]["committed"], sum(plan["bytes"][kind] for kind in kinds))
        text = self.plan("known")
        self.assertEqual(text.returncode, 0, text.stderr)
        for word in ("weights", "KV", "vocabulary", "overhead", "together", "it fits"):
            self.assertIn(word, text.stdout)

    def test_a_file_is_planned_as_a_name_is(self):
        path = self.model("known", "aioss-fake 1\nmemory weights=1000000\n")
        self.assertEqual(self.planned(path)["bytes"], self.planned("known")["bytes"])

    def test_what_does_not_fit_says_what_would(self):
        self.model("vast.Q8_0", "aioss-fake 1\nmemory weights=1000000000000000\n")
        self.model("vast.Q4_0", "aioss-fake 1\nmemory weights=1000000\n")
        self.model("wide", "aioss-fake 1\nmemory weights=10 kv=10000000\n")
        vast = self.planned("vast.Q8_0")
        self.assertFalse(vast["fits"])
        self.assertEqual([option["model"] for option in vast["options"]], ["vast.Q4_0"])
        wide = self.plan("wide")
        self.assertEqual(wide.returncode, 4, wide.stderr)
        self.assertIn("it does not fit", wide.stdout)
        options = self.planned("wide")["options"]
        for option in options:
            self.assertLess(option["context_tokens"] * option["parallel"], 4 * 4096)
        self.assertTrue(options or self.planned("wide")["memory"]["usable"] < 2 << 30)

    def test_refusals_are_one_line(self):
        self.model("broken", "aioss-fake 1\nnonsense\n")
        self.model("crash", "aioss-fake 1\nfail_plan crash\n")
        gguf = self.home / "short.gguf"
        gguf.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 20)
        for arguments, code, words in (
                (("nobody",), 3, "there is no model"), (("broken",), 5, "unknown key"),
                (("crash",), 5, "signal 6"), ((gguf,), 5, ""),
                ((self.home / "no.gguf",), 3, "no such"),
                (("plain", "--kv-type", "q1"), 2, "kv_type"),
                (("plain", "--engine", "llama"), 2, "'fake'"),
                (("plain", "--device", "CUDA0"), 2, "device is 'CUDA0'"),
                (("plain", "--device", "cuda:7"), 2, "cuda:7")):
            result = self.plan(*arguments)
            self.assertEqual(result.returncode, code, (arguments, result.stdout, result.stderr))
            self.assertIn(words, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_a_server_says_the_same(self):
        self.model("known", "aioss-fake 1\nmemory weights=1000000 kv=100\n")
        self.model("broken", "aioss-fake 1\nnonsense\n")
        _, url = self.serve(self.home)
        status, plan = self.get(f"{url}/admin/plan?model=known&ctx=1000&parallel=3&kv_type=q8_0")
        self.assertEqual(status, 200)
        same = self.planned("known", "--ctx", 1000, "--parallel", 3, "--kv-type", "q8_0")
        self.assertEqual(plan["bytes"], same["bytes"])
        self.assertEqual(plan["would_evict"], [])
        for query, code in (("model=nobody", 404), ("model=broken", 500), ("", 400),
                            ("model=known&ctx=x", 400), ("model=known&kv_type=q1", 400)):
            self.assertEqual(self.get(f"{url}/admin/plan?{query}")[0], code, query)


def field(text, name):
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.M)
    return int(found.group(1)) * 1024 if found else 0


def mapped_and_used(pid, model):
    """Bytes of the model's file that were looked at since clear_refs."""
    used, inside = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = model in line
        elif inside and line.startswith("Referenced:"):
            used += int(line.split()[1]) * 1024
    return used


def folder_and_name(model):
    """Of a synthetic one, which is made if need be, in the folder where it is kept."""
    found = re.fullmatch(r"synthetic-(\d+)M\.(\w+)", model)
    if not found:
        return MODELS, model
    path = synthetic_model(int(found.group(1)), found.group(2), f"{MODELS}/{SMOL}.gguf")
    return path.parent, path.stem


def worker_of(process):
    children = []
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        children += (task / "children").read_text().split()
    return [int(child) for child in children]


@unittest.skipUnless(MODELS, "AIOSS_TEST_MODELS names no folder of models")
class Measured(Plan):
    def fill(self, url, model, sequences, context):
        """Every sequence at once, each with a prompt that leaves little of its context."""
        def ask(number):
            # Tokens that both vocabularies have.
            prompt = [300 + (number * 7919 + i * 104729) % 40000 for i in range(context - 40)]
            body = {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0}
            request = urllib.request.Request(
                f"{url}/v1/completions", data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)["usage"]["prompt_tokens"]
        with concurrent.futures.ThreadPoolExecutor(sequences) as pool:
            return list(pool.map(ask, range(sequences)))

    def measure(self, profile, model, sequences, context, kv_type):
        options = ("--profile", profile, "--parallel", sequences, "--ctx", context,
                   "--kv-type", kv_type, "--prefix-mib", 0, "--spill-mib", 0,
                   # Rows for drafts are touched only where drafts are found to pay.
                   "--speculation", "off")
        folder, name = folder_and_name(model)
        process, url = self.serve(folder, "--queue", 64, *options)
        try:
            return self.measure_served(process, url, name, sequences, context)
        finally:
            self.end(process)

    def measure_served(self, process, url, model, sequences, context):
        self.fill(url, model, sequences, context)
        (worker,) = worker_of(process)
        try:
            pathlib.Path(f"/proc/{worker}/clear_refs").write_text("1")
        except PermissionError:
            self.skipTest("this user may not ask which pages a worker looks at")
        self.fill(url, model, sequences, 128)  # looks at all weights
        status = pathlib.Path(f"/proc/{worker}/status").read_text()
        parts = {"anon": field(status, "RssAnon"), "shmem": field(status, "RssShmem"),
                 "mapped": mapped_and_used(worker, model)}
        query = urllib.parse.urlencode({"model": model})
        plan = self.get(f"{url}/admin/plan?{query}")[1]
        return plan["bytes"], parts

    def check(self, session):
        planned, parts = self.measure(*session)
        measured = sum(parts.values())
        ratio = planned["committed"] / measured
        mib = {"measured": measured, **parts, **planned}
        print(*session, f"{ratio:.3f}",
              *(f"{kind}={size / 2**20:.1f}" for kind, size in mib.items()),
              flush=True)
        return ratio

    def test_plans_are_within_five_percent(self):
        for session in QUICK + (MORE if LONG else []):
            with self.subTest(session=session):
                self.assertAlmostEqual(self.check(session), 1, delta=TOLERANCE)


if __name__ == "__main__":
    unittest.main()
