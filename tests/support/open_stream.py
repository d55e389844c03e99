"""A streamed completion read by hand, so that a test can stop in the middle. Standard library."""
import json
import socket


class OpenStream:
    """data: what was received, HTTP's head and chunk framing included. body None: a GET."""

    def __init__(self, server, body, receive_buffer=None, headers=None, path="/v1/completions"):
        payload = b"" if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
                 f"Content-Length: {len(payload)}",
                 *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(120)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        self.data = b""

    def read_some(self):
        block = self.socket.recv(4096)
        if not block:
            raise AssertionError(f"the stream ended early: {self.data[-500:]!r}")
        self.data += block

    def read_bytes(self, count):
        while len(self.data) < count:
            self.read_some()

    def read_events(self, count):
        while self.data.count(b"data: ") < count:
            self.read_some()

    def read_to_end(self):
        """Up to the last chunk of the body."""
        while not self.data.endswith(b"\r\n0\r\n\r\n"):
            self.read_some()

    def events(self):
        """The JSON of each event; of a stream that was read to its end."""
        body, rest = b"", self.data.partition(b"\r\n\r\n")[2]
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[:int(size, 16)]
            rest = rest[int(size, 16) + 2:]
        return [json.loads(line[6:]) for line in body.decode().split("\n")
                if line.startswith("data: {")]

    def text(self):
        return "".join(c["text"] for e in self.events() for c in e.get("choices") or [])

    def close(self):
        self.socket.close()
