"""gRPC's own interop client and server, in Go, with the proxy between them.

`./dev interop` builds the two from their Go module; where they are not, the tests are skipped by name.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import certs, objects
from harness.net import eventually, free_port

TOOLS = Path(os.environ.get("RINGWAY_TOOLS", Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ringway/tools"))
CLIENT, SERVER = TOOLS / "grpc-interop-client", TOOLS / "grpc-interop-server"
# All that need no credentials of a cloud.
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
         "cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
         "unimplemented_method", "unimplemented_service"]
HOST = "grpc.test"

needs_tools = pytest.mark.skipif(not (CLIENT.exists() and SERVER.exists()),
                                 reason=f"no gRPC interop client and server in {TOOLS}: ./dev interop builds them (needs Go)")


class GrpcServer:
    def __init__(self, folder: Path, tls: bool):
        self.port = free_port()
        flags = ["-port", str(self.port)]
        if tls:
            chain, key = certs.self_signed("pod", "pod")
            (folder / "pod.crt").write_bytes(chain)
            (folder / "pod.key").write_bytes(key)
            flags += ["-use_tls", "-tls_cert_file", str(folder / "pod.crt"), "-tls_key_file", str(folder / "pod.key")]
        with (folder / f"server-{tls}.log").open("wb") as log:
            self.process = subprocess.Popen([SERVER, *flags], stdout=log, stderr=log)

    def stop(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def servers(stack, tmp_path_factory):
    """In clear text and with TLS, each behind hosts of its own."""
    folder = tmp_path_factory.mktemp("grpc")
    clear, tls = GrpcServer(folder, False), GrpcServer(folder, True)
    chain, key = certs.self_signed(HOST, HOST)
    (folder / "proxy.crt").write_bytes(chain)
    stack.put("grpc-secret", objects.tls_secret("grpc", chain, key))
    stack.put("grpc-services", objects.service("grpc-clear"), objects.slice_of("grpc-clear", clear.port),
              objects.service("grpc-tls"), objects.slice_of("grpc-tls", tls.port))
    yield folder
    clear.stop()
    tls.stop()


def run_case(stack, folder: Path, case: str, tls: bool) -> subprocess.CompletedProcess:
    flags = ["-server_host", "127.0.0.1", "-test_case", case]
    if tls:
        flags += ["-server_port", str(stack.https_port), "-use_tls", "-use_test_ca", "-ca_file", str(folder / "proxy.crt"),
                  "-server_host_override", HOST]
    else:
        flags += ["-server_port", str(stack.http_port)]
    return subprocess.run([CLIENT, *flags], capture_output=True, text=True, timeout=60)


def check(stack, folder, case, tls):
    done = run_case(stack, folder, case, tls)
    assert done.returncode == 0, f"{case}: {done.stdout}{done.stderr}\n{stack.proxy.tail()}"


def warm(stack, folder, tls):
    eventually(lambda: run_case(stack, folder, "empty_unary", tls).returncode == 0, 20)


def use_backend(stack, service: str, protocol: str):
    # The client of clear text names the address, that of TLS the host.
    for name, host in (("grpc-address", None), ("grpc-host", HOST)):
        stack.put(name, objects.ingress(name, host, [objects.path(service, "/grpc.testing.TestService"),
                                                     objects.path(service, "/grpc.testing.UnimplementedService")],
                                        {"backend-protocol": protocol, "ssl-redirect": "false"},
                                        [{"hosts": [HOST], "secretName": "grpc"}] if host else None))


@needs_tools
@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
@pytest.mark.parametrize("backend", ["GRPC", "GRPCS"])
def test_interop(stack, servers, backend, tls):
    use_backend(stack, "grpc-clear" if backend == "GRPC" else "grpc-tls", backend)
    warm(stack, servers, tls)
    for case in CASES:
        check(stack, servers, case, tls)


@needs_tools
def test_metrics_by_method(own_stack, tmp_path):
    """As many methods as are asked for have series of their own; others, and names that no endpoint knows, count together."""
    stack = own_stack(workers=1, proxy_flags=["--grpc-method-metrics", "2"])
    server = GrpcServer(tmp_path, False)
    try:
        stack.start()
        assert "ringway_grpc_method" not in stack.admin("/metrics")[1]
        stack.put("grpc-services", objects.service("grpc-clear"), objects.slice_of("grpc-clear", server.port))
        stack.put("grpc", objects.ingress("grpc", None, [objects.path("grpc-clear")], {"backend-protocol": "GRPC", "ssl-redirect": "false"}))
        warm(stack, tmp_path, False)
        for case in ("unimplemented_service", "unimplemented_method", "large_unary", "ping_pong", "status_code_and_message"):
            check(stack, tmp_path, case, False)
    finally:
        server.stop()
    calls = {}
    for sample, value in stack.metrics().items():
        if match := re.fullmatch(r'ringway_grpc_method_calls_total{grpc_service="(.*)",grpc_method="(.*)",code="(.*)"}', sample):
            calls.setdefault(match.groups()[:2], {})[match.group(3)] = value
    empty, unary, other = ("grpc.testing.TestService", "EmptyCall"), ("grpc.testing.TestService", "UnaryCall"), ("other", "other")
    assert set(calls) == {empty, unary, other}
    assert calls[empty]["OK"] >= 1
    assert calls[unary] == {"OK": 1, "UNKNOWN": 1}
    # The one of ping_pong, that of status_code_and_message, and both that are not there.
    assert calls[other]["OK"] == 1 and calls[other]["UNKNOWN"] == 1 and calls[other]["UNIMPLEMENTED"] >= 2
    total = sum(sum(codes.values()) for codes in calls.values())
    assert total == stack.metric("ringway_grpc_calls_total") == stack.metric("ringway_grpc_method_duration_seconds_count")
