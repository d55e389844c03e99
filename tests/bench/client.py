"""A streaming client that measures: raw sockets, a thread for each stream, no HTTP library."""
import contextlib
import json
import random
import socket
import threading
import time

WORDS = ("ledger audit court bank ward ministry record proof chain custody clerk judge patient "
         "budget invoice contract treaty permit witness archive hearing appeal policy review tax "
         "deed statute grant tender nurse dosage consent claim").split()


def prompt(seed, words):
    """Text that shares no beginning with another seed's: prefix caches must help neither side."""
    rng = random.Random(seed)
    return f"{rng.randrange(10**9)} " + " ".join(rng.choice(WORDS) for _ in range(words))


class Answer:
    def __init__(self):
        self.sent = self.ended = 0.0
        self.events = []  # arrival time of each event that brought text
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
        self.text = []
        self.error = None

    @property
    def ttft(self):
        return self.events[0] - self.sent

    def text_whole(self):
        return "".join(self.text)

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.events, self.events[1:])]


def _blocks(sock):
    """(arrival time, bytes) of everything up to the end. Nothing is looked at yet: on a machine of
    two cores the client's work would be taken from the server's."""
    blocks = []
    while True:
        block = sock.recv(65536)
        if not block:
            return blocks
        blocks.append((time.perf_counter(), block))


def _lines(blocks):
    """Payload lines of a chunked SSE answer. Chunk framing is skipped: no payload line of ours can
    be mistaken for a chunk size, because each begins with 'data: '."""
    pending = b""
    for now, block in blocks:
        pending += block
        *complete, pending = pending.split(b"\n")
        for line in complete:
            yield now, line.rstrip(b"\r")


def _note(answer, now, payload):
    event = json.loads(payload)
    if "error" in event:
        raise RuntimeError(event["error"])
    for choice in event.get("choices") or []:
        text = choice.get("text") or (choice.get("delta") or {}).get("content")
        if text:
            answer.events.append(now)
            answer.text.append(text)
    if event.get("usage"):
        answer.prompt_tokens = event["usage"]["prompt_tokens"]
        answer.completion_tokens = event["usage"]["completion_tokens"]
        details = event["usage"].get("prompt_tokens_details") or {}
        answer.cached_tokens = details.get("cached_tokens") or 0


def request_bytes(port, body, path="/v1/completions", key=None):
    """A streamed request as it goes over the wire; `key`: an API key."""
    payload = json.dumps({**body, "stream": True,
                          "stream_options": {"include_usage": True}}).encode()
    identity = f"Authorization: Bearer {key}\r\n" if key else ""
    return (f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{identity}"
            f"Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload


def _read(answer, blocks):
    """Fills the answer from what came. True: to its end."""
    answer.ended = blocks[-1][0] if blocks else 0.0
    done = False
    for now, line in _lines(blocks):
        if line.startswith(b"HTTP/1.1 ") and b" 200" not in line:
            raise RuntimeError(line.decode())
        if line == b"data: [DONE]":
            done = True
        elif line.startswith(b"data: "):
            _note(answer, now, line[6:])
    return done


def complete(port, body, path="/v1/completions", timeout=300, key=None):
    """One streamed request. Errors are kept in the answer."""
    answer = Answer()
    request = request_bytes(port, body, path, key)
    answer.sent = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
            sock.sendall(request)
            if not _read(answer, _blocks(sock)):
                raise RuntimeError("the stream ended without [DONE]")
    except (OSError, RuntimeError, ValueError) as error:
        answer.error = str(error)
    return answer


class Stream:
    """A request that is read by a thread of its own, and that may be left before its end."""

    def __init__(self, port, body, path="/v1/completions"):
        self._answer = Answer()
        self._blocks = []
        self._left = False
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._answer.sent = time.perf_counter()
        self._socket.sendall(request_bytes(port, body, path))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self):
        try:
            while block := self._socket.recv(65536):
                self._blocks.append((time.perf_counter(), block))
        except OSError:
            pass  # it was left, or its server ended: answer() sees what is missing

    def events(self):
        """So far."""
        return sum(block.count(b"data: ") for _, block in self._blocks)

    def leave(self):
        self._left = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def answer(self):
        """Waits for the end, unless it was left."""
        self._thread.join()
        self._socket.close()
        if not _read(self._answer, self._blocks) and not self._left:
            raise RuntimeError("a stream ended without [DONE]")
        return self._answer


def ask_and_never_read(port, body, path="/v1/completions"):
    """An open connection whose answer nobody reads. Small buffers: the server's are what counts."""
    payload = json.dumps({**body, "stream": True}).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json"
                 f"\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
    return sock


def burst(port, bodies, apart=0.0):
    """All bodies, one thread each, so many seconds apart; (answers, seconds from first to last)."""
    answers = [None] * len(bodies)

    def run(i):
        answers[i] = complete(port, bodies[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(bodies))]
    start = time.perf_counter()
    for i, thread in enumerate(threads):
        if apart:
            time.sleep(max(0.0, start + i * apart - time.perf_counter()))
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if answer.error:
            raise RuntimeError(f"a benchmark request failed: {answer.error}")
    return answers, max(a.ended for a in answers) - start
