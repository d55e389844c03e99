"""The Vulkan engine on Mesa's software driver (lavapipe): the conformance suite, a real model's
logits against the CPU's, and a few tokens through the whole product, its sandbox included.

Usage: vulkan_test.py FOLDER, with aioss-engine-vulkan.so and aioss-engine-check in it, as
`./dev engine vulkan` builds them. Skipped, loudly, without them or without that driver."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402
import skips  # noqa: E402
from aioss_server import MODELS, SMOLLM2, AiossServer  # noqa: E402
from synthetic_model import tiny_model  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path()
PLUGIN, CHECK = BUILT / "aioss-engine-vulkan.so", BUILT / "aioss-engine-check"
MODEL = pathlib.Path(MODELS) / f"{SMOLLM2}.gguf"
DRIVERS = sorted(pathlib.Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
LONG = os.environ.get("AIOSS_LONG", "") not in ("", "0")
SECONDS = 900  # software that plays a GPU, beside other tests


class Vulkan(unittest.TestCase):
    def setUp(self):
        for missing, why in ((not PLUGIN.is_file(), "the Vulkan engine was not built"),
                             (not DRIVERS, "Mesa's software driver is not installed"),
                             (not MODEL.is_file(), "there is no model")):
            if missing:
                skips.skip_loudly(self, why)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-vulkan-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        # ggml hides devices of the kind CPU unless they are asked for.
        self.more = {"VK_ICD_FILENAMES": str(DRIVERS[0]), "GGML_VK_VISIBLE_DEVICES": "0",
                     "AIOSS_ENGINES_DIR": str(self.folder / "engines"),
                     "XDG_STATE_HOME": str(self.folder / "state")}
        os.environ.update(self.more)

    def aioss(self, *arguments, expect=0):
        result = aioss_server.run(*arguments, timeout=SECONDS)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout

    def test_its_file_is_as_a_plugin_should_be(self):
        result = subprocess.run(
            [sys.executable, ROOT / "tools/check_plugin.py", "--also", "libvulkan.so.1", PLUGIN],
            capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def engine_check(self, model, *flags):
        result = subprocess.run([CHECK, PLUGIN, model, "--device", "vulkan:0", *flags],
                                capture_output=True, text=True, timeout=SECONDS)
        print(result.stdout)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_logits_are_the_cpus(self):
        said = self.engine_check(MODEL, "--compare", "--prompt", "12", "--decode", "3")
        self.assertIn("compare   pass", said)

    def test_it_keeps_what_it_promises(self):
        said = self.engine_check(tiny_model(self.folder / "tiny.gguf"), "--plan", "--conformance")
        self.assertRegex(said, r"\nplan      pass: device 0 planned [1-9]")
        self.assertIn("\nconformance pass\n", said)
        verdicts = [line.split() for line in said.splitlines()]
        self.assertGreater(sum(words[:2] == ["pass", "fast:"] for words in verdicts), 30)
        # What cannot be tried here: no adapter is given.
        self.assertEqual([words[2] for words in verdicts if words[0] == "skipped"], ["adapters"])

    def test_experts_may_stay_with_the_cpu(self):
        model = tiny_model(self.folder / "experts.gguf", experts=4)

        def weights(said):
            return int(re.search(r"device 0 planned [0-9]+ \(weights ([0-9]+)", said).group(1))

        some = weights(self.engine_check(model, "--plan", "--cpu-experts", "1"))
        # With experts of its own this driver crashes on prompts (Mesa 22.3).
        said = self.engine_check(model, "--compare", "--plan", "--prompt", "12", "--decode", "3",
                                 "--cpu-experts", "2")
        self.assertIn("compare   pass", said)
        # Three matrices of 4 experts, of 512 × 1,536 numbers, 18 bytes for 32 of them.
        self.assertEqual(some - weights(said), 3 * 4 * 512 * 1536 // 32 * 18)

    def test_what_measures_on_gpus_can_be_run(self):
        """tests/gpu/gpu_bench.py is for machines that are rarely at hand."""
        result = subprocess.run(
            [sys.executable, ROOT / "tests/gpu/gpu_bench.py", "--aioss", aioss_server.BINARY,
             "--plugin", PLUGIN, "--device", "vulkan:0", "--rounds", "1", "--prompt", "20",
             "--tokens", "2", "--clients", "3", "--context", "256",
             "--model", tiny_model(self.folder / "tiny.gguf")],
            capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        for what in ("prefill", "decode, 1 client", "decode, 3 clients"):
            self.assertRegex(result.stdout, rf"\n{what} +tokens/s: aioss +[0-9.]*[1-9][0-9.]* \(")

    @unittest.skipUnless(LONG, "a minute of conformance; --long has it")
    def test_the_product_checks_it(self):
        said = self.aioss("engine", "check", PLUGIN, "--model", tiny_model(self.folder / "t.gguf"),
                          "--device", "vulkan:0", "--quick")
        self.assertIn("passed", said)

    def test_the_product_answers_with_it(self):
        self.aioss("engine", "add", PLUGIN)
        gpus = json.loads(self.aioss("devices", "--json", "--no-bandwidth"))["gpus"]
        self.assertEqual([(g["name"], g["engine"], g["shares_memory"]) for g in gpus],
                         [("vulkan:0", "vulkan", True)])
        question = "The capital of France is"
        with AiossServer("--parallel", "1", "--ctx", "256", "--engine", "vulkan", "--device",
                         "vulkan:0") as server:
            status, _, answer = server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": question, "max_tokens": 3, "temperature": 0})
            self.assertEqual(status, 200, answer)
            on_gpu = answer["choices"][0]["text"]
            starts = [r["body"] for r in server.records() if r["type"] == "ENGINE_START"]
            self.assertIn("vulkan", json.dumps(starts))
            plan = server.get(f"/admin/plan?model={SMOLLM2}&device=vulkan:0")[2]
            self.assertEqual(plan["layers_on"], "vulkan:0", plan)
        with AiossServer("--parallel", "1", "--ctx", "256") as server:
            _, _, answer = server.post("/v1/completions", {
                "model": SMOLLM2, "prompt": question, "max_tokens": 3, "temperature": 0})
            self.assertEqual(answer["choices"][0]["text"], on_gpu)

    def test_a_device_that_is_not_there_is_named(self):
        self.aioss("engine", "add", PLUGIN)
        refused = aioss_server.run("plan", MODEL, "--engine", "vulkan", "--device", "vulkan:9")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("there are cpu, vulkan:0", refused.stdout + refused.stderr)


if __name__ == "__main__":
    skips.main()
