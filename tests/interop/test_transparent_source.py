"""--transparent-source: endpoints of relays see the client's address."""

import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from harness import certs, objects, streams
from harness.net import eventually, free_port
from harness.netns import Network
from harness.stack import Stack
from harness.streams import StreamServer

IP_TRANSPARENT = 19   # linux/in.h
SERVICES = ["--tcp-services-configmap", "test/tcp", "--udp-services-configmap", "test/udp", "--enable-ssl-passthrough"]
LOOPBACK = ["--stream-address", "127.0.0.1", "--stream-address", "[::1]", "--proxy-real-ip-cidr", "127.0.0.0/8"]
CLIENT, OTHER_CLIENT, PROXY_TO_CLIENT = "203.0.113.9", "203.0.113.10", "203.0.113.1"
ENDPOINT, PROXY_TO_ENDPOINT = "198.51.100.7", "198.51.100.1"
CLIENT6, PROXY_TO_CLIENT6 = "2001:db8:c::9", "2001:db8:c::1"
ENDPOINT6, PROXY_TO_ENDPOINT6 = "2001:db8:e::7", "2001:db8:e::1"


def may_be_transparent() -> bool:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
            return True
        except PermissionError:
            return False


needs_capability = pytest.mark.skipif(not may_be_transparent(), reason="needs CAP_NET_RAW or CAP_NET_ADMIN")


def make_stack(bins, folder, variant, flags: list) -> Stack:
    stack = Stack(bins, folder, variant, controller_flags=SERVICES + flags, proxy_flags=["--transparent-source"])
    stack.ports = {"tcp": {}, "udp": {}}
    for kind, ports in stack.ports.items():
        stack.put(kind, streams.config_map(kind, ports))
    return stack.start()


@pytest.fixture(scope="module")
def stack(bins, variant, tmp_path_factory):
    running = make_stack(bins, tmp_path_factory.mktemp("transparent"), variant, LOOPBACK)
    try:
        yield running
    finally:
        running.stop()


def tell(sock, server):
    """A server that says who the client is, and no more until the client ends."""
    sock.sendall(sock.getpeername()[0].encode() + b"\n")
    while sock.recv(100):
        pass


def open_port(stack, name: str, port: int, suffix: str = "", kind: str = "tcp", address: str = "127.0.0.1") -> int:
    ours = free_port()
    stack.put(name, streams.service(name, kind.upper()), streams.endpoint(name, port, address, kind.upper()))
    stack.ports[kind][ours] = f"test/{name}:main{suffix}"
    stack.put(kind, streams.config_map(kind, stack.ports[kind]))
    return ours


def connect(port: int, source: str, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=30, source_address=(source, 0))


def told(port: int, source: str, host: str = "127.0.0.1", say: bytes = b"") -> str:
    with connect(port, source, host) as sock:
        sock.sendall(say)
        line = sock.recv(100).decode().strip()
        sock.shutdown(socket.SHUT_WR)
        return line


@needs_capability
def test_the_endpoint_sees_the_client(stack):
    with StreamServer(tell) as server:
        port = open_port(stack, "seen", server.port)
        eventually(lambda: told(port, "127.0.0.9") == "127.0.0.9")
        assert {told(port, f"127.0.0.{n}") for n in range(10, 20)} == {f"127.0.0.{n}" for n in range(10, 20)}
    with StreamServer(tell, family=socket.AF_INET6) as server:
        port = open_port(stack, "seen-six", server.port, address="::1")
        eventually(lambda: told(port, "::1", "::1") == "::1")
    assert stack.metric("ringway_stream_own_sources_total") == 0


@needs_capability
def test_the_address_of_a_proxy_header_counts(stack):
    with StreamServer(tell) as server:
        port = open_port(stack, "headed", server.port, ":PROXY")
        say = b"PROXY TCP4 127.0.0.77 127.0.0.1 4711 99\r\n"
        eventually(lambda: told(port, "127.0.0.9", say=say) == "127.0.0.77")


