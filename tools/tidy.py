#!/usr/bin/env python3
"""Repository rules that a compiler does not check. Each finding names the rule and what to do.
Exit 1 if there is any."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
CODE = {".h", ".cc", ".c"}
TEXT = CODE | {".py", ".sh", ".md", ".cmake", ".txt", ".toml", ".json", ".test"}

# (pattern, folders of src where it is allowed, what to do instead)
BANNED = [
    (r"std::regex", set(), "recursive on untrusted input; write a scanner"),
    (r"\bstd::chrono::\w+_clock::now\(", {"os"}, "take a Clock&"),
    (r"\b(std::)?getenv\(", {"os"}, "use os/environment.h"),
    (r"\b(std::)?fopen\(", {"os"}, "use os/file.h"),
    (r"\b(std::)?s?rand\(\)", set(), "take a Random&"),
    (r"\b(std::)?system\(", set(), "use os/process.h"),
    (r"\bstrcpy\(|\bsprintf\(|\bstrcat\(", set(), "use std::string or snprintf"),
    (r"\busing namespace std;", set(), "name what you use"),
    (r"\.detach\(\)", set(), "every thread is joined by its owner"),
    (r"^\s*throw\b", set(), "return an Error"),
    (r"\bassert\(", set(), "use ASSERT, or EXPECT in tests"),
    (r"#\s*ifdef\s+__(linux|APPLE)|#\s*ifdef\s+_WIN32", {"os"}, "platforms differ in src/os only"),
]
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
PATHS = re.compile(r"(?<![\w.])/(work|root|home/\w+)/")
AWAIT = re.compile(r"co_await\b[^;]*(\[[\w&=, ]+\]\s*[({]|\b[A-Z]\w+\{)")
STRINGS = re.compile(r'"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])\'')
COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
CONDITION = re.compile(r"\b(if|while|switch|for)\s*(?:constexpr\s*)?\(")
CO_AWAIT = re.compile(r"\bco_await\b")
RAW = re.compile(r'R"(\w*)\(.*?\)\1"', re.S)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """The text with strings, then comments blanked; line numbers stay."""
    text = RAW.sub(blank, text)
    text = STRINGS.sub(lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', text)
    return COMMENTS.sub(blank, text)


def block_kind(head, parent):
    head = head.strip()
    if re.search(r"\bnamespace\b|extern\s+\"", head):
        return "scope"
    if re.search(r"\b(class|struct|union|enum)\b", head) and not head.endswith(")"):
        return "scope"
    if parent == "scope" and "(" in head and not re.search(r"=\s*$", head):
        return "function"
    return "block"


def functions(code):
    """(first line, last line) of each function body at namespace or class level."""
    stack, head, line, start = [], "", 1, 1
    for char in code:
        if char == "\n":
            line += 1
        if char == "{":
            parent = stack[-1][0] if stack else "scope"
            stack.append((block_kind(head, parent), start))
            head = ""
        elif char == "}":
            if stack:
                kind, first = stack.pop()
                if kind == "function":
                    yield first, line
            head = ""
        elif char == ";":
            head = ""
        else:
            if not head.strip() and not char.isspace():
                start = line
            head += char


def closing(code, opening):
    """Where the parenthesis that opens at `opening` closes."""
    depth = 0
    for at in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return len(code)


def await_findings(code):
    """(line, what) of each co_await in a condition or in a full expression with a ternary. g++ 12
    is known to mishandle some of these, so none is allowed: see tests/toolchain."""
    conditions = [(m.end() - 1, closing(code, m.end() - 1), m.group(1))
                  for m in CONDITION.finditer(code)]
    for found in CO_AWAIT.finditer(code):
        at, line = found.start(), code.count("\n", 0, found.start()) + 1
        inside = [word for first, last, word in conditions if first < at < last]
        begin = max(code.rfind(mark, 0, at) for mark in ";{}") + 1
        end = min((e for e in (code.find(mark, at) for mark in ";{}") if e >= 0),
                  default=len(code))
        # What is under an if is a statement of its own: its condition may have a ternary.
        begin = max([begin] + [last + 1 for first, last, _ in conditions if begin <= first
                               and last < at])
        if inside:
            yield line, f"co_await in the parentheses of {inside[-1]}: name the result first"
        elif "?" in code[begin:end]:
            yield line, "co_await in an expression with a ternary: name the result first"


def self_test():
    """What the rule on co_await must find, and what it must not."""
    found = ["if (!co_await f()) co_return x;", "while (co_await f(a, (b))) g();",
             "if (a &&\n    !co_await f()) {\n}", "if (const bool b = co_await f(); !b) g();",
             "int x = co_await f() ? 1 : 2;", "int x = a ? co_await f() : 2;",
             "co_await f(a ? b : c);", "switch (co_await f()) {\n}",
             "for (int i = co_await f(); i < 2; ++i) g();", "if constexpr (co_await f()) g();",
             "do {\n} while (co_await f());", "if (a) x = b ? co_await f() : c;",
             "if (f([] { return 1; }) && co_await g()) h();"]
    fine = ["if (a) co_return co_await f();", "const bool b = co_await f();\nif (!b) co_return x;",
            "for (bool more = true; more;) more = co_await f();", "// if (!co_await f()) g();",
            "while (a) {\n  co_await f();\n}", 'co_await f("?");', "x = a ? 1 : 2; co_await f();",
            "if (a ? b : c) co_await f();", "co_await f();\nx = a ? 1 : 2;", "co_await f('?');"]
    wrong = [s for s in found if len(list(await_findings(code_only(s)))) != 1]
    wrong += [s for s in fine if list(await_findings(code_only(s)))]
    for sample in wrong:
        print(f"tools/tidy.py: the rule on co_await is wrong about: {sample!r}")
    return len(wrong)


def source_findings(path, text):
    code = code_only(text)
    if path.parts[0] == "src":
        yield from await_findings(code)
    top = path.parts[1] if path.parts[0] == "src" else ""
    for number, line in enumerate(code.split("\n"), 1):
        for pattern, folders, instead in BANNED:
            if top not in folders and re.search(pattern, line):
                yield number, f"banned here: {pattern}: {instead}"
        if AWAIT.search(line) and "toolchain" not in path.parts:
            yield number, "temporary lambda or aggregate with co_await: hoist it (g++ 12 bug)"
    for first, last in functions(code):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"function of {last - first + 1} lines, at most {FUNCTION_LINES_MAX}"
    if path.suffix == ".h" and path.parts[0] == "src" and "#pragma once" not in text:
        yield 1, "header without #pragma once"
    own = path.with_suffix(".h")
    if path.suffix == ".cc" and path.parts[0] == "src" and (ROOT / own).exists():
        first = re.search(r'#include\s+["<]([^">]+)', text)
        if not first or first.group(1) != own.relative_to("src").as_posix():
            yield 1, "own header is included first"


def text_findings(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if path.suffix in CODE | {".py", ".sh", ".cmake"} and len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
        if line != line.rstrip() and path.suffix != ".md":
            yield number, "trailing space"
        if "\t" in line and path.suffix in CODE | {".py", ".cmake"}:
            yield number, "tab"
        if re.search(r"[\x00-\x08\x0b-\x1f]", line):
            yield number, "control character"
        if path.name != "tidy.py" and MARKERS.search(line):
            yield number, "marker of unfinished work: finish it or write it in docs/status.md"
        if path.name != "tidy.py" and PATHS.search(line):
            yield number, "path of one machine"
    if path.suffix in CODE | {".py", ".sh"} and text.count("\n") > FILE_LINES_MAX:
        yield 1, f"file of {text.count(chr(10))} lines, at most {FILE_LINES_MAX}"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"


def repository_files():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.split("\n")
    return [pathlib.Path(n) for n in sorted(set(names)) if n and (ROOT / n).is_file()]


def main():
    count, findings = 0, self_test()
    for path in repository_files():
        if path.suffix not in TEXT and path.name not in ("dev", "run"):
            continue
        count += 1
        text = (ROOT / path).read_text()
        found = list(text_findings(path, text))
        if path.suffix in CODE:
            found += source_findings(path, text)
        for number, what in sorted(found):
            print(f"{path}:{number}: {what}")
        findings += len(found)
    print(f"tidy: {count} files, {findings} findings")
    return 1 if findings or not count else 0


if __name__ == "__main__":
    sys.exit(main())
