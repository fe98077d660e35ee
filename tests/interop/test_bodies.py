"""Large bodies: every byte arrives, memory stays flat."""

import socket
import threading
import time

import pytest

from harness.backend import BLOCK
from harness.http import Client

FLAT_KIB = 24 * 1024  # Growth allowed while a body of any size streams: buffers of two sockets and of the pools.


class Watcher:
    """Peak resident memory of the data process while the block runs."""

    def __init__(self, stack):
        self.stack, self.before, self.peak = stack, stack.rss_kib(), 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self):
        while not self._end.wait(0.05):
            self.peak = max(self.peak, self.stack.rss_kib())

    def assert_flat(self):
        assert self.peak - self.before < FLAT_KIB, f"grew from {self.before} to {self.peak} KiB"


@pytest.fixture(scope="module")
def size(quick) -> int:
    return (2 if quick else 10) << 30


@pytest.fixture
def unlimited(stack, backend, host):
    stack.publish(host, backend, annotations={"proxy-body-size": "0"})
    return host


def drain(client: Client) -> int:
    """Reads and counts a body with Content-Length, as fast as Python can."""
    head = client.reader.head()
    left = int(head.get("content-length")) - len(client.reader.buffer)
    buffer = bytearray(1 << 20)
    while left > 0:
        got = client.sock.recv_into(buffer, min(left, len(buffer)))
        if got == 0:
            break
        left -= got
    return left


@pytest.mark.memory
@pytest.mark.timeout(400)
def test_huge_download_is_flat(stack, unlimited, size):
    with Watcher(stack) as watcher, stack.client(timeout=60) as client:
        client.send(f"GET /bytes/{size} HTTP/1.1\r\nHost: {unlimited}\r\n\r\n".encode())
        assert drain(client) == 0
        assert client.request(unlimited, "/next").status == 200
    watcher.assert_flat()


@pytest.mark.memory
@pytest.mark.timeout(400)
def test_huge_upload_is_flat(stack, backend, unlimited, size):
    """To a sink that only counts."""
    sink = Sink()
    stack.publish(unlimited, sink, annotations={"proxy-body-size": "0"}, wait=False)
    time.sleep(0.5)
    with Watcher(stack) as watcher, stack.client(timeout=60) as client:
        client.send(f"POST /up HTTP/1.1\r\nHost: {unlimited}\r\nContent-Length: {size}\r\n\r\n".encode())
        left = size
        view = memoryview(BLOCK)
        while left > 0:
            left -= client.sock.send(view[:min(left, len(BLOCK))])
        message = client.reader.response()
        assert message.status == 200 and int(message.body) == size
    watcher.assert_flat()
    sink.close()


class Sink:
    """Reads one body after another and answers with its length."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        self._listener.close()

    def _run(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket):
        from harness.http import Closed, Reader
        reader = Reader(sock)
        buffer = bytearray(1 << 20)
        try:
            while True:
                head = reader.head()
                size = int(head.get("content-length") or 0)
                left = size - len(reader.buffer)
                reader.buffer = b""
                while left > 0:
                    got = sock.recv_into(buffer, min(left, len(buffer)))
                    if got == 0:
                        return
                    left -= got
                text = str(size).encode()
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        except (OSError, Closed):
            pass


@pytest.mark.memory
def test_many_idle_connections_hold_no_buffers(stack, unlimited):
    """A thousand clients that have been served once and wait."""
    before = stack.rss_kib()
    clients = []
    for _ in range(1000):
        client = stack.client()
        assert client.request(unlimited, "/bytes/10").status == 200
        clients.append(client)
    grown = stack.rss_kib() - before
    for client in clients:
        client.close()
    assert grown < 4 * 1024, f"{grown} KiB for 1000 connections"


def test_both_directions_at_once(stack, unlimited):
    """Four clients up and four down, checked to the byte."""
    errors = []

    def up():
        with stack.client() as client:
            if client.request(unlimited, "/u", "POST", body=b"u" * 20_000_000).json()["body_bytes"] != 20_000_000:
                errors.append("up")

    def down():
        with stack.client() as client:
            if client.request(unlimited, "/bytes/20000000").body_bytes != 20_000_000:
                errors.append("down")

    threads = [threading.Thread(target=t) for t in [up, down] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors and not any(t.is_alive() for t in threads)