@needs_capability
def test_tls_that_passes_through(stack, host):
    chain, key = certs.self_signed("behind the proxy", host)
    (stack.folder / "t.crt").write_bytes(chain)
    (stack.folder / "t.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(stack.folder / "t.crt", stack.folder / "t.key")

    def seen() -> str:
        with connect(stack.https_port, "127.0.0.9") as raw, certs.any_server().wrap_socket(raw, server_hostname=host) as sock:
            return sock.recv(100).decode().strip()

    with StreamServer(tell, context=context) as server:
        stack.put("through", objects.service("through", ports={"https": 443}), objects.slice_of("through", server.port, port_name="https"),
                  objects.ingress("through", host, [objects.path("through", port=443)], {"ssl-passthrough": "true", "backend-protocol": "HTTPS"}))
        eventually(lambda: seen() == "127.0.0.9")


@needs_capability
def test_another_family_is_the_proxys_address_and_counted(stack):
    with StreamServer(tell) as server:
        port = open_port(stack, "mixed", server.port)
        eventually(lambda: told(port, "127.0.0.9") == "127.0.0.9")
        before = stack.metric("ringway_stream_own_sources_total")
        assert told(port, "::1", "::1") == "127.0.0.1"
        assert stack.metric("ringway_stream_own_sources_total") == before + 1


@needs_capability
def test_datagrams(stack):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.9", 0))
        port = open_port(stack, "datagrams", server.getsockname()[1], kind="udp")
        client.connect(("127.0.0.1", port))
        server.settimeout(0.2)
        client.settimeout(10)

        def arrives():
            client.send(b"ping")
            return server.recvfrom(100)

        data, sender = eventually(arrives)
        assert data == b"ping" and sender[0] == "127.0.0.9"
        server.sendto(b"pong", sender)
        assert client.recv(100) == b"pong"


@needs_capability
def test_http_is_not_affected(stack, backend, host):
    stack.publish(host, backend)
    with socket.create_connection(("127.0.0.1", stack.http_port), source_address=("127.0.0.9", 0)) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert b" 200 " in sock.recv(4096)


@needs_capability
def test_one_capability_is_left(stack, sanitized):
    if sanitized:
        pytest.skip("programs with a sanitizer keep theirs")
    status = open(f"/proc/{stack.data_process()}/status", encoding="ascii").read()
    left = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("CapPrm", "CapEff"))}
    assert left["CapPrm:"] == left["CapEff:"] and left["CapEff:"] in (1 << 13, 1 << 12), left   # NET_RAW, else NET_ADMIN


