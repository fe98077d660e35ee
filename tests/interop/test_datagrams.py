"""Ports of udp-services: sessions, addresses, bounds. Servers and clients that others wrote where there are any."""

import shutil
import signal
import socket
import subprocess

import pytest

from harness import streams
from harness.net import eventually, free_port
from harness.stack import Stack
from harness.streams import DatagramServer

FLAGS = ["--udp-services-configmap", "test/udp"]
UDP_SEGMENT = 103   # linux/udp.h
LOOPBACK = ["--stream-address", "127.0.0.1", "--stream-address", "[::1]"]


def begin(stack: Stack) -> Stack:
    stack.udp = {}
    stack.put("udp", streams.config_map("udp", {}))
    return stack.start()


@pytest.fixture(scope="module")
def stack(bins, variant, tmp_path_factory):
    running = Stack(bins, tmp_path_factory.mktemp("datagrams"), variant, controller_flags=FLAGS + LOOPBACK)
    try:
        yield begin(running)
    finally:
        running.stop()


def lead(stack, name: str, *servers, address: str = "127.0.0.1"):
    """The Service `name` is these servers."""
    stack.put(name, streams.service(name, "UDP"), *[streams.endpoint(name, s.port, address, "UDP") for s in servers])


def open_port(stack, name: str, *servers, address: str = "127.0.0.1") -> int:
    """A port of the proxy that leads to these servers."""
    port = free_port()
    lead(stack, name, *servers, address=address)
    stack.udp[port] = f"test/{name}:main"
    stack.put("udp", streams.config_map("udp", stack.udp))
    return port


