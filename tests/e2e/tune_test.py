"""`aioss tune`: a model is measured, what was found is shown and kept, and a server that starts
later computes so. What crashes in company is left out. No figure is looked at but which is larger
by far: the test engine sleeps."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import aioss_server  # noqa: E402

FASTER = "aioss-fake 1\nreply one\ndelay_us_per_call 4000\nflash_percent 10\n"


class TuneTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aioss-tune-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.models = self.folder / "models"
        self.models.mkdir()
        self.model = self.models / "m.fake"
        self.model.write_text(FASTER)

    def tune(self, *arguments, expect=0):
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"),
                       "XDG_CONFIG_HOME": str(self.folder / "config")}
        result = aioss_server.run("tune", "m", "--models-dir", self.models, "--fake-models",
                                  *arguments, env=environment)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result

    def test_what_was_measured_is_kept_and_shown(self):
        self.assertIn("was not measured", self.tune("--show", expect=3).stderr)
        measured = json.loads(self.tune("--json").stdout)
        self.assertEqual(measured["chosen"]["flash_attention"], "on")
        self.assertEqual(json.loads(self.tune("--show", "--json").stdout), measured)
        text = self.tune("--show").stdout
        self.assertIn("CANDIDATE", text)
        self.assertIn("chosen: fake", text)
        # Other conditions are another question.
        self.tune("--show", "--parallel", "2", expect=3)
        self.model.write_text(FASTER + "# changed\n")
        self.tune("--show", expect=3)

    def test_what_crashes_in_company_is_unsafe_and_the_others_are_measured(self):
        self.model.write_text(FASTER + "crash_together on\n")
        result = self.tune("--json")
        self.assertIn("fake flash=on: unsafe", result.stderr)
        states = {(one["flash_attention"], one["state"])
                  for one in json.loads(result.stdout)["candidates"]}
        self.assertIn(("on", "unsafe"), states)
        self.assertIn(("off", "measured"), states)

    def test_errors_say_what_to_do(self):
        self.assertIn("1 to 600", self.tune("--budget", "0", expect=2).stderr)
        self.model.unlink()
        self.assertIn("there is no model 'm'", self.tune(expect=3).stderr)


if __name__ == "__main__":
    unittest.main()
