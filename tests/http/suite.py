"""Reads *.test files, matches answers against their patterns. See README.md for the format."""
import json
import pathlib
import re

ELLIPSIS = object()
KINDS = {
    "<string>": lambda v: isinstance(v, str),
    "<int>": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "<number>": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "<bool>": lambda v: isinstance(v, bool),
    "<array>": lambda v: isinstance(v, list),
    "<object>": lambda v: isinstance(v, dict),
}


class SuiteError(Exception):
    pass


class Case:
    """One case: a request and what its answer must be."""

    def __init__(self, file, line, name):
        self.place, self.name = f"{file}:{line}", name
        self.needs, self.twice = "", False
        self.raw = None  # bytes to send as they are, instead of method … body
        self.method = self.path = ""
        self.headers, self.body = {}, None
        self.status, self.expected_headers = 0, []
        self.kind, self.exact, self.pattern = "", False, None
        self.content = {}  # of events: choice -> joined text


def expand(text, variables):
    """${name} and <repeat TEXT COUNT>, in what is sent and in what is expected."""
    def value(match):
        if match.group(1) not in variables:
            raise SuiteError(f"unknown variable ${{{match.group(1)}}}; give it with --set")
        return variables[match.group(1)]
    text = re.sub(r"\$\{(\w+)\}", value, text)
    return re.sub(r"<repeat (.+?) (\d+)>", lambda m: m.group(1) * int(m.group(2)), text)


def parse_file(path, variables):
    cases, current, start = [], [], 0
    lines = pathlib.Path(path).read_text().split("\n")
    for number, line in enumerate([*lines, "== "], 1):
        if line.startswith("== "):
            if start:
                cases.append(parse_case(path, start, current, variables))
            current, start = [line[3:].strip()], number
        elif start:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            raise SuiteError(f"{path}:{number}: text before the first case")
    return cases


def parse_case(path, number, lines, variables):
    case = Case(pathlib.Path(path).name, number, lines[0])
    lines = [expand(line, variables) for line in lines[1:] if not line.startswith("#")]
    if "--" not in lines:
        raise SuiteError(f"{case.place}: no -- between request and answer")
    split = lines.index("--")
    try:
        parse_request(case, lines[:split])
        parse_answer(case, lines[split + 1:])
    except (ValueError, IndexError) as error:
        raise SuiteError(f"{case.place}: {error}") from error
    return case


def parse_request(case, lines):
    while lines and (lines[0] == "twice" or lines[0].startswith("needs ")):
        if lines[0] == "twice":
            case.twice = True
        else:
            case.needs = lines[0].split(" ", 1)[1].strip()
        lines = lines[1:]
    if lines[0] == "raw":
        case.raw = b"".join(raw_line(line) for line in lines[1:] if line.strip())
        return
    case.method, case.path = lines[0].split(" ")
    lines, case.headers = take_headers(lines[1:])
    body = "\n".join(lines).strip("\n")
    if body:
        case.body = body.encode()
        case.headers.setdefault("Content-Type", "application/json")


def take_headers(lines):
    headers = {}
    while lines and lines[0].strip():
        if lines[0][0] in '{["':  # a body needs no empty line before it
            break
        name, value = lines[0].split(":", 1)
        headers[name] = value.strip()
        lines = lines[1:]
    return lines, headers


def raw_line(line):
    """A JSON string, each character one byte; with ` * N` that many times."""
    text, end = json.JSONDecoder().raw_decode(line)
    rest = line[end:].strip()
    return text.encode("latin-1") * (int(rest[1:]) if rest.startswith("*") else 1)


def parse_answer(case, lines):
    case.status = int(lines[0])
    lines = lines[1:]
    while lines and re.match(r"[A-Za-z-]+: ", lines[0]):
        name, value = lines[0].split(": ", 1)
        case.expected_headers.append((name, value))
        lines = lines[1:]
    lines = [line for line in lines if line.strip()]
    if not lines:
        return
    case.kind = "json"
    if lines[0] in ("exact", "text", "events", "empty"):
        case.kind, lines = lines[0], lines[1:]
    if case.kind == "exact":
        case.kind, case.exact = "json", True
    if case.kind == "json":
        case.pattern = json.loads("\n".join(lines))
    elif case.kind == "text":
        case.pattern = lines
    elif case.kind == "events":
        case.pattern = [event_pattern(line) for line in lines if not line.startswith("content ")]
        for line in lines:
            if line.startswith("content "):
                _, choice, text = line.split(" ", 2)
                case.content[int(choice)] = json.loads(text)


