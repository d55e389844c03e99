"""The product is one executable that needs libc and the loader, and holds no network client."""
import os
import re
import subprocess
import unittest

BINARY = os.environ["AIOSS_BINARY"]
ALLOWED = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
SANITIZED = {"libasan.so.8", "libubsan.so.1", "libtsan.so.2", "libstdc++.so.6", "libgcc_s.so.1"}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Binary(unittest.TestCase):
    def test_needs_only_libc(self):
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", BINARY)))
        self.assertTrue(needed)
        if needed & SANITIZED:
            needed -= SANITIZED  # this build carries the sanitizers' own libraries
        self.assertLessEqual(needed, ALLOWED)

    def test_holds_no_http_client(self):
        self.assertIn(".symtab", output("readelf", "-S", BINARY), "stripped: nothing to look at")
        names = output("nm", "-C", BINARY)
        self.assertNotIn("httplib::Client", names)
        self.assertNotIn("common_download", names)
        self.assertIn("aioss::ledger::", names)

    def test_stack_and_relocations_are_hardened(self):
        headers = output("readelf", "-lWd", BINARY)
        self.assertRegex(headers, r"GNU_STACK.* RW ")
        self.assertIn("GNU_RELRO", headers)
        self.assertRegex(headers, r"BIND_NOW|Flags: NOW")


if __name__ == "__main__":
    unittest.main(verbosity=2)
