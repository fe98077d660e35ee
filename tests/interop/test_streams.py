"""Ports that are not HTTP: tcp-services, PROXY headers, TLS that passes through. Servers and clients that others wrote where there are any."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import certs, objects, streams
from harness.net import eventually, free_port
from harness.stack import Stack
from harness.streams import StreamServer, digest

FLAGS = ["--tcp-services-configmap", "test/tcp", "--enable-ssl-passthrough",
         "--stream-address", "127.0.0.1", "--stream-address", "[::1]", "--proxy-real-ip-cidr", "127.0.0.0/8"]


@pytest.fixture(scope="module")
def stack(bins, variant, tmp_path_factory):
    running = Stack(bins, tmp_path_factory.mktemp("streams"), variant, controller_flags=FLAGS)
    running.tcp = {}
    running.put("tcp", streams.config_map("tcp", {}))
    try:
        yield running.start()
    finally:
        running.stop()


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return probe.connect_ex((host, port)) == 0


def open_port(stack, name: str, *servers, suffix: str = "", wait: bool = True) -> int:
    """A port of the proxy that leads to these servers; `name` is the Service's."""
    port = free_port()
    stack.put(name, streams.service(name), *[streams.endpoint(name, s.port) for s in servers])
    stack.tcp[port] = f"test/{name}:main{suffix}"
    stack.put("tcp", streams.config_map("tcp", stack.tcp))
    if wait:
        eventually(lambda: listens(port))
    return port


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.create_connection((host, port), timeout=30)
    return sock


def read_all(sock) -> bytes:
    out = bytearray()
    while data := sock.recv(1 << 16):
        out += data
    return bytes(out)


def test_echo_and_half_close(stack, host):
    with StreamServer() as server:
        port = open_port(stack, "echo", server)
        for address in ("127.0.0.1", "::1"):
            with connect(port, address) as sock:
                sock.sendall(b"hello")
                sock.shutdown(socket.SHUT_WR)
                assert read_all(sock) == b"hello"


def test_bulk_both_ways_at_once(stack, quick):
    data = os.urandom((4 if quick else 32) << 20)
    with StreamServer() as server:
        port = open_port(stack, "bulk", server)
        with connect(port) as sock:
            def send():
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            got = read_all(sock)
            sender.join()
        assert digest(got) == digest(data)


def test_socat_talks_through_it(stack):
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed: ./dev setup test")
    back = free_port()
    server = subprocess.Popen(["socat", f"TCP-LISTEN:{back},bind=127.0.0.1,reuseaddr,fork", "EXEC:rev"])
    try:
        eventually(lambda: listens(back))
        port = open_port(stack, "socat", type("Server", (), {"port": back}))
        out = subprocess.run(["socat", "-t", "10", "-", f"TCP:127.0.0.1:{port}"], input=b"drow ollEh\n", capture_output=True, timeout=30)
        assert out.stdout == b"hEllo word\n", out
    finally:
        server.kill()
        server.wait()


def test_the_next_endpoint_is_tried(stack):
    closed = type("Server", (), {"port": free_port()})
    with StreamServer() as server:
        port = open_port(stack, "retry", closed, server)
        for _ in range(8):
            with connect(port) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
        assert stack.metric("ringway_stream_retries_total") >= 1


def test_a_connection_outlives_a_thousand_changes(stack, quick):
    with StreamServer() as server, StreamServer() as other:
        port = open_port(stack, "steady", server)
        with connect(port) as sock:
            sock.sendall(b"before")
            assert sock.recv(100) == b"before"
            before = stack.metric("ringway_config_transactions_total")
            for i in range(100 if quick else 1000):
                to = server if i % 2 else other
                stack.put("steady", streams.service("steady"), streams.endpoint("steady", to.port))
                time.sleep(0.01)
            eventually(lambda: stack.metric("ringway_config_transactions_total") > before + 5)
            sock.sendall(b"after")
            assert sock.recv(100) == b"after"
        assert b"beforeafter" in server.received   # Others were looks at the port.


def test_ports_come_and_go_live(stack):
    with StreamServer() as server:
        port = open_port(stack, "live", server)
        with connect(port) as sock:
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            del stack.tcp[port]
            stack.put("tcp", streams.config_map("tcp", stack.tcp))
            eventually(lambda: not listens(port))
            sock.sendall(b"b")   # What was connected goes on.
            assert sock.recv(1) == b"b"


def test_a_port_of_http_is_refused_by_name(stack):
    stack.tcp[stack.http_port] = "test/live:main"
    stack.put("tcp", streams.config_map("tcp", stack.tcp))
    try:
        eventually(lambda: f"data[{stack.http_port}]" in (stack.folder / "controller.log").read_text())
    finally:
        del stack.tcp[stack.http_port]
        stack.put("tcp", streams.config_map("tcp", stack.tcp))