def event_pattern(line):
    if line == "...":
        return ELLIPSIS
    return line if line == "[DONE]" else json.loads(line)


def mismatch(pattern, value, exact=False, path=""):
    """Where and how `value` is not as `pattern`; None if it is."""
    if isinstance(pattern, str):
        return text_mismatch(pattern, value, path)
    if isinstance(pattern, dict):
        return object_mismatch(pattern, value, exact, path)
    if isinstance(pattern, list):
        if not isinstance(value, list) or len(value) != len(pattern):
            return f"{path or 'body'}: expected {len(pattern)} elements, got {short(value)}"
        for index, (one, other) in enumerate(zip(pattern, value)):
            if found := mismatch(one, other, exact, f"{path}[{index}]"):
                return found
        return None
    same_type = isinstance(pattern, bool) == isinstance(value, bool)
    if same_type and pattern == value:
        return None
    return f"{path or 'body'}: expected {short(pattern)}, got {short(value)}"


def text_mismatch(pattern, value, path):
    if pattern == "<any>":
        return None
    if pattern in KINDS:
        fits = KINDS[pattern](value)
    elif pattern.startswith("<contains ") and pattern.endswith(">"):
        fits = isinstance(value, str) and pattern[10:-1] in value
    elif pattern.startswith("<length ") and pattern.endswith(">"):
        fits = isinstance(value, (str, list)) and len(value) == int(pattern[8:-1])
    else:
        fits = value == pattern
    return None if fits else f"{path or 'body'}: expected {short(pattern)}, got {short(value)}"


def object_mismatch(pattern, value, exact, path):
    if not isinstance(value, dict):
        return f"{path or 'body'}: expected an object, got {short(value)}"
    for name, one in pattern.items():
        here = f"{path}.{name}" if path else name
        if one == "<absent>":
            if name in value:
                return f"{here}: expected none, got {short(value[name])}"
        elif name not in value:
            return f"{here}: missing"
        elif found := mismatch(one, value[name], exact, here):
            return found
    extra = set(value) - set(pattern)
    if exact and extra:
        return f"{path or 'body'}: not expected: {', '.join(sorted(extra))}"
    return None


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + "…"


def parse_events(text):
    """The events of a stream, parsed; comments are left out."""
    events = []
    if text and not text.endswith("\n\n"):
        raise ValueError("the stream does not end with an empty line")
    for block in text.split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in block.split("\n")
                if line.startswith("data:")]
        if data:
            joined = "\n".join(data)
            events.append(joined if joined == "[DONE]" else json.loads(joined))
    return events


def events_mismatch(patterns, events):
    """As a file name against a pattern: `...` takes any number of events."""
    p = e = 0
    star = star_e = -1
    last = "there are more events than expected"
    while e < len(events):
        if p < len(patterns) and patterns[p] is ELLIPSIS:
            star, star_e, p = p, e, p + 1
            continue
        found = mismatch(patterns[p], events[e]) if p < len(patterns) else last
        if found is None:
            p, e = p + 1, e + 1
        elif star >= 0:
            last = f"event {e}: {found}"
            star_e += 1
            p, e = star + 1, star_e
        else:
            return f"event {e}: {found}"
    while p < len(patterns) and patterns[p] is ELLIPSIS:
        p += 1
    if p == len(patterns):
        return None
    return f"no event for {short(patterns[p])}; nearest: {last}"


def joined_content(events, choice):
    text = ""
    for event in events:
        for one in event.get("choices", []) if isinstance(event, dict) else []:
            if one["index"] == choice:
                text += one.get("text") or one.get("delta", {}).get("content") or ""
    return text
