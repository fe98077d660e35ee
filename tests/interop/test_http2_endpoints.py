"""Endpoints of HTTP/2 that are slow to take: an upload passes through a window of a few bytes, and nothing else waits for it."""

import hashlib
import os
import socket
import threading

import pytest

from harness.http2 import Client

pytest.importorskip("h2", reason="Debian's python3-h2 is not installed")


class Endpoint:
    """Takes uploads through stream windows of `window` bytes; answers with the SHA-256 of what came."""

    def __init__(self, window: int):
        self.window = window
        self.connections = 0
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
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket):
        import h2.config
        import h2.connection
        import h2.events
        import h2.settings
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        h2c.initiate_connection()
        h2c.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.window})
        sums = {}
        try:
            while True:
                sock.sendall(h2c.data_to_send())
                data = sock.recv(1 << 16)
                if not data:
                    return
                for event in h2c.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        sums[event.stream_id] = hashlib.sha256()
                    elif isinstance(event, h2.events.DataReceived):
                        sums[event.stream_id].update(event.data)
                        h2c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        h2c.send_headers(event.stream_id, [(":status", "200")])
                        h2c.send_data(event.stream_id, sums.pop(event.stream_id).hexdigest().encode(), end_stream=True)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            sock.close()


@pytest.mark.parametrize("window", [16, 1000, 65535])
def test_an_upload_through_a_small_window(stack, host, window):
    with Endpoint(window) as endpoint:
        stack.publish(host, endpoint, annotations={"backend-protocol": "GRPC", "proxy-body-size": "0"})
        body = os.urandom(window * 500 if window < 65535 else 5_000_000)
        expected = hashlib.sha256(body).hexdigest().encode()
        for ask in (lambda: stack.get(host, "/up", method="POST", body=body).body,
                    lambda: _by_http2(stack, host, body)):
            assert ask() == expected


def _by_http2(stack, host: str, body: bytes) -> bytes:
    with Client(stack.http_port) as client:
        return bytes(client.request(host, "/up", "POST", body=body).body)


def test_one_that_waits_for_its_window_stops_no_other(stack, host):
    """Both on one connection to the endpoint."""
    with Endpoint(16) as endpoint:
        stack.publish(host, endpoint, annotations={"backend-protocol": "GRPC", "proxy-body-size": "0"})
        with Client(stack.http_port) as client:
            slow = client.start(host, "/up", "POST", end=False)
            sent = os.urandom(4000)
            client.send(slow, sent, end=False)
            for _ in range(20):
                small = client.request(host, "/up", "POST", body=b"small")
                assert bytes(small.body) == hashlib.sha256(b"small").hexdigest().encode()
            client.send(slow, b"end", end=True)
            assert bytes(client.wait(slow).body) == hashlib.sha256(sent + b"end").hexdigest().encode()
