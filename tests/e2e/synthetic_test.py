"""The generator of synthetic models: their size, that they can be planned, and that they answer.
Usage: synthetic_test.py"""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import synthetic_model  # noqa: E402
from aioss_server import AiossServer, run  # noqa: E402

MIB = 96
TOKENS = 49152  # of SmolLM2


class Shapes(unittest.TestCase):
    def test_weights_are_as_large_as_wanted(self):
        for kind, (_, _, block, _) in synthetic_model.TYPES.items():
            for mib in (64, 128, 512, 1024, 2048):
                shape = synthetic_model.shape_for(mib << 20, kind, TOKENS)
                size = shape.values() // synthetic_model.VALUES * block
                self.assertAlmostEqual(size / (mib << 20), 1, delta=0.02, msg=(mib, kind, shape))
                self.assertLessEqual(shape.layers, synthetic_model.LAYERS_MAX)
                for _, (inputs, outputs) in shape.matrices():
                    self.assertEqual((inputs % 32, outputs % 32), (0, 0))

    def test_a_vocabulary_needs_its_bytes(self):
        with self.assertRaises(ValueError):
            synthetic_model.shape_for(1 << 20, "Q4_0", TOKENS)


class Models(unittest.TestCase):
    def test_a_full_disk_is_left_alone(self):
        few = mock.Mock(free=synthetic_model.SPARE_BYTES)
        with tempfile.TemporaryDirectory() as home, \
                mock.patch.dict(os.environ, AIOSS_SYNTHETIC_DIR=home), \
                mock.patch("shutil.disk_usage", return_value=few):
            with self.assertRaisesRegex(OSError, "AIOSS_SYNTHETIC_DIR"):
                synthetic_model.synthetic_model(MIB)
            self.assertEqual(os.listdir(home), [])

    def test_it_is_planned_and_answers(self):
        for kind in synthetic_model.TYPES:
            path = synthetic_model.synthetic_model(MIB, kind)
            self.assertAlmostEqual(path.stat().st_size / (MIB << 20), 1, delta=0.05)
            plan = run("plan", path, "--ctx", 512, "--parallel", 1, "--json")
            self.assertEqual(plan.returncode, 0, plan.stderr)
            # The output layer is the table of tokens: what is repacked of it is there twice.
            self.assertGreaterEqual(json.loads(plan.stdout)["bytes"]["weights"], 0.99 * MIB * 2**20)
            with tempfile.TemporaryDirectory(prefix="aioss-models-") as folder:
                shutil.copy(path, folder)
                with AiossServer("--ctx", 512, models=folder) as server:
                    self.ask(server, path.stem)

    def ask(self, server, name):
        body = {"model": name, "prompt": "The clerk", "max_tokens": 8, "ignore_eos": True,
                "temperature": 0}
        texts = []
        for _ in range(2):
            status, _, answer = server.post("/v1/completions", body)
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["usage"]["completion_tokens"], 8)
            texts.append(answer["choices"][0]["text"])
        self.assertEqual(texts[0], texts[1])
        self.assertGreater(len(texts[0].strip()), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
