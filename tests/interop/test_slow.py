"""Clients and backends that are slow on purpose: they are cut off in time, and nobody else notices."""

import threading
import time

import pytest

from harness.http import Closed, trickle
from harness.net import eventually


class GoodClient:
    """Asks all the time and remembers the worst answer."""

    def __init__(self, stack, host):
        self.stack, self.host, self.errors, self.worst, self.count = stack, host, [], 0.0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(30)

    def _run(self):
        with self.stack.client() as client:
            while not self._end.wait(0.02):
                begin = time.monotonic()
                try:
                    message = client.request(self.host, "/good")
                    if message.status != 200:
                        self.errors.append(message.status)
                except (OSError, Closed) as error:
                    self.errors.append(repr(error))
                    return
                self.count += 1
                self.worst = max(self.worst, time.monotonic() - begin)

    def assert_unharmed(self):
        """Every request was answered, each within the client's own patience: how soon depends on the machine."""
        assert self.errors == [] and self.count > 0, (self.errors, self.count, self.worst)


def test_slowloris_gets_408_and_is_closed(stack, served):
    """Header deadline of 10 s over all, however the bytes are spread."""
    clients = [stack.client(timeout=30) for _ in range(50)]
    with GoodClient(stack, served) as good:
        begin = time.monotonic()
        for client in clients:
            client.send(f"GET / HTTP/1.1\r\nHost: {served}\r\nX-".encode())
        dripping = threading.Thread(target=drip, args=(clients,), daemon=True)
        dripping.start()
        for client in clients:
            try:
                assert client.reader.response().status == 408
            except (Closed, ConnectionResetError) as error:
                assert not getattr(error, "got", b"")  # Closed without a word is right too.
            client.close()
        assert 5 < time.monotonic() - begin < 28
    good.assert_unharmed()


def drip(clients):
    for _ in range(40):
        for client in clients:
            try:
                client.sock.send(b"a")
            except OSError:
                return
        time.sleep(0.5)


def test_connection_that_says_nothing_costs_nobody(stack, served):
    silent = [stack.client() for _ in range(200)]
    with GoodClient(stack, served) as good:
        time.sleep(1)
    good.assert_unharmed()
    for client in silent:
        client.close()


def test_slow_body_does_not_harm_others(stack, served):
    with GoodClient(stack, served) as good, stack.client() as client:
        client.send(f"POST /up HTTP/1.1\r\nHost: {served}\r\nContent-Length: 40\r\n\r\n".encode())
        trickle(client.sock, b"x" * 40, 0.05)
        assert client.reader.response().json()["body_bytes"] == 40
    good.assert_unharmed()


def test_slow_reader_stops_the_sender(stack, served, backend):
    """A client that reads 1 kB/s: what the backend can send is bounded by buffers, not by the body."""
    size = 200 << 20
    with GoodClient(stack, served) as good, stack.client(receive_buffer=4096, timeout=30) as client:
        client.send(f"GET /bytes/{size} HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
        for _ in range(3):
            assert client.sock.recv(1024)
            time.sleep(1)
        first = backend.bytes_out
        for _ in range(3):
            assert client.sock.recv(1024)
            time.sleep(1)
        assert backend.bytes_out < 32 << 20, "the backend is not held back"
        assert backend.bytes_out - first < 8 << 20
    good.assert_unharmed()
    eventually(lambda: backend.open_connections <= 4)  # The client is gone, so is what was asked for it.


UPGRADE = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
FLOOD = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + bytes(16 << 20))


@pytest.mark.parametrize("path, fields", [(f"/bytes/{1 << 30}", ""), ("/raw/flood", UPGRADE)], ids=["bodies", "tunnels"])
def test_hundreds_that_do_not_read_leave_buffers_for_the_others(stack, served, backend, path, fields):
    """What the kernel receives for them before they can be paused must not be all there is."""
    backend.scripts["flood"] = FLOOD
    clients = [stack.client(receive_buffer=4096) for _ in range(300)]
    with GoodClient(stack, served) as good:
        for client in clients:
            client.send(f"GET {path} HTTP/1.1\r\nHost: {served}\r\n{fields}\r\n".encode())
        time.sleep(8)
    for client in clients:
        client.close()
    good.assert_unharmed()


def test_slow_backend_stops_the_client(stack, backend, host):
    """The backend does not read: what the client can send is bounded."""
    stack.publish(host, backend, annotations={"proxy-body-size": "0"})
    with GoodClient(stack, host) as good, stack.client(timeout=2) as client:
        client.send(f"POST /slow-read/6 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {400 << 20}\r\n\r\n".encode())
        sent = 0
        block = b"z" * (1 << 20)
        try:
            while sent < 300 << 20:
                sent += client.sock.send(block)
        except TimeoutError:
            pass
        assert sent < 64 << 20, f"{sent >> 20} MiB went somewhere"
    good.assert_unharmed()


def test_client_that_leaves_cancels_the_backend(stack, served, backend):
    before = backend.open_connections
    client = stack.client()
    client.send(f"GET /bytes/{1 << 40} HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
    assert client.sock.recv(1000)
    client.close()
    eventually(lambda: backend.open_connections <= before)


@pytest.mark.parametrize("annotation, path", [("proxy-read-timeout", "/sleep/30")])
def test_504_when_the_backend_does_not_answer(stack, backend, host, annotation, path):
    stack.publish(host, backend, annotations={annotation: "1"})
    begin = time.monotonic()
    message = stack.get(host, path, method="POST", body=b"x")
    assert message.status == 504 and 0.8 < time.monotonic() - begin < 15


def test_504_or_502_when_connect_hangs(stack, host):
    """A listener whose backlog is full: connects get no answer."""
    import socket
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        hung = type("Hung", (), {"port": port})
        stack.publish(host, hung, annotations={"proxy-connect-timeout": "1", "proxy-next-upstream-tries": "1"}, wait=False)
        def answer():
            status = stack.get(host, "/").status
            return status if status != 404 else None
        assert eventually(answer, 30) in (502, 504)
        for filler in fillers:
            filler.close()
