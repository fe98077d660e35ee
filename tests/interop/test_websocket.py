"""WebSocket by a client that others wrote, and the ways an upgrade can go wrong."""

import asyncio
import base64
import itertools
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import websockets

from harness.backend import Backend, make_frame

WRONG_ACCEPT = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n\x81\x05hello")
WRONG_PROTOCOL = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nhello"


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def connect(stack, host, path="/ws", **options):
    return websockets.connect(f"ws://{host}{path}", host="127.0.0.1", port=stack.http_port, open_timeout=10, max_size=1 << 22, **options)


def upgrade_head(host: str, path: str, version: str = "13") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n").encode()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000])
def test_echo(stack, served, size):
    async def talk():
        async with connect(stack, served) as socket:
            for message in ("x" * size, os.urandom(size)):
                await socket.send(message)
                assert await socket.recv() == message

    run(talk())


def test_ping_close_and_many_at_once(stack, served):
    async def one(number):
        async with connect(stack, served) as socket:
            await (await socket.ping())
            for i in range(20):
                await socket.send(f"{number}-{i}")
                assert await socket.recv() == f"{number}-{i}"

    async def all_of_them():
        await asyncio.gather(*(one(n) for n in range(20)))

    run(all_of_them())


def test_tunnel_outlives_configuration_changes(stack, served, backend, quick):
    """Opened before 1,000 changes that the proxy has applied, and used all the time."""
    changes = 100 if quick else 1000
    other = f"other-{served}"

    async def talk():
        async with connect(stack, served) as socket:
            begin = stack.metric("ringway_config_transactions_total")
            applied = sent = 0
            deadline = time.monotonic() + 240
            while applied < changes:
                assert time.monotonic() < deadline, f"{applied} changes applied of {sent} made"
                host, kind = (served, "proxy-read-timeout") if sent % 2 == 0 else (other, "proxy-send-timeout")
                stack.publish(host, backend, annotations={kind: str(60 + sent % 1000)}, wait=False)
                sent += 1
                if sent % 20 == 0:
                    await socket.send(f"still {sent}")
                    assert await socket.recv() == f"still {sent}"
                    applied = stack.metric("ringway_config_transactions_total") - begin
                await asyncio.sleep(0.02)
            await socket.send("last")
            assert await socket.recv() == "last"

    asyncio.run(asyncio.wait_for(talk(), 300))


def test_refused_upgrade_is_an_ordinary_answer(stack, served):
    """With its body, and then the end: what follows might have been meant for the tunnel."""
    with stack.client() as client:
        client.send(upgrade_head(served, "/status/403"))
        message = client.reader.response()
        assert message.status == 403 and message.body == b"403\n"
        if (message.get("connection") or "").lower() == "close":
            assert client.reader.at_end()
        else:
            assert client.request(served, "/next").json()["target"] == "/next"


@pytest.mark.parametrize("name, script", [("wrong-accept", WRONG_ACCEPT), ("wrong-protocol", WRONG_PROTOCOL)],
                         ids=["wrong-accept", "wrong-protocol"])
def test_no_tunnel_after_a_wrong_101(stack, served, backend, name, script):
    backend.scripts[name] = script
    with stack.client() as client:
        client.send(upgrade_head(served, f"/raw/{name}"))
        assert client.reader.response().status == 502


