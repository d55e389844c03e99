#!/usr/bin/env python3
"""Runs *.test files against a server that is running. Exit 0 if every case passed.

    run.py --url http://127.0.0.1:8080 [--set NAME=VALUE] [--has NAME] [--only TEXT] FILE…

Requests go over one kept connection until an answer announces its end: a server that closes it
without a word fails the case."""
import argparse
import http.client
import io
import json
import socket
import sys
import urllib.parse

import suite

TIMEOUT_S = 300  # a real model on a busy machine; a stuck server fails in the end


class Answer:
    def __init__(self, reply):
        self.status, self.headers = reply.status, reply.headers
        self.text = reply.read().decode("utf-8", "surrogateescape")
        self.closes = reply.will_close


class Driver:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.connection = None

    def ask(self, case):
        if case.raw is not None:
            return self.ask_raw(case.raw)
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            self.connection.request(case.method, case.path, body=case.body, headers=case.headers)
            answer = Answer(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.drop()
            raise
        if answer.closes:
            self.drop()
        return answer

    def drop(self):
        self.connection.close()
        self.connection = None

    def ask_raw(self, data):
        with socket.create_connection((self.host, self.port), TIMEOUT_S) as connection:
            connection.sendall(data)
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            return Answer(reply)


def check(case, answer):
    """What is wrong with an answer, or None."""
    if answer.status != case.status:
        return f"status: expected {case.status}, got {answer.status}"
    for name, pattern in case.expected_headers:
        values = answer.headers.get_all(name)
        if pattern == "<absent>":
            if values is not None:
                return f"header {name}: expected none, got {values}"
        elif values is None:
            return f"header {name}: missing"
        elif pattern != "<any>" and (len(values) != 1 or not header_fits(pattern, values[0])):
            return f"header {name}: expected {pattern!r}, got {values}"
    if case.kind == "empty":
        return "body: expected none" if answer.text else None
    if case.kind == "text":
        missing = [line for line in case.pattern if line not in answer.text]
        return f"text: missing {missing[0]!r}" if missing else None
    if case.kind == "events":
        return check_events(case, answer)
    if case.kind == "json":
        return suite.mismatch(case.pattern, json.loads(answer.text), case.exact)
    return None


def header_fits(pattern, value):
    if pattern == "<int>":
        return value.isdigit()
    return suite.text_mismatch(pattern, value, "") is None


def check_events(case, answer):
    events = suite.parse_events(answer.text)
    found = suite.events_mismatch(case.pattern, events)
    for choice, expected in case.content.items():
        text = suite.joined_content(events, choice)
        if found is None and suite.mismatch(expected, text) is not None:
            found = f"content of choice {choice}: expected {expected!r}, got {text!r}"
    return found


def run_case(driver, case):
    try:
        answer = driver.ask(case)
        found = check(case, answer)
        if found is None and case.twice:
            again = driver.ask(case)
            first, second = substance(case, answer), substance(case, again)
            if first != second:
                found = f"the second answer differs: {first!r}, then {second!r}"
            answer = again
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}", ""
    return found, answer.text


def substance(case, answer):
    """Of an answer, what the same request must give again."""
    if case.kind == "events":
        events = suite.parse_events(answer.text)
        return [suite.joined_content(events, choice) for choice in range(16)]
    return json.loads(answer.text).get("choices")


def report(out, case, found, text):
    out.write(f"FAIL {case.place}: {case.name}\n  {found}\n")
    if case.pattern is not None and case.kind == "json":
        expected = json.dumps(case.pattern, indent=2, ensure_ascii=False)
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except ValueError:
            pass
        out.write("".join(f"  - {line}\n" for line in expected.split("\n")))
    lines = text.split("\n")
    out.write("".join(f"  + {line[:400]}\n" for line in lines[:60]))
    if len(lines) > 60:
        out.write(f"  + … {len(lines) - 60} more lines\n")


def run(url, files, variables, has=(), only="", out=sys.stdout):
    """(passed, failed)"""
    driver, passed, failed, skipped = Driver(url), 0, 0, 0
    for file in files:
        for case in suite.parse_file(file, variables):
            if only not in case.name:
                continue
            if case.needs and case.needs not in has:
                skipped += 1
                out.write(f"skip {case.place}: {case.name}: needs {case.needs}\n")
                continue
            found, text = run_case(driver, case)
            if found is None:
                passed += 1
                continue
            failed += 1
            report(out, case, found, text)
    if skipped:
        out.write(f"{skipped} skipped\n")
    out.write(f"{passed} passed, {failed} failed\n")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--has", action="append", default=[], metavar="NAME")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    variables = dict(one.split("=", 1) for one in arguments.set)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    passed, failed = run(arguments.url, arguments.files, variables, arguments.has, arguments.only)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