@pytest.mark.one_variant
def test_without_the_capability_it_does_not_start(bins, variant, tmp_path):
    """One line that tells what to do, and exit code 2."""
    prefix = []
    if may_be_transparent():
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and the capability is held")
        prefix = ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin"]
    ended = subprocess.run([*prefix, bins / "ringway-proxy", "--controller", f"unix:{tmp_path}/none.sock", "--transparent-source"],
                           capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2, ended
    assert ended.stderr.count("\n") == 1 and "NET_RAW" in ended.stderr and "--transparent-source" in ended.stderr, ended.stderr


# ---- an address that is not of this host: as docs/operations.md says ----

def by_interface(proxy: Network, family: str):
    proxy.command("ip", family, "rule", "add", "iif", "to-endpoint", "lookup", "100")
    proxy.command("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "100")


def by_mark(proxy: Network, family: str):
    table = "ip" if family == "-4" else "ip6"
    rules = f"add table {table} ringway; add chain {table} ringway answers {{ type filter hook prerouting priority mangle; }}; " \
            f"add rule {table} ringway answers socket transparent 1 meta mark set 1"
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed: ./dev setup test")
    if (said := proxy.command("nft", rules, check=False)).returncode != 0:
        pytest.skip(f"nft does not know sockets here: {said.stderr.strip()}")
    proxy.command("ip", family, "rule", "add", "fwmark", "1", "lookup", "100")
    proxy.command("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "100")


@pytest.fixture
def networks():
    """Client, proxy and endpoint, each in a network of its own; nothing forwards."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 (./dev setup test)")
    try:
        made = [Network() for _ in range(3)]
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    client, proxy, endpoint = made
    try:
        proxy.link("to-client", f"{PROXY_TO_CLIENT}/24", client, "to-proxy", f"{CLIENT}/24")
        proxy.link("to-endpoint", f"{PROXY_TO_ENDPOINT}/24", endpoint, "to-proxy", f"{ENDPOINT}/24")
        endpoint.command("ip", "route", "add", "default", "via", PROXY_TO_ENDPOINT)
        for network, end, address in ((client, "to-proxy", CLIENT6), (proxy, "to-client", PROXY_TO_CLIENT6),
                                      (proxy, "to-endpoint", PROXY_TO_ENDPOINT6), (endpoint, "to-proxy", ENDPOINT6)):
            network.command("ip", "address", "add", f"{address}/64", "dev", end, "nodad")
        endpoint.command("ip", "-6", "route", "add", "default", "via", PROXY_TO_ENDPOINT6)
        yield client, proxy, endpoint
    finally:
        for network in made:
            network.close()


@needs_capability
def test_each_client_has_all_ports_towards_each_endpoint(bins, variant, tmp_path, networks):
    """A port is taken by client and endpoint, not by client alone; who has none left takes nothing from others."""
    client, proxy, endpoint = networks
    client.command("ip", "address", "add", f"{OTHER_CLIENT}/24", "dev", "to-proxy")
    by_interface(proxy, "-4")
    stack = proxy.run(make_stack, bins, tmp_path / "stack", variant, ["--stream-address", "0.0.0.0"])
    held = []

    def hold(port: int, source: str) -> str:
        held.append(client.run(connect, port, source, PROXY_TO_CLIENT))
        return held[-1].recv(100).decode().strip()

    try:
        with endpoint.run(StreamServer, tell, address=ENDPOINT) as one, endpoint.run(StreamServer, tell, address=ENDPOINT) as two:
            ports = [proxy.run(open_port, stack, name, server.port, address=ENDPOINT) for name, server in (("one", one), ("two", two))]
            for port in ports:
                client.run(eventually, lambda at=port: told(at, OTHER_CLIENT, PROXY_TO_CLIENT))
            proxy.run(Path("/proc/sys/net/ipv4/ip_local_port_range").write_text, "50000 50003", encoding="ascii")
            assert [hold(port, CLIENT) for port in ports for _ in range(4)] == [CLIENT] * 8
            assert hold(ports[0], CLIENT) == ""
            assert hold(ports[0], OTHER_CLIENT) == OTHER_CLIENT
            proxy.run(Path("/proc/sys/net/ipv4/ip_local_port_range").write_text, "40000 60000", encoding="ascii")
            assert proxy.run(stack.metric, "ringway_stream_failures_total", reason="connect") == 1
            for sock in held:
                sock.close()
    finally:
        proxy.run(stack.stop)


@needs_capability
@pytest.mark.parametrize("rule", [by_interface, by_mark])
def test_answers_come_back_by_a_rule(bins, variant, tmp_path, networks, rule):
    client, proxy, endpoint = networks
    rule(proxy, "-4")
    rule(proxy, "-6")
    stack = proxy.run(make_stack, bins, tmp_path / "stack", variant, ["--stream-address", "0.0.0.0", "--stream-address", "[::]"])
    try:
        with endpoint.run(StreamServer, tell, address=ENDPOINT) as server:
            port = proxy.run(open_port, stack, "far", server.port, address=ENDPOINT)
            seen = client.run(eventually, lambda: told(port, CLIENT, PROXY_TO_CLIENT))
            assert seen == CLIENT
        with endpoint.run(StreamServer, tell, family=socket.AF_INET6, address=ENDPOINT6) as server:
            port = proxy.run(open_port, stack, "far-six", server.port, address=ENDPOINT6)
            assert client.run(eventually, lambda: told(port, CLIENT6, PROXY_TO_CLIENT6)) == CLIENT6
        assert proxy.run(stack.metric, "ringway_stream_own_sources_total") == 0
        with endpoint.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as server, \
                client.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as asker:
            server.bind((ENDPOINT, 0))
            server.settimeout(0.2)
            asker.settimeout(10)
            asker.connect((PROXY_TO_CLIENT, proxy.run(open_port, stack, "far-udp", server.getsockname()[1], kind="udp", address=ENDPOINT)))

            def arrives():
                asker.send(b"ping")
                return server.recvfrom(100)

            data, sender = eventually(arrives)
            assert data == b"ping" and sender[0] == CLIENT
            server.sendto(b"pong", sender)
            assert asker.recv(100) == b"pong"
    finally:
        proxy.run(stack.stop)
