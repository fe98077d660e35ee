"""WebSocket over HTTP/2 (RFC 8441) on either side: a client by the `h2` library, an endpoint by Hypercorn."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import websockets

from harness.http2 import Client
from harness.net import eventually, free_port

pytest.importorskip("h2", reason="Debian's python3-h2 is not installed")
pytest.importorskip("hypercorn", reason="Debian's python3-hypercorn is not installed")

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


@pytest.fixture(scope="module")
def asgi(tmp_path_factory):
    """HTTP/1.1 and, by prior knowledge, HTTP/2 on one port, WebSocket over both."""
    port = free_port()
    log = (tmp_path_factory.mktemp("hypercorn") / "log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "harness.asgi_echo:app"],
                               cwd=Path(__file__).parent, stdout=log, stderr=log)

    def up():
        import socket
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return process.poll() is None

    try:
        eventually(up)
        yield type("Endpoint", (), {"port": port})
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def frame(first: int, payload: bytes) -> bytes:
    """Masked, up to 65,535 bytes."""
    key = os.urandom(4)
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def plain(first: int, payload: bytes) -> bytes:
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + payload


def open_tunnel(client: Client, host: str) -> int:
    while client.h2.remote_settings.enable_connect_protocol != 1:
        client.pump()
    stream = client.start(host, "/ws", "CONNECT", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
    while client.answers[stream].status == 0 and not client.answers[stream].ended:
        client.pump()
    return stream


def echoes(client: Client, stream: int):
    answer = client.answers[stream]
    assert answer.status == 200, answer
    for first, payload in ((TEXT, b"hello"), (BINARY, os.urandom(50_000)), (TEXT, b"")):
        answer.body = b""
        client.send(stream, frame(first, payload), end=False)
        expected = plain(first, payload)
        while len(answer.body) < len(expected):
            client.pump()
        assert answer.body == expected


def close(client: Client, stream: int):
    answer = client.answers[stream]
    answer.body = b""
    client.send(stream, frame(CLOSE, b"\x03\xe8"), end=False)
    while not answer.body and not answer.ended and answer.reset is None:
        client.pump()
    assert answer.body[:1] == bytes([CLOSE]), answer


def test_http2_client_http1_endpoint(stack, served):
    with Client(stack.http_port) as client:
        stream = open_tunnel(client, served)
        echoes(client, stream)
        assert client.request(served, "/beside").status == 200   # The connection is not the tunnel's alone.
        close(client, stream)


def test_http2_client_over_tls(stack, served, backend):
    with Client(stack.https_port, sni=served) as client:
        stream = open_tunnel(client, served)
        echoes(client, stream)
        close(client, stream)


def test_http2_client_http2_endpoint(stack, asgi, host):
    stack.publish(host, asgi, annotations={"backend-protocol": "GRPC"})
    with Client(stack.http_port) as client:
        stream = open_tunnel(client, host)
        echoes(client, stream)
        assert client.answers[stream].headers["x-version"] == "2"
        close(client, stream)


def test_http1_client_http2_endpoint(stack, asgi, host):
    stack.publish(host, asgi, annotations={"backend-protocol": "GRPC"})

    async def talk():
        async with websockets.connect(f"ws://{host}/ws", host="127.0.0.1", port=stack.http_port, open_timeout=10, max_size=1 << 22) as socket:
            assert socket.response_headers["x-version"] == "2"
            for message in ("x" * 1000, os.urandom(1_000_000)):
                await socket.send(message)
                assert await socket.recv() == message

    asyncio.run(asyncio.wait_for(talk(), 60))