def test_proxy_header_in_and_out(stack):
    with StreamServer() as server:
        port = open_port(stack, "proxied", server, suffix=":PROXY:PROXY")
        with connect(port) as sock:
            sock.sendall(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 99\r\npayload")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 99\r\npayload"
        with connect(port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                assert sock.recv(100) == b""
            except ConnectionResetError:
                pass


def test_proxy_header_out(stack):
    with StreamServer() as server:
        port = open_port(stack, "headed", server, suffix="::PROXY")
        with connect(port) as sock:
            mine = sock.getsockname()
            sock.sendall(b"x")
            sock.shutdown(socket.SHUT_WR)
            head, _, rest = read_all(sock).partition(b"\r\n")
        assert rest == b"x"
        assert head.decode().split()[:3] == ["PROXY", "TCP4", "127.0.0.1"]
        assert head.decode().split()[4:] == [str(mine[1]), str(port)]


def publish_passthrough(stack, name: str, host: str, port: int):
    service = objects.service(name, ports={"https": 443})
    stack.put(name, service, objects.slice_of(name, port, port_name="https"),
              objects.ingress(name, host, [objects.path(name, port=443)], {"ssl-passthrough": "true", "backend-protocol": "HTTPS"}))


def test_passthrough_beside_terminated_hosts(stack, backend, host):
    chain, key = certs.self_signed("behind the proxy", host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = stack.folder
    (folder / "p.crt").write_bytes(chain)
    (folder / "p.key").write_bytes(key)
    context.load_cert_chain(folder / "p.crt", folder / "p.key")
    with StreamServer(context=context) as server:
        publish_passthrough(stack, "through", host, server.port)

        def shown(name: str) -> str:
            with socket.create_connection(("127.0.0.1", stack.https_port), timeout=10) as raw:
                with certs.any_server().wrap_socket(raw, server_hostname=name) as sock:
                    return certs.common_name(sock)

        eventually(lambda: shown(host) == "behind the proxy")
        assert shown("other.test") != "behind the proxy"   # Terminated here, self-signed.
        with socket.create_connection(("127.0.0.1", stack.https_port), timeout=10) as raw:
            with certs.any_server().wrap_socket(raw, server_hostname=host) as sock:
                sock.sendall(b"unopened")
                assert sock.recv(100) == b"unopened"
        out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{stack.https_port}", "-servername", host.upper(), "-brief"],
                             input=b"", capture_output=True, timeout=30)
        assert b"behind the proxy" in out.stderr + out.stdout, out


def test_a_hello_in_many_segments(stack, host):
    """Byte by byte, and as records of one byte: still routed by its name."""
    chain, key = certs.self_signed("segments", host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (stack.folder / "s.crt").write_bytes(chain)
    (stack.folder / "s.key").write_bytes(key)
    context.load_cert_chain(stack.folder / "s.crt", stack.folder / "s.key")
    with StreamServer(context=context) as server:
        publish_passthrough(stack, "segments", host, server.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certs.any_server().wrap_bio(incoming, outgoing, server_hostname=host)

        def answer(pieces) -> bytes:
            with connect(stack.https_port) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in pieces:
                    sock.sendall(piece)
                    time.sleep(0.001)
                return sock.recv(3)

        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        message = hello[5:]
        relays = stack.metric("ringway_stream_connections_total")
        eventually(lambda: answer([hello])[:1] == b"\x16" and stack.metric("ringway_stream_connections_total") > relays)
        relays = stack.metric("ringway_stream_connections_total")
        assert answer([hello[i:i + 1] for i in range(len(hello))])[:1] == b"\x16"
        records = b"".join(b"\x16\x03\x01" + len(message[i:i + 100]).to_bytes(2, "big") + message[i:i + 100] for i in range(0, len(message), 100))
        answer([records])
        assert stack.metric("ringway_stream_connections_total") == relays + 2


def test_the_drain_cuts_what_does_not_end(own_stack):
    stack = own_stack(controller_flags=FLAGS, proxy_flags=["--drain-timeout", "2"])
    stack.tcp = {}
    stack.put("tcp", streams.config_map("tcp", {}))
    stack.put("udp", streams.config_map("udp", {}))
    stack.start()
    with StreamServer() as server:
        port = open_port(stack, "drained", server)
        with connect(port) as sock:
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            stack.proxy.popen.terminate()
            sock.sendall(b"b")
            assert sock.recv(1) == b"b"
            assert stack.proxy.popen.wait(20) == 0
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass


# ---- addresses ----

def ask(sock, host: str) -> bytes:
    with sock:
        sock.settimeout(10)
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return read_all(sock)


def test_both_families_and_unix_sockets(own_stack, backend, host, tmp_path):
    """One listener on IPv4, IPv6, a socket in the file system and an abstract one; endpoints on IPv4 and IPv6."""
    path, name, port = tmp_path / "http.sock", f"ringway-{os.getpid()}-{free_port()}", free_port()
    stack = own_stack(controller_flags=["--http-address", f"127.0.0.1:{port}", "--http-address", f"[::1]:{port}",
                                        "--http-address", f"unix:{path}", "--http-address", f"unix:@{name}", *FLAGS])
    stack.http_port, stack.tcp = port, {}
    stack.put("tcp", streams.config_map("tcp", {}))
    stack.start()
    stack.publish(host, backend)
    assert b" 200 " in ask(connect(port, "127.0.0.1"), host)
    assert b" 200 " in ask(connect(port, "::1"), host)
    for address in (str(path), "\0" + name):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
        assert b" 200 " in ask(sock, host), address
    with StreamServer(family=socket.AF_INET6) as server:
        stack.tcp[free_port()] = "test/six:main"
        six = next(iter(stack.tcp))
        stack.put("six", streams.service("six"), streams.endpoint("six", server.port, "::1"))
        stack.put("tcp", streams.config_map("tcp", stack.tcp))
        eventually(lambda: listens(six))
        with connect(six) as sock:
            sock.sendall(b"over IPv6")
            assert sock.recv(100) == b"over IPv6"
