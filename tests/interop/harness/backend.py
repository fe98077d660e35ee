"""A backend that is a real HTTP/1.1 server, remembers every request byte by byte, and misbehaves on demand.

What it answers is chosen by the path (after any rewriting):
  /status/N        that status                     /bytes/N      N bytes with Content-Length
  /chunked/N       N bytes in chunks               /trailers     a chunked body and two trailer fields
  /sleep/S         after S seconds                 /reset        RST before any byte
  /close           FIN before any byte             /short        FIN in the middle of the body
  /early           an answer before the body is read             /interim      103, then 200
  /ws              a WebSocket echo                /raw/NAME     the bytes backend.scripts[NAME], then FIN
  anything else    JSON of what it saw
"""

import base64
import dataclasses
import hashlib
import json
import socket
import struct
import threading
import time

from .http import Closed, Message, Reader

BLOCK = b"0123456789abcdef" * 65536  # 1 MiB


@dataclasses.dataclass
class Seen:
    message: Message
    connection: int  # Which of the backend's connections it came on, from 1.


class Backend:
    def __init__(self, name: str, port: int = 0, keep_alive: bool = True):
        self.name, self.keep_alive = name, keep_alive
        self.seen: list[Seen] = []
        self.scripts: dict[str, bytes] = {}
        self.accepted = 0
        self.bytes_in = 0            # Everything that arrived, parsed or not.
        self.bytes_out = 0           # Body bytes of /bytes and /chunked that the socket took.
        self.healthy = True          # What /healthz answers.
        self.fail_all: str | None = None   # "reset", "close", "503": every request but /healthz gets it.
        self.on_frame = lambda opcode, payload: None   # Of a WebSocket's client, before the answer.
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = port
        self.start()

    # ---- life ----

    def start(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        """No more connects (ECONNREFUSED); open connections stay."""
        listener = self._listener
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        listener.close()

    def stop(self):
        self.refuse()
        self.drop_connections()

    def drop_connections(self):
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- what it saw ----

    @property
    def requests(self) -> list[Message]:
        """Without health checks and the harness's own probes."""
        return [seen.message for seen in self.seen
                if not seen.message.target.startswith("/healthz") and seen.message.get("x-probe") is None]

    def paths(self) -> list[str]:
        return [message.target for message in self.requests]

    @property
    def open_connections(self) -> int:
        return len(self._open)

    # ---- serving ----

    def _accept(self, listener: socket.socket):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection, self.accepted), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(sock)
        reader = CountingReader(sock, self)
        try:
            while self._one(sock, reader, number):
                pass
        except (OSError, Closed, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _one(self, sock: socket.socket, reader: Reader, number: int) -> bool:
        message = reader.head()
        path = message.target.partition("?")[0]
        health = path.startswith("/healthz")
        self.seen.append(Seen(message, number))
        if path.startswith("/early"):
            self._send(sock, "413 Content Too Large", b"early\n", close=True)
            return False
        if (message.get("expect") or "").lower() == "100-continue" and not path.startswith("/status/417"):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if path.startswith("/slow-read"):
            time.sleep(float(path.rsplit("/", 1)[1]))
        reader.body(message)
        if self.fail_all and not health:
            return self._fail(sock, self.fail_all)
        if health:
            self._send(sock, "200 OK" if self.healthy else "503 Service Unavailable", b"")
            return True
        wants_close = "close" in (message.get("connection") or "").lower() or not self.keep_alive
        return self._answer(sock, reader, message, path, wants_close) and not wants_close

    def _fail(self, sock: socket.socket, how: str) -> bool:
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if how == "close":
            return False
        self._send(sock, f"{how} Failed", b"failed\n")
        return True

    def _answer(self, sock: socket.socket, reader: Reader, message: Message, path: str, close: bool) -> bool:
        kind, _, argument = path.strip("/").partition("/")
        if kind == "status":
            empty = argument in ("204", "304")
            self._send(sock, f"{argument} Status", None if empty else f"{argument}\n".encode(), close=close)
        elif kind == "bytes":
            self._send_bytes(sock, int(argument), message.method == "HEAD")
        elif kind == "chunked":
            self._send_chunked(sock, int(argument))
        elif kind == "trailers":
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n"
                         b"5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Other: yes\r\n\r\n")
        elif kind == "sleep":
            time.sleep(float(argument))
            self._send(sock, "200 OK", b"late\n", close=close)
        elif kind in ("reset", "close"):
            return self._fail(sock, kind)
        elif kind == "short":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            return False
        elif kind == "interim":
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            self._send(sock, "200 OK", b"after hints\n", close=close)
        elif kind == "ws":
            return self._websocket(sock, reader, message)
        elif kind == "raw":
            sock.sendall(self.scripts[argument])
            return False
        else:
            self._send(sock, "200 OK", self._echo(message), "application/json", close=close, head_only=message.method == "HEAD")
        return True

    def _echo(self, message: Message) -> bytes:
        return json.dumps({"name": self.name, "method": message.method, "target": message.target, "headers": message.headers,
                           "body_bytes": message.body_bytes, "body_sha256": hashlib.sha256(message.body).hexdigest(),
                           "trailers": message.trailers}).encode() + b"\n"

    def _send(self, sock, status: str, body: bytes | None, kind: str = "text/plain", close: bool = False, head_only: bool = False):
        lines = [f"HTTP/1.1 {status}", f"X-Backend: {self.name}", "Date: Thu, 01 Jan 1970 00:00:00 GMT"]
        if body is not None:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        if close:
            lines.append("Connection: close")
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only or body is None else body))

    def _send_bytes(self, sock: socket.socket, count: int, head_only: bool):
        sock.sendall(f"HTTP/1.1 200 OK\r\nX-Backend: {self.name}\r\nContent-Length: {count}\r\n\r\n".encode())
        view = memoryview(BLOCK)
        while count > 0 and not head_only:
            sent = sock.send(view[:min(count, len(BLOCK))])
            count -= sent
            self.bytes_out += sent

    def _send_chunked(self, sock: socket.socket, count: int):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while count > 0:
            part = BLOCK[:min(count, 10007)]
            sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            count -= len(part)
            self.bytes_out += len(part)
        sock.sendall(b"0\r\n\r\n")

    def _websocket(self, sock: socket.socket, reader: Reader, message: Message) -> bool:
        key = message.get("sec-websocket-key")
        if (message.get("upgrade") or "").lower() != "websocket" or key is None:
            self._send(sock, "426 Upgrade Required", b"")
            return True
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while True:
            opcode, payload = read_frame(reader)
            self.on_frame(opcode, payload)
            if opcode == 9:
                sock.sendall(make_frame(10, payload))
            elif opcode != 10:
                sock.sendall(make_frame(opcode, payload))
            if opcode == 8:
                return False


class CountingReader(Reader):
    def __init__(self, sock: socket.socket, backend: Backend):
        super().__init__(sock)
        self.backend = backend

    def _more(self):
        before = len(self.buffer)
        super()._more()
        self.backend.bytes_in += len(self.buffer) - before

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found


def read_frame(reader: CountingReader) -> tuple[int, bytes]:
    """One frame of a client (RFC 6455 section 5.2); fragments are answered as they are."""
    first, second = reader.exactly(2)
    if second < 0x80:
        raise ValueError("a frame of a client without its mask")
    length = second & 127
    if length == 126:
        length = int.from_bytes(reader.exactly(2), "big")
    elif length == 127:
        length = int.from_bytes(reader.exactly(8), "big")
    mask = reader.exactly(4)
    data = reader.exactly(length)
    plain = int.from_bytes(data, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return first & 15, plain.to_bytes(length, "big")


def make_frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([0x80 | opcode, length]) + payload
    if length < 65536:
        return bytes([0x80 | opcode, 126]) + length.to_bytes(2, "big") + payload
    return bytes([0x80 | opcode, 127]) + length.to_bytes(8, "big") + payload
