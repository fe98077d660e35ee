"""HTTP/2 from both ends of good manners: a client by the `h2` library, and frames by hand for what no library sends."""

import dataclasses
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 7, 8, 11

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec"
H2SPEC_VERSION = "v2.2.1+incompatible"


def h2spec_program() -> tuple[Path | None, str]:
    """The suite's program, built once into the user's cache; or None and the reason."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ringway" / f"h2spec-{H2SPEC_VERSION}"
    program = folder / "h2spec"
    if program.exists():
        return program, ""
    if shutil.which("go") is None:
        return None, "h2spec needs Go to be built, and there is none"
    built = subprocess.run(["go", "install", f"{H2SPEC}@{H2SPEC_VERSION}"], env={**os.environ, "GOBIN": str(folder)}, capture_output=True,
                           text=True, timeout=600, check=False)
    return (program, "") if program.exists() else (None, f"h2spec could not be built: {built.stderr[-300:]}")


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def connect(port: int, sni: str | None = None, timeout: float = 20) -> socket.socket:
    """With `sni`: over TLS, and h2 was chosen."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sni is not None:
        sock = tls_context().wrap_socket(sock, server_hostname=sni)
        assert sock.selected_alpn_protocol() == "h2"
    return sock


# ---- frames by hand ----

def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(value: bytes) -> bytes:
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    out, size = bytes([127]), size - 127
    while size >= 128:
        out, size = out + bytes([size % 128 + 128]), size // 128
    return out + bytes([size]) + value


def block(*fields: tuple[str, str]) -> bytes:
    """Literals without indexing, exactly as given."""
    return b"".join(b"\0" + _text(k.encode("latin-1")) + _text(v.encode("latin-1")) for k, v in fields)


def request_fields(host: str, path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", host), (":path", path), *more]


def headers(stream: int, fields: list[tuple[str, str]], end: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*fields))


class Raw:
    """A connection of frames. Reads what comes in the background, so that the peer never waits for it unless `silent`."""

    def __init__(self, port: int, settings: bytes = b"", silent: bool = False, sni: str | None = None):
        self.sock = connect(port, sni)
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        if not silent:
            threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)   # A close() alone waits for the thread that reads.
        except OSError:
            pass
        self.sock.close()

    def send(self, data: bytes) -> bool:
        """False when the peer has closed."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def _read(self):
        buffer = b""
        try:
            while data := self.sock.recv(1 << 16):
                buffer += data
                while len(buffer) >= 9 and len(buffer) >= 9 + (size := int.from_bytes(buffer[:3], "big")):
                    kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big")
                    with self._changed:
                        self.frames.append((kind, flags, stream, buffer[9:9 + size]))
                        self._changed.notify_all()
                    buffer = buffer[9 + size:]
        except OSError:
            pass
        self.ended.set()
        with self._changed:
            self._changed.notify_all()

    def wait(self, want, seconds: float = 20):
        """The first frame for which `want(kind, flags, stream, payload)`; None when the connection ended without one."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for one in self.frames:
                    if want(*one):
                        return one
                if self.ended.is_set():
                    return None
                if time.monotonic() > deadline:
                    raise AssertionError(f"no such frame within {seconds} s; last of {len(self.frames)}: {self.frames[-3:]}")
                self._changed.wait(0.5)

    def goaway(self, seconds: float = 20) -> int | None:
        """The error code of GOAWAY."""
        found = self.wait(lambda kind, *_: kind == GOAWAY, seconds)
        return None if found is None else int.from_bytes(found[3][4:8], "big")

    def reset_code(self, stream: int) -> int | None:
        found = self.wait(lambda kind, flags, at, payload: (kind == RST_STREAM and at == stream) or kind == GOAWAY)
        return None if found is None else int.from_bytes(found[3][-4:], "big")


# ---- a client with manners ----

@dataclasses.dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    trailers: dict[str, str] = dataclasses.field(default_factory=dict)
    interim: list[int] = dataclasses.field(default_factory=list)
    body: bytes = b""
    body_bytes: int = 0
    ended: bool = False
    reset: int | None = None