def test_early_bytes_are_not_a_second_request(stack, served, backend):
    """Row 27: bytes sent right behind the upgrade belong to the tunnel or to nobody."""
    with stack.client() as client:
        client.send(upgrade_head(served, "/status/426") + f"GET /after HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
        assert client.reader.response().status == 426
        try:
            client.sock.settimeout(3)
            client.reader.response()
        except (OSError, Exception):
            pass
    time.sleep(0.1)
    assert set(backend.paths()) <= {"/status/426", "/after"}


def test_curl_can_upgrade(stack, served):
    key = base64.b64encode(os.urandom(16)).decode()
    shown = subprocess.run(["curl", "-sS", "-i", "--max-time", "2", "--http1.1", "--connect-to", f"::127.0.0.1:{stack.http_port}",
                            "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
                            "-H", f"Sec-WebSocket-Key: {key}", f"http://{served}/ws"], capture_output=True, check=False)
    assert shown.stdout.startswith(b"HTTP/1.1 101")


class Frames:
    """A client's end of a WebSocket, byte by byte: it reads frames whole and knows nothing else."""

    def __init__(self, stack, host: str, **options):
        self.client = stack.client(timeout=60, **options)
        self.client.send(upgrade_head(host, "/ws"))
        assert self.client.reader.head().status == 101
        self.buffer = bytearray(self.client.reader.buffer)

    @staticmethod
    def masked(opcode: int, payload: bytes) -> bytes:
        plain = make_frame(opcode, payload)
        head = len(plain) - len(payload)
        return plain[:1] + bytes([plain[1] | 0x80]) + plain[2:head] + bytes(4) + payload   # A key of zeros.

    def send(self, data: bytes):
        self.client.send(data)

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            data = self.client.sock.recv(1 << 18)
            assert data, f"the end after {len(self.buffer)} bytes of {count}"
            self.buffer += data
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found

    def read(self) -> tuple[int, bytes]:
        first, length = self._exactly(2)
        assert length < 0x80 and first & 0x70 == 0
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        return first & 15, self._exactly(length)

    def at_end(self) -> bool:
        """No reset, and nothing more."""
        return not self.buffer and self.client.sock.recv(1) == b""


def test_a_drain_says_close_between_frames(own_stack):
    """SIGTERM: whoever is idle, talks, is inside a message or behind with reading is told 1001 where a frame may begin, and so is the endpoint.
    All then end in order, before the deadline would cut them."""
    drained = "drain.test"
    going_away = (8, (1001).to_bytes(2, "big"))
    stack = own_stack(proxy_flags=["--drain-timeout", "10"])
    stack.start()
    with Backend("one") as backend:
        frames, lock = [], threading.Lock()

        def on_frame(opcode: int, payload: bytes):
            with lock:
                frames.append((opcode, payload[:64], len(payload)))

        backend.on_frame = on_frame
        stack.publish(drained, backend)
        idle, inside = ([Frames(stack, drained) for _ in range(4)] for _ in range(2))
        behind = [Frames(stack, drained, receive_buffer=16384) for _ in range(4)]
        message = os.urandom(50_000)
        large = os.urandom(4 << 20)   # More than sockets and the proxy hold.
        halves = [Frames.masked(2, b"half %d " % i + message) for i in range(len(inside))]
        for socket, frame in zip(inside, halves):
            socket.send(frame[:20_000])
        for socket in behind:
            socket.send(Frames.masked(2, large))

        async def talk():
            """Until it is told. What comes back is what was sent, to the last."""
            async with connect(stack, drained) as socket:
                for number in itertools.count():
                    sent = b"%d " % number + message
                    try:
                        await socket.send(sent)
                        assert await socket.recv() == sent
                    except websockets.ConnectionClosed as closed:
                        return closed.rcvd and closed.rcvd.code, number
                    if number == 10:
                        talking.release()

        async def all_talk():
            return await asyncio.gather(*(talk() for _ in range(6)))

        talking = threading.Semaphore(0)
        with ThreadPoolExecutor(1) as pool:
            talks = pool.submit(lambda: asyncio.run(asyncio.wait_for(all_talk(), 90)))
            for _ in range(6):
                assert talking.acquire(timeout=60)
            stack.proxy.signal(signal.SIGTERM)
            for socket in idle:
                assert socket.read() == going_away
                socket.send(Frames.masked(*going_away))
            for socket, frame in zip(inside, halves):
                assert socket.read() == going_away   # We may speak on, to the end of our frame.
                socket.send(frame[20_000:] + Frames.masked(*going_away))
            for socket in behind:
                assert socket.read() == (2, large)
                assert socket.read() == going_away
                socket.send(Frames.masked(*going_away))
            for socket in idle + inside + behind:
                assert socket.at_end()
                socket.client.close()
            assert [code for code, _ in talks.result()] == [1001] * 6
        assert stack.proxy.popen.wait(60) == 0
        with lock:
            closes = [payload for opcode, payload, _ in frames if opcode == 8]
            assert closes == [going_away[1]] * (3 * 4 + 6)
            for i, frame in enumerate(halves):
                assert any(payload.startswith(b"half %d " % i) and size == len(b"half %d " % i + message) for _, payload, size in frames)
