"""The commands as a person and as a script use them: over pipes and over a pseudo-terminal.

The fake engine answers, so that nothing here depends on a model. Standard library only."""
import errno
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import termios
import time
import unittest
import urllib.error
import urllib.request

BINARY = os.environ["AIOSS_BINARY"]
SECONDS = 60  # for what takes milliseconds on a quiet machine
PLAIN = "aioss-fake 1\nreply Hello there.\n"
SLOW = "aioss-fake 1\nreply Hello there.\ndelay_us_per_call 5000\n"


class Case(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="aioss-terminal-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.ledger = self.home / "ledger"
        self.environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "TERM": "xterm",
            "XDG_STATE_HOME": str(self.home / "state"), "AIOSS_LEDGER": str(self.ledger),
            "AIOSS_TUNE": "off"}  # what comes by and by would come between what is looked at
        self.model("plain", PLAIN)
        self.model("slow", SLOW)

    def model(self, name, script):
        path = self.home / f"{name}.fake"
        path.write_text(script)
        return path

    def aioss(self, *arguments, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", self.environment)
        if "input" in options:
            del options["stdin"]
        return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                              timeout=SECONDS, **options)

    def start(self, *arguments, **options):
        process = subprocess.Popen(
            [BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.environment, start_new_session=True, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def run_file(self, name, *arguments, **options):
        return self.aioss("run", self.home / f"{name}.fake", *arguments, **options)

    def records(self):
        result = self.aioss("ledger", "tail", "-n", 1000, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def types(self):
        return [record["type"] for record in self.records()]

    def vkey(self):
        """The key that GENESIS carries is printed on first use only; here the ledger is new."""
        made = self.aioss("ledger", "init", self.ledger, "--json")
        self.assertEqual(made.returncode, 0, made.stderr)
        return json.loads(made.stdout)["vkey"]

    def assert_verifies(self, key):
        result = self.aioss("verify", self.ledger, "--key", key)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


class OneShot(Case):
    def test_only_the_answer_is_on_standard_output(self):
        result = self.run_file("plain", "hi")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "Hello there.\n")

    def test_first_use_makes_a_ledger_and_prints_its_key(self):
        first = self.run_file("plain", "hi")
        key = re.search(r"^aioss: +(\S+\+[0-9a-f]{8}\+\S+)$", first.stderr, re.M)
        self.assertTrue(key, first.stderr)
        self.assert_verifies(key.group(1))
        again = self.run_file("plain", "hi")
        self.assertEqual(again.stderr, "")
        self.assert_verifies(key.group(1))
        without = self.aioss("verify", self.ledger)
        self.assertEqual(without.returncode, 6)
        self.assertIn("SELF-CONSISTENT, UNTRUSTED", without.stdout)

    def test_prompt_from_standard_input_and_both(self):
        only = self.run_file("plain", input="[[echo]]from the pipe")
        self.assertEqual(only.stdout, "from the pipe\n", only.stderr)
        both = self.run_file("plain", "[[echo]]explain:", input="the text")
        self.assertEqual(both.stdout, "explain:\n\nthe text\n", both.stderr)
        neither = self.run_file("plain")
        self.assertEqual(neither.returncode, 2)
        self.assertIn("no prompt", neither.stderr)

    def test_json_and_stats(self):
        result = self.run_file("plain", "hi", "--json", "--seed", "7", "--stats")
        answer = json.loads(result.stdout)
        self.assertEqual(answer["text"], "Hello there.")
        self.assertEqual(answer["finish_reason"], "stop")
        self.assertEqual(answer["seed"], 7)
        self.assertEqual(answer["profile"], "fast")
        self.assertGreater(answer["usage"]["completion_tokens"], 0)
        self.assertIn("seed 7", result.stderr)
        records = {record["index"]: record for record in self.records()}
        self.assertEqual(records[answer["request_record"]]["type"], "INFER_REQUEST")
        end = records[answer["result_record"]]
        self.assertEqual(end["type"], "INFER_RESULT")
        self.assertEqual(end["body"]["ref"], answer["request_record"])
        self.assertEqual(end["body"]["request_id"], answer["request_id"])

    def test_max_tokens_and_stop(self):
        short = json.loads(self.run_file("plain", "hi", "-n", 3, "--json").stdout)
        self.assertEqual(short["finish_reason"], "length")
        self.assertEqual(short["usage"]["completion_tokens"], 3)
        stopped = self.run_file("plain", "hi", "--stop", "there")
        self.assertEqual(stopped.stdout, "Hello \n")

    def interrupt(self, process, signal_number, group):
        os.read(process.stdout.fileno(), 1)  # an answer is under way
        if group:  # as a terminal does it: the worker gets it too, and must not mind
            os.killpg(process.pid, signal_number)
        else:
            process.send_signal(signal_number)
        code = process.wait(SECONDS)
        return code, process.stderr.read().decode()

    def test_interrupt_cancels_and_is_recorded(self):
        key = self.vkey()
        for signal_number, group in ((signal.SIGINT, False), (signal.SIGINT, True),
                                     (signal.SIGTERM, False)):
            process = self.start("run", self.home / "slow.fake", "[[long 100000]]")
            code, errors = self.interrupt(process, signal_number, group)
            self.assertEqual(code, 130, errors)
            aborts = [r for r in self.records() if r["type"] == "INFER_ABORT"]
            self.assertEqual(aborts[-1]["body"]["cause"], "cancelled")
            self.assertEqual(self.types()[-1], "ENGINE_STOP")
            self.assert_verifies(key)

    def test_reader_that_has_enough_ends_the_answer(self):
        key = self.vkey()
        process = self.start("run", self.home / "slow.fake", "[[long 100000]]")
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        self.assertEqual(process.wait(SECONDS), 0)
        self.assertIn("INFER_ABORT", self.types())
        self.assert_verifies(key)

    def test_interrupt_while_loading(self):
        key = self.vkey()
        self.model("heavy", PLAIN + "load_ms 600000\n")
        process = self.start("run", self.home / "heavy.fake", "hi")
        deadline = time.monotonic() + SECONDS
        while "CONFIG_CHANGE" not in self.types():  # the gateway is there
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        time.sleep(0.3)  # and mostly the worker, too; what it has begun makes no difference
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(SECONDS), 130)
        self.assertNotIn("MODEL_LOAD", self.types())
        self.assert_verifies(key)

    def test_engine_failure(self):
        result = self.run_file("plain", "[[fail 4]]")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("aioss: decoding failed", result.stderr)
        self.assertIn("INFER_ABORT", self.types())

    def test_model_without_template_needs_raw(self):
        self.model("bare", PLAIN + "template no\n")
        refused = self.run_file("bare", "hi")
        self.assertEqual(refused.returncode, 2, refused)
        self.assertIn("--raw", refused.stderr)
        # A prompt without turns is continued, never replied to, whether there is a template or not:
        # one token begins the sequence, and one is each byte of the prompt.
        raw = [json.loads(self.run_file(name, "hi", "--raw", "--json", "--temperature", 0).stdout)
               for name in ("bare", "plain")]
        self.assertEqual([one["usage"]["prompt_tokens"] for one in raw], [3, 3])
        self.assertRegex(raw[0]["text"], r"^[a-z ]+$")
        self.assertEqual(raw[0]["text"], raw[1]["text"])

    def test_unknown_models_and_bad_paths(self):
        missing = self.aioss("run", self.home / "none.gguf", "hi")
        self.assertEqual(missing.returncode, 3, missing)
        self.assertFalse(self.ledger.exists())  # a slip of the finger leaves no ledger behind
        (self.home / "models").mkdir()
        shutil.copy(self.home / "plain.fake", self.home / "models")
        unknown = self.aioss("run", "plian", "hi", "--models-dir", self.home / "models",
                             "--fake-models")
        self.assertEqual(unknown.returncode, 3, unknown)
        self.assertIn("did you mean 'plain'", unknown.stderr)

    def assert_fails(self, arguments, code, *parts):
        result = self.aioss(*arguments)
        self.assertEqual(result.returncode, code, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for part in parts:
            self.assertIn(str(part), result.stderr)

    def test_what_is_not_there_is_named_with_its_folder(self):
        nowhere, empty = self.home / "nowhere", self.home / "empty"
        empty.mkdir()
        for command in ("tail",), ("show", 0):
            self.assert_fails(("ledger", *command, nowhere), 3, f"no folder {nowhere};",
                              "ledger init")
            self.assert_fails(("ledger", *command, empty), 3, f"no ledger in {empty};",
                              "ledger init")
        self.assert_fails(("ledger", "tail"), 3, self.ledger)
        self.assert_fails(("verify", nowhere), 1, f"no folder {nowhere};")
        self.assert_fails(("verify", empty), 1, f"no ledger in {empty};")
        self.assert_fails(("verify", empty, "--key", ""), 1, "--key: there is no key in ''")
        self.assert_fails(("verify", empty, "--key", "@" + str(nowhere)), 1, "--key @", nowhere)
        self.assert_fails(("inspect", nowhere), 3, f"{nowhere}: there is no such file")
        self.assert_fails(("run", self.home / "no.gguf", "hi"), 3,
                          f"{self.home}/no.gguf: there is no such file", "aioss models")
        self.assert_fails(("serve", "--config", nowhere), 3, f"configuration file {nowhere}: ")

    def test_help_goes_where_it_was_asked_for(self):
        for arguments in ((), ("--help",), ("help", "run"), ("ledger", "--help"), ("key", "-h")):
            result = self.aioss(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            self.assertIn("usage: aioss ", result.stdout)

    def test_json_is_json(self):
        self.run_file("plain", "hi")
        for arguments in (("version",), ("models", "--models-dir", self.home),
                          ("verify", self.ledger), ("ledger", "show", 0), ("ledger", "tail", "-n1"),
                          ("serve", "--print-config"),
                          ("key", "new", "--tenant", "t", "--user", "u"),
                          ("ledger", "init", self.home / "new")):
            result = self.aioss(*arguments, "--json")
            self.assertIsInstance(json.loads(result.stdout), dict, arguments)

    def test_damaged_ledger_is_refused_and_told(self):
        key = self.vkey()
        self.run_file("plain", "hi")
        segment = next((self.ledger / "seg").iterdir())
        os.chmod(segment, 0o600)
        data = bytearray(segment.read_bytes())
        data[400] ^= 1
        segment.write_bytes(data)
        self.assertEqual(self.aioss("verify", self.ledger, "--key", key).returncode, 2)
        result = self.run_file("plain", "hi")
        self.assertEqual(result.returncode, 5, result)
        self.assertEqual(result.stdout, "")

    def test_pipes_get_no_escape_sequences_of_ours(self):
        for arguments in (("run", self.home / "plain.fake", "hi"), ("ledger", "tail"),
                          ("ledger", "show", 0), ("verify", self.ledger), ("version",),
                          ("models", "--models-dir", self.home)):
            result = self.aioss(*arguments)
            self.assertNotIn("\x1b", result.stdout + result.stderr, arguments)


class Terminal:
    """A program on a pseudo-terminal of 80 columns."""

    def __init__(self, arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(BINARY, [BINARY, *map(str, arguments)], environment)
        self.seen = ""
        self.code = None

    def read_more(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern):
        """Waits for `pattern` in what was not matched yet, and forgets everything up to its end."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            if time.monotonic() > deadline or not self.read_more(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} did not come; seen: {self.seen!r}")

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        deadline = time.monotonic() + SECONDS
        while self.code is None and time.monotonic() < deadline:
            self.read_more(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def close(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


PROMPT = r"> \r\x1b\[2C"  # as the editor draws an empty line
# Bracketed paste goes off when a line is sent: what follows is the answer, and no echo of the line.
SENT = "\r\n\x1b\\[\\?2004l"


class OnATerminal(Case):
    def terminal(self, *arguments):
        terminal = Terminal(arguments, self.environment)
        self.addCleanup(terminal.close)
        return terminal

    def chat(self, name="plain", *arguments):
        terminal = self.terminal("run", self.home / f"{name}.fake", *arguments)
        terminal.expect(PROMPT)
        return terminal

    def modes(self, terminal):
        return termios.tcgetattr(terminal.fd)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)

    def test_chat_answers_and_leaves(self):
        chat = self.chat()
        chat.send("hi\r")
        chat.expect("Hello there\\.\r\n")
        chat.expect(PROMPT)
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)
        self.assertIn("INFER_RESULT", self.types())

    def test_editing_reaches_the_model(self):
        chat = self.chat()
        chat.send("[[echo]]wörld\x01\x1b[3~")  # Ctrl-A, Delete: the directive is broken
        chat.send("[\x05\x7f\x7fLD\x1b[D\x1b[D!\r")
        chat.expect(SENT + "wör!LD\r\n")
        chat.expect(PROMPT)

    def test_history_and_lines(self):
        chat = self.chat()
        chat.send("[[echo]]first\r")
        chat.expect(SENT + "first\r\n")
        chat.expect(PROMPT)
        chat.send("\x1b[A two\\\rthree\r")  # Up; a backslash goes on
        chat.expect(SENT + "first two\r\nthree\r\n")
        chat.expect(PROMPT)
        chat.send("\x1b[200~[[echo]]pasted\rlines\x1b[201~\r")
        chat.expect(SENT + "pasted\r\nlines\r\n")

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        chat = self.chat("slow")
        chat.send("[[long 100000]]\r")
        chat.expect(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}")
        chat.send("\x03")
        chat.expect(r"\(stopped\)")
        chat.expect(PROMPT)
        chat.send("[[reply still here]]\r")
        chat.expect(SENT + "still here\r\n")
        chat.expect(PROMPT)
        chat.send("dropped\x03")
        chat.expect(PROMPT)
        chat.send("\x03")
        chat.expect("Ctrl-D or /exit leaves")
        chat.expect(PROMPT)
        chat.send("/exit\r")
        self.assertEqual(chat.wait(), 0)
        aborts = [r for r in self.records() if r["type"] == "INFER_ABORT"]
        self.assertEqual([r["body"]["cause"] for r in aborts], ["cancelled"])

    def test_the_conversation_is_sent_each_turn_until_it_is_cleared(self):
        chat = self.chat("plain", "--stats")
        sizes = []
        for line in ("one", "one", "/clear", "one", "/clear", "/system be brief", "one"):
            chat.send(line + "\r")
            if not line.startswith("/"):
                sizes.append(int(chat.expect(r"prompt (\d+) tokens").group(1)))
            chat.expect(PROMPT)
        first, second, cleared, system = sizes
        self.assertGreater(second, first)
        self.assertEqual(cleared, first)
        self.assertGreater(system, first)

    def test_commands(self):
        chat = self.chat()
        chat.send("/help\r")
        chat.expect("/clear +forget the conversation")
        chat.expect(PROMPT)
        chat.send("/claer\r")
        chat.expect(r"No command /claer \(did you mean '/clear'\?\)")

    def test_terminal_is_given_back(self):
        for leave in (lambda chat: chat.send("\x04"),
                      lambda chat: os.kill(chat.pid, signal.SIGTERM)):
            chat = self.terminal("run", self.home / "plain.fake")
            before = self.modes(chat)
            chat.expect(PROMPT)
            self.assertNotEqual(self.modes(chat), before)
            leave(chat)
            self.assertIn(chat.wait(), (0, 130))
            self.assertEqual(self.modes(chat), before)
            self.assertIn("\x1b[?2004l", chat.seen)  # bracketed paste is off again

    def test_answers_cannot_move_the_cursor(self):
        evil = "[[reply a\x1b[2Jb\x07c\x9bd]]"
        answer = self.terminal("run", self.home / "plain.fake", evil)
        answer.expect(r"a\[2Jbcd\r\n")
        self.assertEqual(answer.wait(), 0)
        self.assertEqual(self.run_file("plain", evil).stdout, "a\x1b[2Jb\x07c\x9bd\n")

    def test_progress_bar_while_loading(self):
        self.model("heavy", PLAIN + "load_ms 1500\n")
        answer = self.terminal("run", self.home / "heavy.fake", "hi")
        answer.expect(r"loading heavy .*%")
        answer.expect("\r\x1b\\[K")  # and it goes away
        answer.expect("Hello there\\.\r\n")
        self.assertEqual(answer.wait(), 0)

    def test_no_color(self):
        coloured = self.terminal("verify", self.ledger)
        coloured.expect("\x1b\\[31m")
        coloured.wait()
        for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            environment = {**self.environment, variable: value}
            plain = Terminal(("verify", self.ledger), environment)
            self.addCleanup(plain.close)
            plain.wait()
            self.assertNotIn("\x1b", plain.seen)
            self.assertIn("aioss: ", plain.seen)


class Serving(Case):
    def serve(self, *arguments):
        models = self.home / "models"
        if not models.exists():
            models.mkdir()
            shutil.copy(self.home / "slow.fake", models)
        process = self.start("serve", "--fake-models", "--models-dir", models, "--port", 0,
                             *arguments)
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"aioss listening on (http://127\.0\.0\.1:\d+)\n", line)
        self.assertTrue(found, line + (process.stderr.read().decode() if not line else ""))
        self.url = found.group(1)
        return process

    def models(self):
        with urllib.request.urlopen(self.url + "/v1/models", timeout=SECONDS) as answer:
            return sorted(model["id"] for model in json.load(answer)["data"])

    def ask(self, prompt):
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": prompt}]}
        answer = urllib.request.urlopen(urllib.request.Request(
            self.url + "/v1/chat/completions", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}), timeout=SECONDS)
        self.addCleanup(answer.close)
        return answer

    @staticmethod
    def text(stream):
        events = [line[6:] for line in stream.decode().splitlines() if line.startswith("data: {")]
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    def test_start_and_clean_stop(self):
        key = self.vkey()
        process = self.serve()
        self.assertEqual(self.models(), ["slow"])
        self.assertEqual(self.text(self.ask("hi").read()), "Hello there.")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        log = [json.loads(line) for line in process.stderr.read().decode().splitlines()]
        text = json.dumps(log)
        for fact in ("0.1.0", "slow", "fast", str(self.ledger), key, "seccomp"):
            self.assertIn(fact, text)
        self.assertEqual(self.types()[-1], "ENGINE_STOP")
        report = json.loads(self.aioss("verify", self.ledger, "--key", key, "--json").stdout)
        self.assertEqual(report["verdict"], "ok", report)
        self.assertEqual(report["checkpoint_size"], report["records"])  # the last thing it signed

    def test_hangup_reads_the_models_again(self):
        process = self.serve()
        shutil.copy(self.home / "plain.fake", self.home / "models")
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SECONDS
        while self.models() != ["plain", "slow"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_answers_under_way_may_end(self):
        key = self.vkey()
        process = self.serve()
        answer = self.ask("[[long 100]]")
        begin = answer.read(1)
        process.send_signal(signal.SIGINT)
        stream = begin + answer.read()
        self.assertIn(b"[DONE]", stream)
        self.assertEqual(len(self.text(stream)), 100)
        self.assertEqual(process.wait(SECONDS), 0)
        self.assertIn("INFER_RESULT", self.types())
        self.assert_verifies(key)

    def test_second_signal_stops_at_once(self):
        key = self.vkey()
        process = self.serve()
        answer = self.ask("[[long 100000]]")
        answer.read(1)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:  # two signals at once would be one
            if b"stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(5), 130)  # half of what a drain takes
        result = self.aioss("run", self.home / "plain.fake", "hi")  # opens the ledger again
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_verifies(key)
        aborts = [r for r in self.records() if r["type"] == "INFER_ABORT"]
        self.assertEqual([r["body"]["cause"] for r in aborts], ["crash"])

    def test_one_ledger_one_process(self):
        self.serve()
        second = self.run_file("plain", "hi")
        self.assertEqual(second.returncode, 4, second)
        self.assertIn("in use", second.stderr)
        self.assertIn("--ledger", second.stderr)

    def test_tail_follows_a_live_ledger(self):
        self.serve()
        tail = self.start("ledger", "tail", "-n", 1, "--follow", "--json")
        self.assertEqual(json.loads(tail.stdout.readline())["type"], self.types()[-1])
        self.ask("hi").read()
        while json.loads(tail.stdout.readline())["type"] != "INFER_RESULT":
            pass
        tail.send_signal(signal.SIGINT)
        self.assertEqual(tail.wait(SECONDS), 130)

    def test_print_config(self):
        config = self.home / "aioss.toml"
        config.write_text("port = 9000\nthreads = 3\n")
        result = self.aioss("serve", "--print-config", "--json", "--config", config, "--port", 1,
                            env={**self.environment, "AIOSS_CTX": "2048"})
        values = json.loads(result.stdout)
        self.assertEqual(values["port"], {"value": 1, "from": "--port"})
        self.assertEqual(values["ctx"], {"value": 2048, "from": "AIOSS_CTX"})
        self.assertEqual(values["threads"], {"value": 3, "from": f"{config}:2"})
        self.assertEqual(values["queue"], {"value": 256, "from": "default"})
        self.assertFalse(self.ledger.exists())

    def test_bad_configuration_starts_nothing(self):
        config = self.home / "aioss.toml"
        config.write_text("port = 9000\nlegder = \"x\"\n")
        result = self.aioss("serve", "--config", config)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr, f"aioss: {config}:2: unknown key 'legder' "
                                        "(did you mean 'ledger'?)\n")
        self.assertFalse(self.ledger.exists())

    def test_keys(self):
        keys = self.home / "keys.txt"
        made = self.aioss("key", "new", "--tenant", "t", "--user", "u", "--file", keys, "--json")
        key = json.loads(made.stdout)["key"]
        self.assertNotIn(key, keys.read_text())
        self.assertEqual(keys.stat().st_mode & 0o777, 0o600)
        self.serve("--keys", keys)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.models()
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        request = urllib.request.Request(self.url + "/v1/models",
                                         headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            self.assertEqual(answer.status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