class Client:
    """One connection, one thread. Bodies above `keep` bytes are counted, not kept."""

    def __init__(self, port: int, sni: str | None = None, timeout: float = 20, keep: int = 1 << 20):
        import h2.config
        import h2.connection
        self.sock = connect(port, sni, timeout)
        self.scheme, self.keep = "https" if sni else "http", keep
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.unread: set[int] = set()   # Streams whose window stays as full as it gets.
        self.goaway: int | None = None
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def start(self, host: str, path: str = "/", method: str = "GET", headers: list | None = None, end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", self.scheme), (":authority", host), (":path", path),
                                      *(headers or [])], end_stream=end)
        self.answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, end: bool = True):
        while data:
            window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if window == 0:
                self.pump()
                continue
            self.h2.send_data(stream, data[:window], end_stream=end and window == len(data))
            self.flush()
            data = data[window:]

    def pump(self):
        """Reads once."""
        import h2.events as events
        data = self.sock.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        for event in self.h2.receive_data(data):
            answer = self.answers.get(getattr(event, "stream_id", 0))
            if isinstance(event, events.ResponseReceived):
                answer.headers = dict(event.headers)
                answer.status = int(answer.headers[":status"])
            elif isinstance(event, events.InformationalResponseReceived):
                answer.interim.append(int(dict(event.headers)[":status"]))
            elif isinstance(event, events.DataReceived):
                answer.body_bytes += len(event.data)
                answer.body += event.data[:max(0, self.keep - len(answer.body))]
                if event.stream_id in self.unread:
                    self.h2.increment_flow_control_window(event.flow_controlled_length)   # The connection's alone.
                else:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.TrailersReceived):
                answer.trailers = dict(event.headers)
            elif isinstance(event, events.StreamEnded):
                answer.ended = True
            elif isinstance(event, events.StreamReset):
                answer.reset = event.error_code
            elif isinstance(event, events.ConnectionTerminated):
                self.goaway = event.error_code
        self.flush()

    def wait(self, stream: int) -> Answer:
        answer = self.answers[stream]
        while not answer.ended and answer.reset is None:
            self.pump()
        return answer

    def request(self, host: str, path: str = "/", method: str = "GET", headers: list | None = None, body: bytes | None = None) -> Answer:
        stream = self.start(host, path, method, headers, end=body is None)
        if body is not None:
            self.send(stream, body)
        return self.wait(stream)


class GoodClient:
    """Asks one request after the other on one connection until the block ends; every one must be answered 200."""

    def __init__(self, port: int, host: str):
        self.port, self.host = port, host
        self.answered, self.problem = 0, None
        self.seconds: list[float] = []   # Of each answer.
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            client = Client(self.port)
            while not self._stop.is_set():
                begin = time.monotonic()
                answer = client.request(self.host, "/bytes/1000")
                self.seconds.append(time.monotonic() - begin)
                if answer.status != 200 or answer.body_bytes != 1000:
                    raise AssertionError(f"{answer.status}, {answer.body_bytes} bytes, reset {answer.reset}")
                self.answered += 1
                if self.answered % 500 == 0:  # A connection has a limit, and the h2 library takes GOAWAY for the end of everything.
                    client.sock.close()
                    client = Client(self.port)
        except Exception as error:  # Reported in the test's own thread.
            self.problem = repr(error)

    def p99(self, first: int, last: int | None = None) -> float:
        """Of the answers from number `first` to before `last`; infinite when there are none."""
        some = sorted(self.seconds[first:last])
        return some[min(len(some) - 1, len(some) * 99 // 100)] if some else float("inf")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        assert self.problem is None and self.answered > 0, f"after {self.answered} answers: {self.problem}"


# ---- an endpoint that gives ----

class BodyEndpoint:
    """An endpoint of HTTP/2 in clear text: `size` bytes for every request, as far as the windows it is given go."""

    def __init__(self, size: int):
        self.size = size
        self.bytes_out = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket):
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
        h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        h2c.initiate_connection()
        left: dict[int, int] = {}
        try:
            while True:
                for stream in list(left):
                    self._give(h2c, left, stream)
                sock.sendall(h2c.data_to_send())
                data = sock.recv(1 << 16)
                if not data:
                    return
                for event in h2c.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        h2c.send_headers(event.stream_id, [(":status", "200")])
                        left[event.stream_id] = self.size
                    elif isinstance(event, h2.events.StreamReset):
                        left.pop(event.stream_id, None)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            sock.close()

    def _give(self, h2c, left: dict[int, int], stream: int):
        while (bytes_ := min(left[stream], h2c.local_flow_control_window(stream), h2c.max_outbound_frame_size)) > 0:
            left[stream] -= bytes_
            self.bytes_out += bytes_
            h2c.send_data(stream, bytes(bytes_), end_stream=left[stream] == 0)
        if left[stream] == 0:
            del left[stream]
