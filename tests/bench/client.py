"""A streaming client that measures: raw sockets, a thread for each stream, no HTTP library."""
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
        self.prompt_tokens = self.completion_tokens = 0
        self.text = []
        self.error = None

    @property
    def ttft(self):
        return self.events[0] - self.sent

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


def complete(port, body, path="/v1/completions", timeout=300):
    """One streamed request. Errors are kept in the answer."""
    answer = Answer()
    payload = json.dumps({**body, "stream": True,
                          "stream_options": {"include_usage": True}}).encode()
    request = (f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\n"
               f"Content-Type: application/json\r\nConnection: close\r\n"
               f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload
    answer.sent = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
            sock.sendall(request)
            blocks = _blocks(sock)
            answer.ended = blocks[-1][0] if blocks else 0.0
            done = False
            for now, line in _lines(blocks):
                if line.startswith(b"HTTP/1.1 ") and b" 200" not in line:
                    raise RuntimeError(line.decode())
                if line == b"data: [DONE]":
                    done = True
                elif line.startswith(b"data: "):
                    _note(answer, now, line[6:])
            if not done:
                raise RuntimeError("the stream ended without [DONE]")
    except (OSError, RuntimeError, ValueError) as error:
        answer.error = str(error)
    return answer


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
