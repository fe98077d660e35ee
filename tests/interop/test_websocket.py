"""WebSocket by a client that others wrote, and the ways an upgrade can go wrong."""

import asyncio
import base64
import os
import subprocess
import time

import pytest
import websockets

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


def test_tunnel_outlives_configuration_changes(stack, served, backend):
    async def talk():
        async with connect(stack, served) as socket:
            for i in range(10):
                stack.publish(served, backend, annotations={"proxy-read-timeout": str(60 + i)}, wait=False)
                await socket.send(f"still {i}")
                assert await socket.recv() == f"still {i}"
                await asyncio.sleep(0.05)

    run(talk())


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
