#!/usr/bin/env python3
"""The matcher must see what is wrong: a suite that takes everything proves nothing. And every
*.test file must parse."""
import pathlib
import unittest

import suite

HERE = pathlib.Path(__file__).resolve().parent


def case(text, **variables):
    return suite.parse_case("x.test", 1, text.split("\n"), variables)


class Patterns(unittest.TestCase):
    def test_subsets_and_kinds(self):
        value = {"a": 1, "b": [True, None, "text"], "c": {"d": 1.5}}
        for pattern in [{}, {"a": 1}, {"a": "<int>"}, {"b": [True, None, "<contains ex>"]},
                        {"b": "<length 3>"}, {"c": {"d": "<number>"}}, {"x": "<absent>"}, "<any>"]:
            self.assertIsNone(suite.mismatch(pattern, value), pattern)
        for pattern in [{"a": 2}, {"a": "1"}, {"a": True}, {"a": "<string>"}, {"a": "<absent>"},
                        {"b": []}, {"b": [True, None]}, {"b": [1, None, "text"]}, {"x": "<any>"},
                        {"c": {"d": "<int>"}}, {"b": [True, None, "<contains no>"]}, [], "text"]:
            self.assertIsNotNone(suite.mismatch(pattern, value), pattern)

    def test_exact_wants_no_more(self):
        self.assertIsNone(suite.mismatch({"a": {"b": 1}}, {"a": {"b": 1}}, exact=True))
        self.assertIn("c", suite.mismatch({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, exact=True))

    def test_a_mismatch_names_its_place(self):
        found = suite.mismatch({"a": [{"b": 1}]}, {"a": [{"b": 2}]})
        self.assertTrue(found.startswith("a[0].b: "), found)

    def test_events(self):
        some = suite.ELLIPSIS
        events = [{"n": 1}, {"n": 2}, {"n": 2}, {"n": 3}, "[DONE]"]
        for patterns in [[some], [{"n": 1}, some, "[DONE]"], [some, {"n": 3}, "[DONE]"],
                         [some, {"n": 2}, {"n": 3}, some], [some, some, {"n": 2}, some]]:
            self.assertIsNone(suite.events_mismatch(patterns, events), patterns)
        for patterns in [[], [some, {"n": 3}], [{"n": 1}, "[DONE]"], [some, "[DONE]", {"n": 1}],
                         [some, {"n": 4}, some], [some, {"n": 3}, {"n": 2}, some]]:
            self.assertIsNotNone(suite.events_mismatch(patterns, events), patterns)

    def test_streams(self):
        text = ': ping\n\ndata: {"n": 1}\n\ndata: [DONE]\n\n'
        self.assertEqual(suite.parse_events(text), [{"n": 1}, "[DONE]"])
        with self.assertRaises(ValueError):
            suite.parse_events('data: {"n": 1}')  # cut off


class Files(unittest.TestCase):
    def test_a_case(self):
        found = case('name\ntwice\nneeds gpu\nPOST /a\nX-A: b\n\n{"p": "<repeat ab 3>${m}"}\n--\n'
                     '400\nX-B: <any>\nexact\n{"c": 1}', m="!")
        self.assertEqual((found.twice, found.needs), (True, "gpu"))
        self.assertEqual((found.method, found.path), ("POST", "/a"))
        self.assertEqual(found.body, b'{"p": "ababab!"}')
        self.assertEqual(found.headers["X-A"], "b")
        self.assertEqual((found.status, found.exact, found.pattern), (400, True, {"c": 1}))
        self.assertEqual(found.expected_headers, [("X-B", "<any>")])

    def test_raw(self):
        self.assertEqual(case('n\nraw\n"a\\r\\n"\n"\\u00ffb" * 2\n--\n200').raw, b"a\r\n\xffb\xffb")

    def test_faults_are_told(self):
        for text in ["n\nGET /\n200", "n\nGET /\n--\nok", "n\nGET\n--\n200",
                     "n\nGET /${no}\n--\n200", "n\nGET /\n--\n200\n{"]:
            with self.assertRaises(suite.SuiteError, msg=text):
                case(text)

    def test_every_file_parses(self):
        files = sorted(HERE.glob("*.test"))
        self.assertGreaterEqual(len(files), 6)
        for path in files:
            self.assertTrue(suite.parse_file(path, {"model": "m"}), path)


if __name__ == "__main__":
    unittest.main()
