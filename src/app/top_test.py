"""Queues as a client and an operator see them: classes, deadlines, what a full queue answers, and
`aioss top`, over pipes and on a terminal.

The fake engine answers, so that nothing here depends on a model. Standard library only."""
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import unittest
import urllib.error
import urllib.request

from terminal_test import SECONDS, Case, Terminal

LONG = "[[long 1500]]"


class Queues(Case):
    def serve(self, *arguments):
        models = self.home / "models"
        models.mkdir()
        shutil.copy(self.home / "slow.fake", models)
        process = self.start("serve", "--fake-models", "--models-dir", models, "--port", 0,
                             "--parallel", 1, "--log-level", "off", *arguments)
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"aioss listening on http://127\.0\.0\.1:(\d+)\n", line)
        self.assertTrue(found, line + (process.stderr.read().decode() if not line else ""))
        self.port = found.group(1)
        return process

    def post(self, prompt, stream=False, **headers):
        """(status, headers, JSON), or the open answer of a stream."""
        body = {"model": "slow", "messages": [{"role": "user", "content": prompt}],
                "temperature": 0, "stream": stream}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers})
        try:
            answer = urllib.request.urlopen(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, json.load(error)
        if stream:
            self.addCleanup(answer.close)
            return answer
        with answer:
            return answer.status, answer.headers, json.load(answer)

    @staticmethod
    def text(answer):
        return answer[2]["choices"][0]["message"]["content"]

    def queue(self):
        url = f"http://127.0.0.1:{self.port}/admin/queue"
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            models = json.load(answer)["models"]
        return models[0] if models else {}

    def waiting(self):
        return self.queue().get("waiting", {}).get("interactive")

    def wait_until(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def top(self, *arguments, **options):
        return self.aioss("top", "--port", self.port, *arguments, **options)


class Requests(Queues):
    def test_a_deadline_ends_what_runs_and_what_waits(self):
        self.serve()
        running = self.post("[[long 100000]]", stream=True)
        running.readline()
        status, _, waited = self.post("hi", **{"X-Aioss-Deadline": "1"})
        self.assertIn(status, (408, 429), waited)  # measured speed may tell at once
        self.assertIn("deadline", waited["error"]["message"].lower())
        running.close()
        self.wait_until(lambda: self.queue().get("running") == 0, "the first to be cancelled")
        status, _, late = self.post("[[long 1500]]", **{"X-Aioss-Deadline": "1"})
        self.assertEqual(status, 408, late)
        self.assertEqual(late["error"]["code"], "timeout")
        aborts = [r for r in self.records() if r["type"] == "INFER_ABORT"]
        self.assertEqual(aborts[-1]["body"]["cause"], "timeout")

    def test_a_full_queue_says_how_long_it_is(self):
        self.serve("--queue", 2)
        self.assertEqual(self.post("[[long 50]]")[0], 200)  # which measures
        streams = [threading.Thread(target=self.post, args=(LONG,)) for _ in range(3)]
        for thread in streams:
            thread.start()
        self.wait_until(lambda: self.waiting() == 2, "the queue to fill")
        status, headers, full = self.post("hi")
        self.assertEqual(status, 429, full)
        self.assertEqual(full["error"]["position"], 2)
        self.assertGreater(full["error"]["estimate_seconds"], 0)
        self.assertEqual(int(headers["Retry-After"]),
                         min(600, full["error"]["estimate_seconds"]))
        for thread in streams:
            thread.join()

    def test_batch_gives_way_and_comes_back_as_it_was(self):
        self.serve("--overcommit", "on", "--profile", "reproducible")
        undisturbed = self.text(self.post(LONG))
        # The page lags behind answers: the first must not pass for the batch one.
        self.wait_until(lambda: self.queue().get("running") == 0, "the first to be gone")
        texts = []
        batch = threading.Thread(target=lambda: texts.append(
            self.text(self.post(LONG, **{"X-Aioss-Priority": "batch"}))))
        batch.start()
        self.wait_until(lambda: self.queue().get("running") == 1, "batch to run")
        self.assertEqual(self.post("[[long 20]]")[0], 200)
        self.assertTrue(batch.is_alive(), "it did not wait for the batch answer")
        batch.join(SECONDS)
        self.assertEqual(texts, [undisturbed])
        self.wait_until(lambda: self.queue().get("preempted") == 1, "it to be counted")

    def test_tenants_have_limits(self):
        keys = self.home / "keys.txt"
        made = self.aioss("key", "new", "--tenant", "ward", "--user", "u", "--file", keys, "--json")
        key = json.loads(made.stdout)["key"]
        keys.write_text(keys.read_text() + "[tenant.ward] prompt_bytes_max=20 weight=7\n")
        self.serve("--keys", keys)
        owner = {"Authorization": f"Bearer {key}"}
        self.assertEqual(self.post("short", **owner)[0], 200)
        status, _, refused = self.post("x" * 21, **owner)
        self.assertEqual(status, 413, refused)
        self.assertIn("21 bytes and your tenant may send 20", refused["error"]["message"])
        denied = self.top("--key", key)
        self.assertEqual(denied.returncode, 1, denied)
        self.assertIn("the server refuses", denied.stderr)


class Top(Queues):
    def test_nobody_is_there(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        missing = self.aioss("top", "--port", port)
        self.assertEqual(missing.returncode, 3, missing)
        self.assertEqual(missing.stdout, "")
        self.assertRegex(missing.stderr, r"no server answers at http://127\.0\.0\.1:\d+.*start one")
        self.assertEqual(len(missing.stderr.splitlines()), 1)
        gone = self.aioss("top", "--unix", self.home / "no.sock")
        self.assertEqual(gone.returncode, 3, gone)

    def test_one_look(self):
        path = self.home / "a.sock"
        self.serve("--unix", path)
        self.assertIn("No model is loaded", self.top().stdout)
        stream = self.post(LONG, stream=True)
        stream.readline()
        self.wait_until(lambda: self.queue().get("running") == 1, "it to be shown")
        shown = self.top("--once")
        self.assertEqual(shown.returncode, 0, shown)
        self.assertRegex(shown.stdout, r"slow +ready +fake +1 +1 ")
        self.assertNotIn("\x1b", shown.stdout)
        local = self.aioss("top", "--unix", path, "--json")
        self.assertEqual(json.loads(local.stdout)["models"][0]["model"], "slow")

    def on_terminal(self):
        top = Terminal(("top", "--port", self.port), self.environment)
        self.addCleanup(top.close)
        top.expect("\x1b\\[\\?1049h\x1b\\[\\?25l")
        return top

    def expect_given_back(self, top):
        self.assertEqual(top.wait(), 0)
        self.assertTrue(top.seen.endswith("\x1b[?25h\x1b[?1049l"), top.seen)

    def test_a_terminal_is_given_back(self):
        self.serve()
        self.assertEqual(self.post("hi")[0], 200)
        for leave in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            top = self.on_terminal()
            top.expect("1 model, 0 running")
            top.expect("1 model, 0 running")  # the next second
            os.kill(top.pid, leave)
            self.expect_given_back(top)

    # Nobody could make it go on: it is alone in its session, and so it does at once.
    def test_ctrl_z_puts_the_terminal_right_before_it_stops(self):
        self.serve()
        top = self.on_terminal()
        top.send("\x1a")
        top.expect("\x1b\\[\\?25h\x1b\\[\\?1049l")
        top.expect("\x1b\\[\\?1049h\x1b\\[\\?25l")
        top.send("\x03")
        self.expect_given_back(top)

    def test_a_request_under_way_does_not_hold_it(self):
        page = b'{"object":"queue","models":[]}'
        asked = threading.Event()
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        self.port = server.getsockname()[1]

        def answer_once():
            with server.accept()[0] as first:
                first.recv(65536)
                first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
            second = server.accept()[0]
            self.addCleanup(second.close)
            second.recv(65536)
            asked.set()

        threading.Thread(target=answer_once, daemon=True).start()
        top = self.on_terminal()
        self.assertTrue(asked.wait(SECONDS))
        os.kill(top.pid, signal.SIGINT)
        self.expect_given_back(top)
        self.assertNotIn("does not answer in time", top.seen)  # nothing was drawn any more


if __name__ == "__main__":
    unittest.main(verbosity=2)
