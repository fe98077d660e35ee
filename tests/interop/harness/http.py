"""HTTP/1.1 by hand: a client and a reader that change nothing and hide nothing, which client libraries do."""

import dataclasses
import json
import socket
import ssl
import time


class Closed(Exception):
    """The peer ended the connection before the message was complete; `got` is what came."""

    def __init__(self, got: bytes):
        super().__init__(f"closed after {got[:200]!r}")
        self.got = got


@dataclasses.dataclass
class Message:
    """A request or a response as it was on the wire."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    body_bytes: int = 0
    trailers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    interim: list["Message"] = dataclasses.field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str, default: str | None = None) -> str | None:
        found = self.all(name)
        return found[0] if found else default

    def json(self):
        return json.loads(self.body)


class Reader:
    """Reads messages from a socket. Bodies above `keep` bytes are counted, not kept."""

    def __init__(self, sock: socket.socket, keep: int = 1 << 20):
        self.sock, self.keep, self.buffer = sock, keep, b""

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def _fields(self, text: bytes) -> list[tuple[str, str]]:
        fields = []
        for line in text.split(b"\r\n"):
            if line:
                name, _, value = line.partition(b":")
                fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return fields

    def head(self) -> Message:
        while self.buffer.startswith(b"\r\n"):
            self.buffer = self.buffer[2:]
        text = self._until(b"\r\n\r\n")
        start, _, fields = text.partition(b"\r\n")
        return Message(start.decode("latin-1"), self._fields(fields))

    def _take(self, message: Message, count: int):
        while count > 0:
            if not self.buffer:
                self._more()
            part, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(part)
            self._keep(message, part)

    def _keep(self, message: Message, part: bytes):
        message.body_bytes += len(part)
        if len(message.body) < self.keep:
            message.body += part[: self.keep - len(message.body)]

    def body(self, message: Message, until_close: bool = False):
        if "chunked" in (message.get("transfer-encoding") or "").lower():
            while True:
                size = int(self._until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    break
                self._take(message, size)
                if self._until(b"\r\n"):
                    raise ValueError("chunk longer than its size")
            while line := self._until(b"\r\n"):
                message.trailers += self._fields(line)
        elif message.get("content-length") is not None:
            self._take(message, int(message.get("content-length")))
        elif until_close:
            try:
                while True:
                    self._take(message, 1 << 30)
            except Closed:
                pass

    def request(self) -> Message:
        message = self.head()
        self.body(message)
        return message

    def response(self, method: str = "GET") -> Message:
        interim = []
        while True:
            message = self.head()
            if not 100 <= message.status < 200 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        if method != "HEAD" and message.status not in (101, 204, 304):
            self.body(message, until_close=True)
        return message

    def at_end(self, seconds: float = 10) -> bool:
        """True when the peer has closed and sent nothing more; False when it still waits after `seconds`."""
        self.sock.settimeout(seconds)
        try:
            rest = self.buffer or self.sock.recv(65536)
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        assert not rest, f"more bytes: {rest[:200]!r}"
        return True


class Client:
    """One connection. TLS when `tls` is an ssl.SSLContext."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, sni: str | None = None, timeout: float = 20,
                 address: str = "127.0.0.1", keep: int = 1 << 20, receive_buffer: int | None = None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect((address, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=sni)
        self.reader = Reader(self.sock, keep)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data: bytes):
        self.sock.sendall(data)

    def request(self, host: str, path: str = "/", method: str = "GET", headers: dict | list | None = None, body: bytes | None = None) -> Message:
        fields = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if body is not None and not any(k.lower() in ("content-length", "transfer-encoding") for k, _ in fields):
            fields.append(("Content-Length", str(len(body))))
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"] + [f"{k}: {v}" for k, v in fields]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.reader.response(method)


def trickle(sock: socket.socket, data: bytes, pause: float):
    for i in range(len(data)):
        sock.sendall(data[i:i + 1])
        time.sleep(pause)
