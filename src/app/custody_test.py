"""What is done with a ledger's keys and copies, by the commands: passphrases from files, from
systemd's folder and from a terminal, a change of key, two operators, backups beside a server.

The fake engine answers, so that nothing here depends on a model. Standard library only."""
import json
import unittest

from terminal_test import Case, Terminal

PASSPHRASE = "correct horse battery"


class Custody(Case):
    def setUp(self):
        super().setUp()
        self.secret = self.home / "passphrase"
        self.secret.write_text(PASSPHRASE + "\n")
        self.keys = self.home / "keys.txt"

    def protected(self, **extra):
        """The environment of somebody who keeps the passphrase in a file."""
        return {**self.environment, "AIOSS_PASSPHRASE_FILE": str(self.secret), **extra}

    def ok(self, *arguments, **options):
        result = self.aioss(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout.strip()

    def fails(self, code, words, *arguments, **options):
        result = self.aioss(*arguments, **options)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertRegex(result.stderr, words)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertEqual(result.stdout, "")

    def init(self, *arguments, **options):
        return json.loads(self.ok("ledger", "init", self.ledger, "--json", *arguments,
                                  **options))["vkey"]

    def operator(self, name, role="operator"):
        path = self.home / f"{name}.key"
        path.write_text(self.ok("key", "new", "--tenant", "it", "--user", name, "--role", role,
                                "--file", self.keys) + "\n")
        return ("--operator-key", f"@{path}", "--keys", self.keys)

    def records_of(self, directory):
        out = self.ok("ledger", "tail", directory, "-n", 1000, "--json")
        return [json.loads(line) for line in out.splitlines()]


class Passphrase(Custody):
    def setUp(self):
        super().setUp()
        self.key = self.init("--protect", "passphrase", env=self.protected())

    def rotate(self):
        return "ledger", "rotate-key", self.ledger, "--reason", "test"

    def terminal(self, *arguments):
        terminal = Terminal(arguments, self.environment)
        self.addCleanup(terminal.close)
        return terminal

    def test_the_key_file_is_encrypted(self):
        content = (self.ledger / "keys" / "signing.key").read_bytes()
        self.assertTrue(content.startswith(b"AIOSSKEY"))
        self.assertNotIn(b"PRIVATE", content)

    def test_from_a_file(self):
        self.assertEqual(self.run_file("plain", "hi", env=self.protected()).stdout,
                         "Hello there.\n")
        self.ok("verify", self.ledger, "--key", self.key)  # needs no passphrase

    def test_from_systemd(self):
        folder = self.home / "credentials"
        folder.mkdir()
        (folder / "aioss-ledger").write_text(PASSPHRASE)
        environment = {**self.environment, "CREDENTIALS_DIRECTORY": str(folder)}
        self.assertEqual(self.run_file("plain", "hi", env=environment).returncode, 0)
        (folder / "aioss-ledger").unlink()
        self.fails(2, "AIOSS_PASSPHRASE_FILE", *self.rotate(), env=environment,
                   start_new_session=True)

    def test_missing_and_wrong(self):
        command = self.rotate()
        self.fails(2, "protected by a passphrase.*AIOSS_PASSPHRASE_FILE", *command,
                   start_new_session=True)  # without a terminal to ask on
        self.secret.write_text("another horse\n")
        self.fails(1, "the passphrase is wrong", *command, env=self.protected())
        self.secret.write_text("\n")
        self.fails(2, "the file is empty", *command, env=self.protected())
        self.secret.unlink()
        self.fails(3, "AIOSS_PASSPHRASE_FILE", *command, env=self.protected())

    def test_short_passphrases_are_not_set(self):
        self.secret.write_text("short")
        self.fails(2, "8 to 1024 bytes", "ledger", "init", self.home / "other", "--protect",
                   "passphrase", env=self.protected())
        self.assertFalse((self.home / "other").exists())

    def test_changed_and_taken_away(self):
        following = self.home / "next"
        following.write_text("another horse\n")
        self.ok("ledger", "protect", self.ledger, "--protect", "passphrase",
                "--new-passphrase-file", following, env=self.protected())
        self.fails(1, "wrong", *self.rotate(), env=self.protected())
        self.secret.write_text("another horse")
        self.ok("ledger", "protect", self.ledger, "--protect", "none", env=self.protected())
        content = (self.ledger / "keys" / "signing.key").read_text()
        self.assertIn("PRIVATE KEY", content)
        self.ok(*self.rotate())
        self.ok("verify", self.ledger, "--key", self.key)
        actions = [record["body"] for record in self.records_of(self.ledger)
                   if record["type"] == "ADMIN_ACTION"]
        self.assertEqual(len(actions), 2)

    def test_on_a_terminal(self):
        terminal = self.terminal(*self.rotate())
        terminal.expect("Passphrase of the ledger's key: ")
        terminal.send(PASSPHRASE + "\r")
        self.assertEqual(terminal.wait(), 0, terminal.seen)
        self.assertNotIn("horse", terminal.seen)
        again = self.terminal(*self.rotate())
        again.expect("Passphrase of the ledger's key: ")
        again.send("\x03")
        self.assertEqual(again.wait(), 130, again.seen)

    def test_a_new_one_is_asked_for_twice(self):
        other = self.home / "other"
        terminal = self.terminal("ledger", "init", other, "--protect", "passphrase")
        terminal.expect("New passphrase: ")
        terminal.send("battery staple\r")
        terminal.expect("The same again: ")
        terminal.send("battery stable\r")
        self.assertEqual(terminal.wait(), 2, terminal.seen)
        self.assertIn("differ", terminal.seen)
        self.assertFalse((other / "seg").exists())


class Rotation(Custody):
    def test_every_key_verifies(self):
        first = self.init()
        self.run_file("plain", "hi")
        second = self.ok("ledger", "rotate-key", self.ledger, "--reason", "yearly")
        made = json.loads(self.ok("ledger", "rotate-key", self.ledger, "--reason", "again",
                                  "--json"))
        self.run_file("plain", "hi")
        for key in (first, second, made["vkey"]):
            self.ok("verify", self.ledger, "--key", key)
        self.assertEqual(sorted(path.name for path in (self.ledger / "keys").iterdir()),
                         ["signing.key"])
        self.assertEqual(self.types().count("KEY_ROTATE"), 2)

    def test_needs_a_reason_and_the_ledger(self):
        self.fails(3, "there is no folder", "ledger", "rotate-key", self.home / "none", "--reason",
                   "x")
        self.init()
        self.fails(2, "--reason is needed", "ledger", "rotate-key", self.ledger)
        self.fails(2, "--request", "ledger", "rotate-key", self.ledger, "--request", "a_1")

    def test_not_while_a_server_runs(self):
        self.init()
        server = self.start("serve", "--port", "0", "--models-dir", str(self.home),
                            "--fake-models")
        self.assertIn(b"listening", server.stdout.readline())
        self.fails(4, "in use by another aioss", "ledger", "rotate-key", self.ledger, "--reason",
                   "x")


class DualControl(Custody):
    def setUp(self):
        super().setUp()
        self.key = self.init("--dual-control", "rotate,erase")
        self.alice, self.bob = self.operator("alice"), self.operator("bob")

    def rotate(self, *more):
        return ("ledger", "rotate-key", self.ledger, *more)

    def test_two_operators_change_the_key(self):
        self.ok("verify", self.ledger, "--key", self.key)
        asked = self.ok(*self.rotate("--reason", "admin left", *self.alice))
        self.assertRegex(asked, r"^a_[0-9a-f]{16}$")
        self.assertNotIn("KEY_ROTATE", self.types())
        waiting = self.ok("ledger", "approve")
        self.assertIn(asked, waiting)
        self.assertIn("rotate by it/alice", waiting)  # as the vault names them
        self.fails(1, "waits for another operator", *self.rotate("--request", asked, *self.alice))
        self.fails(1, "another operator has to approve", "ledger", "approve", asked, *self.alice)
        self.ok("ledger", "approve", asked, self.ledger, *self.bob)
        self.fails(4, "approved already", "ledger", "approve", asked, *self.bob)
        new = self.ok(*self.rotate("--request", asked, *self.alice))
        self.fails(3, "no open request", *self.rotate("--request", asked, *self.alice))
        self.ok("verify", self.ledger, "--key", new)
        rotated = [record["body"] for record in self.records_of(self.ledger)
                   if record["type"] == "KEY_ROTATE"]
        self.assertEqual(len(rotated), 1)
        both = [value for value in rotated[0].values() if isinstance(value, list)]
        self.assertEqual([len(names) for names in both], [2])
        self.assertEqual(len(set(both[0])), 2)
        for name in both[0]:  # by what the vault calls them: no name of a person is in a record
            self.assertRegex(name, r"^it/s_[0-9a-f]{32}$")
        self.assertIn("admin left", rotated[0].values())
        self.assertEqual(self.ok("ledger", "approve"), "")

    def test_only_known_operators(self):
        self.fails(2, "--operator-key", *self.rotate("--reason", "x"))
        carol = self.operator("carol", role="auditor")
        self.fails(1, "carol is no operator", *self.rotate("--reason", "x", *carol))
        self.fails(2, "--keys", *self.rotate("--reason", "x", "--operator-key", "aioss_x"))
        self.fails(1, "does not know this key",
                   *self.rotate("--reason", "x", "--operator-key", "aioss_x", "--keys", self.keys))

    def test_the_policy_cannot_be_taken_away(self):
        (self.ledger / "policy").unlink()
        self.fails(5, "policy", *self.rotate("--reason", "x", *self.alice))

    def test_unknown_actions(self):
        self.fails(2, "cannot be put under dual control", "ledger", "init", self.home / "x",
                   "--dual-control", "everything")


class Copies(Custody):
    def test_backup_beside_a_server_and_two_histories(self):
        key = self.init()
        server = self.start("serve", "--port", "0", "--models-dir", str(self.home),
                            "--fake-models")
        self.assertIn(b"listening", server.stdout.readline())
        copy, new = self.home / "copy", self.home / "new"
        self.fails(1, "not protected by a passphrase", "ledger", "backup", self.ledger, copy,
                   "--with-keys")
        made = self.aioss("ledger", "backup", self.ledger, copy, "--key", key, "--with-keys",
                          "--unprotected-keys", "--json")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("no record says so", made.stderr)
        self.assertEqual(json.loads(made.stdout)["keys"], "unprotected")
        self.ok("verify", copy, "--key", key)
        self.fails(2, "this is a backup", "ledger", "rotate-key", copy, "--reason", "x")
        self.ok("ledger", "restore", copy, new, "--key", key)
        self.ok("ledger", "rotate-key", new, "--reason", "x")
        self.ok("verify", new, "--key", key)
        types = [record["type"] for record in self.records_of(new)]
        self.assertEqual(types.count("KEY_ROTATE"), 2)
        self.assertEqual(types[types.index("KEY_ROTATE") - 1], "RECOVERY")

    def test_original_and_copy_go_on_and_are_a_fork(self):
        key = self.init()
        copy, new = self.home / "copy", self.home / "new"
        self.ok("ledger", "backup", self.ledger, copy, "--with-keys", "--unprotected-keys")
        self.ok("ledger", "restore", copy, new)
        for ledger in (self.ledger, new):
            for _ in range(3):
                self.ok("run", self.home / "plain.fake", "hi", "--ledger", ledger)
            self.ok("verify", ledger, "--key", key)
        proof = self.home / "fork.proof"
        forked = self.aioss("verify", new, "--key", key, "--since",
                            f"@{self.ledger / 'checkpoint'}", "--fork-proof", proof)
        self.assertEqual(forked.returncode, 4, forked.stdout + forked.stderr)
        self.assertEqual(self.aioss("verify", proof, "--key", key).returncode, 4)
        # The other way round: the copy's newest key is none of the original's.
        other = self.aioss("verify", self.ledger, "--key", key, "--since", f"@{new / 'checkpoint'}")
        self.assertEqual(other.returncode, 2, other.stdout + other.stderr)

    def test_a_backup_of_a_ledger_at_rest_is_recorded(self):
        key = self.init()
        self.ok("ledger", "backup", self.ledger, self.home / "copy")
        self.assertEqual(self.types().count("ADMIN_ACTION"), 1)
        self.ok("verify", self.ledger, "--key", key)
        self.fails(4, "is there already", "ledger", "backup", self.ledger, self.home / "copy")
        self.fails(3, "no folder", "ledger", "backup", self.home / "none", self.home / "x")
        self.fails(3, "not a finished backup", "ledger", "restore", self.ledger, self.home / "x")


if __name__ == "__main__":
    unittest.main()