class Asker:
    """One client: an address and a port of its own. Connected, so that an answer from another address would not arrive."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect((host, port))

    def ask(self, data: bytes, seconds: float = 2) -> bytes | None:
        """None: refused, or no answer."""
        self.sock.settimeout(seconds)
        try:
            self.sock.send(data)
            return self.sock.recv(65536)
        except OSError:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def ask(port: int, data: bytes, host: str = "127.0.0.1", seconds: float = 2) -> bytes | None:
    with Asker(port, host) as asker:
        return asker.ask(data, seconds)


def served(port: int, host: str = "127.0.0.1"):
    eventually(lambda: ask(port, b"?", host, 0.2) is not None)


def test_echo_on_both_families(stack):
    with DatagramServer(b"one:") as server:
        port = open_port(stack, "echo", server)
        served(port)
        served(port, "::1")
        assert ask(port, b"six", "::1") == b"one:six"
        assert ask(port, b"") == b"one:"
        assert ask(port, b"x" * 3000) == b"one:" + b"x" * 3000
        sessions = stack.metric("ringway_udp_sessions_total")
        with Asker(port) as asker:
            for i in range(200):
                assert asker.ask(b"%d" % i) == b"one:%d" % i
        assert stack.metric("ringway_udp_sessions_total") == sessions + 1


def test_endpoints_on_ipv6(stack):
    with DatagramServer(b"six:", "::1") as server:
        port = open_port(stack, "six", server, address="::1")
        served(port)
        assert ask(port, b"a") == b"six:a"


def test_many_clients_at_once_get_their_own_answers(stack):
    with DatagramServer(b"") as server:
        port = open_port(stack, "crowd", server)
        served(port)
        askers = [Asker(port) for _ in range(100)]
        for i, asker in enumerate(askers):
            asker.sock.settimeout(5)
            asker.sock.send(b"%d" % i)
        for i, asker in enumerate(askers):
            assert asker.sock.recv(100) == b"%d" % i
            asker.sock.close()


def test_long_ones_pass_and_too_long_ones_are_counted(stack, variant):
    with DatagramServer(b"") as server:
        port = open_port(stack, "large", server)
        served(port)
        for size in (4000, 20000, 65000):
            assert ask(port, b"x" * size) == b"x" * size
        if variant == "uring":   # Its addresses take a part of the buffer.
            before = stack.metric("ringway_udp_drops_total", reason="too_large")
            assert ask(port, b"x" * 65507, seconds=0.2) is None
            eventually(lambda: stack.metric("ringway_udp_drops_total", reason="too_large") > before)
        assert ask(port, b"y") == b"y"


def test_trains_of_datagrams_arrive_one_by_one(stack):
    with DatagramServer(b"") as server:
        port = open_port(stack, "train", server)
        served(port)
        with Asker(port) as asker:
            asker.sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            data = b"".join(bytes([i]) * 1000 for i in range(20)) + b"end"
            asker.sock.settimeout(5)
            asker.sock.send(data)
            assert b"".join(asker.sock.recv(65536) for _ in range(21)) == data
        assert stack.metric("ringway_udp_datagrams_received_total") >= 21


@pytest.mark.parametrize("wildcard,hosts", [("0.0.0.0", ["127.0.0.1", "127.0.0.2", "127.1.2.3"]), ("[::]", ["::1"])])
def test_a_wildcard_answers_from_the_address_that_was_asked(own_stack, wildcard, hosts):
    """All of 127.0.0.0/8 is ours, and the kernel would answer from 127.0.0.1."""
    stack = begin(own_stack(controller_flags=FLAGS + ["--stream-address", wildcard]))
    with DatagramServer(b"") as server:
        port = open_port(stack, "local", server)
        served(port, hosts[0])
        for host in hosts:
            assert ask(port, b"again", host) == b"again"
        with socket.socket(socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(5)   # One client, several addresses of ours: not one session.
            for host in hosts:
                one.sendto(host.encode(), (host, port))
                data, sender = one.recvfrom(100)
                assert (data.decode(), sender[0], sender[1]) == (host, host, port)


def test_endpoints_share_and_the_dead_one_is_left(stack):
    with DatagramServer(b"a") as one, DatagramServer(b"b") as two:
        port = open_port(stack, "two", one, two)
        served(port)
        assert {ask(port, b"?") for _ in range(40)} == {b"a?", b"b?"}
        with Asker(port) as asker:
            while asker.ask(b"?") != b"a?":   # A client of the one that dies.
                asker.sock.close()
                asker.__init__(port)
            one.stop()
            eventually(lambda: asker.ask(b"?", 0.3) == b"b?")
        eventually(lambda: all(ask(port, b"?", seconds=0.3) == b"b?" for _ in range(10)), 30)
        assert stack.metric("ringway_stream_failures_total", reason="connect") >= 1


def test_a_session_leaves_an_endpoint_that_is_replaced(stack):
    with DatagramServer(b"a") as one, DatagramServer(b"b") as two:
        port = open_port(stack, "replaced", one)
        served(port)
        with Asker(port) as asker:
            assert asker.ask(b"?") == b"a?"
            lead(stack, "replaced", two)   # The other goes on answering whoever asks it.
            eventually(lambda: asker.ask(b"?", 0.5) == b"b?")
            sessions = stack.metric("ringway_udp_sessions_total")
            assert asker.ask(b"?") == b"b?"
            assert stack.metric("ringway_udp_sessions_total") == sessions


def test_sessions_end_when_idle(own_stack):
    stack = begin(own_stack(controller_flags=FLAGS + LOOPBACK))
    with DatagramServer(b"") as server:
        port = open_port(stack, "idle", server)
        served(port)
        with Asker(port) as asker:
            assert asker.ask(b"a") == b"a"
            eventually(lambda: stack.metric("ringway_udp_sessions_active") == 0, 90, 0.5)   # After 30 s.
            sessions = stack.metric("ringway_udp_sessions_total")
            assert asker.ask(b"b") == b"b"
            assert stack.metric("ringway_udp_sessions_total") == sessions + 1


def test_a_port_comes_and_goes(stack):
    with DatagramServer(b"") as server:
        port = open_port(stack, "live", server)
        served(port)
        value = stack.udp.pop(port)
        stack.put("udp", streams.config_map("udp", stack.udp))
        eventually(lambda: ask(port, b"?", seconds=0.2) is None)
        stack.udp[port] = value
        stack.put("udp", streams.config_map("udp", stack.udp))
        served(port)
        for _ in range(10):   # Whichever socket a client is given to.
            assert ask(port, b"?") == b"?"


def test_known_clients_are_served_while_it_drains(own_stack):
    stack = begin(own_stack(controller_flags=FLAGS + LOOPBACK, proxy_flags=["--drain-timeout", "60"]))
    with DatagramServer(b"") as server:
        port = open_port(stack, "drain", server)
        served(port)
        with Asker(port) as asker:
            assert asker.ask(b"a") == b"a"
            stack.proxy.signal(signal.SIGTERM)
            eventually(lambda: asker.ask(b"b") == b"b" and ask(port, b"new", seconds=0.1) is None)
            for _ in range(30):
                assert asker.ask(b"c") == b"c"
    assert stack.proxy.popen.wait(30) == 0   # Once the client is silent; long before the deadline.


def test_dig_asks_dnsmasq(stack, tmp_path):
    if shutil.which("dig") is None or shutil.which("dnsmasq") is None:
        pytest.skip("dig or dnsmasq is not installed: ./dev setup test")
    back = free_port()
    server = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--port={back}",
                               "--listen-address=127.0.0.1", "--bind-interfaces", "--address=/shop.test/192.0.2.7",
                               f"--pid-file={tmp_path}/pid", "--user=", "--group="], stderr=subprocess.PIPE)
    try:
        port = open_port(stack, "dns", type("Server", (), {"port": back}))

        def answer(host: str) -> str:
            return subprocess.run(["dig", "+short", "+tries=1", "+time=1", "-p", str(port), f"@{host}", "shop.test"],
                                  capture_output=True, text=True, timeout=20).stdout.strip()

        for host in ("127.0.0.1", "::1"):
            eventually(lambda: answer(host) == "192.0.2.7")
            for _ in range(5):
                assert answer(host) == "192.0.2.7"
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_socat_talks_through_it(stack, host):
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed: ./dev setup test")
    back = free_port()
    server = subprocess.Popen(["socat", f"UDP-RECVFROM:{back},bind=127.0.0.1,fork", "EXEC:rev"])
    try:
        port = open_port(stack, "socat", type("Server", (), {"port": back}))

        def reversed_line() -> bytes:
            to = f"UDP6:[{host}]:{port}" if ":" in host else f"UDP:{host}:{port}"
            return subprocess.run(["socat", "-t", "1", "-", to], input=b"drow ollEh\n", capture_output=True, timeout=30).stdout

        eventually(lambda: reversed_line() == b"hEllo word\n")
    finally:
        server.kill()
        server.wait()
