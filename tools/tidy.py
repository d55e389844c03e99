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


def source_findings(path, text):
    code = code_only(text)
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
    count, findings = 0, 0
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
