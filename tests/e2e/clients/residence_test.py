"""Models that come and go, against the real binary with the scripted engine: what those are told
who wait for a load, by hand and with the official client, and `aioss ps|load|unload|pin`."""
import json
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.request

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from aioss_server import AiossServer, run, wait_until  # noqa: E402

REPLY = "Here I am."
SLOW = "load_ms 3000\n"
MODELS = {"quick": "", "slow": SLOW, "slow2": SLOW, "slow3": SLOW, "endless": "load_ms 600000\n",
          "damaged": "fail_load corrupt\n"}
QUESTION = [{"role": "user", "content": "Are you there?"}]
WATCH = {"X-Aioss-Progress": "1"}


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="aioss-models-")
        for name, script in MODELS.items():
            path = pathlib.Path(cls.folder.name) / f"{name}.fake"
            path.write_text(f"aioss-fake 1\nreply {REPLY}\n{script}")
        cls.server = AiossServer(fake=True, models=cls.folder.name)
        cls.server.start()
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="unused",
                                   max_retries=0, timeout=120)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__(None)
        cls.folder.cleanup()

    def setUp(self):
        for name in self.loaded():
            self.command("unload", name, "--force")

    def command(self, *arguments, expect=0):
        result = run(*arguments, "--port", self.server.port)
        self.assertEqual(result.returncode, expect, result)
        return result

    def loaded(self):
        models = json.loads(self.command("ps", "--json").stdout)["models"]
        return {m["name"]: m for m in models if m["state"] in ("ready", "loading")}

    def chat(self, model, client=None, **options):
        return (client or self.client).chat.completions.create(
            model=model, messages=QUESTION, temperature=0, **options)

    def test_stream_is_told_how_far_the_load_is(self):
        request = urllib.request.Request(
            self.server.url + "/v1/chat/completions",
            data=json.dumps({"model": "slow", "messages": QUESTION, "stream": True}).encode(),
            headers=WATCH)
        with urllib.request.urlopen(request, timeout=120) as answer:
            events = answer.read().decode().split("\n\n")
        told = [json.loads(e.partition("\ndata: ")[2]) for e in events
                if e.startswith("event: aioss.progress\n")]
        self.assertGreater(len(told), 1)
        fractions = [t["aioss"]["progress"]["fraction"] for t in told]
        self.assertEqual(fractions, sorted(fractions))
        self.assertTrue(all(0 <= f <= 1 for f in fractions), fractions)
        for chunk in told:
            self.assertEqual(chunk["choices"], [])
            # Its last worker may still be on its way out.
            self.assertIn(chunk["aioss"]["progress"]["state"], ("unloading", "loading"))
        self.assertEqual(events[-2], "data: [DONE]")

    def test_openai_client_reads_past_it(self):
        chunks = list(self.chat("slow2", stream=True, extra_headers=WATCH))
        told = [c for c in chunks if not c.choices]
        self.assertGreater(len(told), 0)
        self.assertIn("progress", told[0].aioss)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, REPLY)

    def test_openai_client_that_does_not_ask_sees_nothing_of_it(self):
        chunks = list(self.chat("slow3", stream=True))
        self.assertTrue(all(c.choices for c in chunks))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")

    def test_wait_ends_with_how_far_it_is_and_the_client_comes_back(self):
        with self.assertRaises(openai.InternalServerError) as raised:
            self.chat("slow", extra_headers={"X-Aioss-Load-Wait": "0"})
        self.assertEqual(raised.exception.status_code, 503)
        self.assertEqual(raised.exception.code, "model_loading")
        self.assertIn(raised.exception.body["load"]["state"], ("unloading", "loading"))
        self.assertGreaterEqual(int(raised.exception.response.headers["Retry-After"]), 1)
        patient = self.client.with_options(max_retries=8)
        answer = self.chat("slow", patient, extra_headers={"X-Aioss-Load-Wait": "0"})
        self.assertEqual(answer.choices[0].message.content, REPLY)

    def test_slow_load_holds_up_no_loaded_model(self):
        self.command("load", "quick")
        self.command("load", "endless", "--no-wait")
        self.assertEqual(self.chat("quick").choices[0].message.content, REPLY)
        self.assertEqual(self.loaded()["endless"]["state"], "loading")
        self.command("unload", "endless")
        self.assertNotIn("endless", self.loaded())

    def test_many_wait_for_one_load(self):
        texts = []
        threads = [threading.Thread(target=lambda: texts.append(
            self.chat("slow").choices[0].message.content)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(texts, [REPLY] * 8)
        wait_until(lambda: len(self.server.worker_pids()) == 1, what="one worker for all")

    def test_keep_alive_of_a_request(self):
        self.chat("quick", extra_body={"keep_alive": "1h"})
        model = wait_until(lambda: self.client.models.retrieve("quick").aioss.get("expires_at"))
        self.assertGreater(model, 1_700_000_000)
        self.chat("quick", extra_body={"keep_alive": 0})
        wait_until(lambda: "quick" not in self.loaded(), what="unloading after use")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.chat("quick", extra_body={"keep_alive": "soon"})
        self.assertEqual(raised.exception.param, "keep_alive")

    def test_commands(self):
        self.command("load", "quick")
        self.assertEqual(self.loaded()["quick"]["state"], "ready")
        self.command("pin", "quick")
        self.assertTrue(self.loaded()["quick"]["pinned"])
        self.assertRegex(self.command("ps").stdout, r"quick +ready .*pinned")
        refused = self.command("unload", "quick", expect=4)
        self.assertIn("pinned", refused.stderr)
        self.command("pin", "quick", "--off")
        self.command("unload", "quick")
        self.assertEqual(self.loaded(), {})
        failed = self.command("load", "damaged", expect=5)
        self.assertIn("the script says: corrupt", failed.stderr)
        self.assertRegex(self.command("ps").stdout, r"damaged +failed .*again in \d+ s")
        self.assertEqual(self.command("load", "nosuch", expect=3).stdout, "")
        self.command("load", "no/such", expect=2)
        self.assertIn("aioss serve", run("ps", "--port", "1").stderr)
        actions = {r["body"]["action"] for r in self.server.records()
                   if r["type"] == "ADMIN_ACTION"}
        self.assertLessEqual({"load", "unload", "pin", "unpin"}, actions)

    def test_failed_load_is_refused_at_once_with_a_time(self):
        for _ in range(5):  # each waits twice as long: one of them comes soon enough
            with self.assertRaises(openai.InternalServerError) as raised:
                self.chat("damaged")
            self.assertEqual(raised.exception.code, "model_corrupt")
            if "load" in raised.exception.body:
                break
        self.assertEqual(raised.exception.body["load"]["state"], "failed")
        self.assertGreaterEqual(int(raised.exception.response.headers["Retry-After"]), 1)


if __name__ == "__main__":
    unittest.main()
