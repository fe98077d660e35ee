"""HTTP/2 to clients: what others' clients and their test suite see."""

import json
import re
import shutil
import socket
import subprocess

import pytest

from harness import certs, objects
from harness.http import Client as Http1Client
from harness.http2 import DATA, GOAWAY, Client, Raw, h2spec_program, headers, request_fields
from harness.net import eventually

pytest.importorskip("h2", reason="Debian's python3-h2 is not installed")


def needs(program: str):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (Debian: nghttp2-client, curl)")


@pytest.fixture
def local(stack, backend):
    """The host "localhost", in clear text and over TLS."""
    chain, key = certs.self_signed("localhost")
    stack.put("secret-localhost", objects.tls_secret("localhost", chain, key))
    stack.put("localhost", objects.ingress("localhost", "localhost", [objects.path("localhost")], {"ssl-redirect": "false"},
                                           [{"hosts": ["localhost"], "secretName": "localhost"}]),
              objects.service("localhost"), objects.slice_of("localhost", backend.port))
    eventually(lambda: stack.get("localhost", "/status/200").status == 200)

    def served():
        with Http1Client(stack.https_port, tls=certs.any_server(), sni="localhost") as client:
            return certs.common_name(client.sock) == "localhost"

    eventually(served)
    return "localhost"


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_h2spec(stack, local, tls):
    program, reason = h2spec_program()
    if program is None:
        pytest.skip(reason)
    command = [program, "-h", local, "-p", stack.https_port if tls else stack.http_port, "-P", "/bytes/5000", "-o", "5", *(["-t", "-k"] if tls else [])]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, check=False)
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert summary, done.stdout[-2000:] + done.stderr[-1000:]
    failures = done.stdout[done.stdout.find("Failures:"):] if "Failures:" in done.stdout else ""
    assert summary.group(4) == "0" and int(summary.group(2)) >= 145, summary.group(0) + "\n" + failures
    assert stack.proxy.alive()


@pytest.mark.parametrize("how", ["--http2-prior-knowledge", "--http2"])
@needs("curl")
def test_curl(stack, local, how):
    port, scheme = (stack.http_port, "http") if how == "--http2-prior-knowledge" else (stack.https_port, "https")
    done = subprocess.run(["curl", "-sk", how, "-w", "\n%{http_version} %{http_code}", f"{scheme}://localhost:{port}/x?y", "--data", "hello"],
                          capture_output=True, text=True, timeout=60, check=True)
    body, _, verdict = done.stdout.rpartition("\n")
    assert verdict == "2 200"
    seen = json.loads(body)
    assert seen["target"] == "/x?y" and {k.lower(): v for k, v in seen["headers"]}["x-forwarded-proto"] == scheme


@needs("nghttp")
def test_nghttp(stack, local):
    done = subprocess.run(["nghttp", "-ns", "-m", "20", f"http://localhost:{stack.http_port}/bytes/100000"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert len(re.findall(r"\b200\b", done.stdout)) >= 20, done.stdout


@needs("h2load")
@pytest.mark.parametrize("streams", [1, 100])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_h2load(stack, local, quick, tls, streams):
    count = 1000 if quick else 5000
    url = f"https://localhost:{stack.https_port}/status/200" if tls else f"http://localhost:{stack.http_port}/status/200"
    done = subprocess.run(["h2load", "-n", str(count), "-c", "4", "-m", str(streams), url], capture_output=True, text=True, timeout=120,
                          check=True)
    counts = re.search(r"status codes: (\d+) 2xx", done.stdout)
    # A connection ends after keep_alive_requests_max requests, which h2load takes for an error.
    assert counts and int(counts.group(1)) >= min(count, 4000), done.stdout
    assert " 0 4xx, 0 5xx" in done.stdout


def test_bodies_both_ways(stack, served, backend):
    with Client(stack.http_port, timeout=60) as client:
        answer = client.request(served, "/bytes/3000000")
        assert answer.status == 200 and answer.body_bytes == 3_000_000
        answer = client.request(served, "/chunked/200000")
        assert answer.body_bytes == 200_000 and "transfer-encoding" not in answer.headers
        body = bytes(range(256)) * 4000
        answer = client.request(served, "/up", "POST", body=body)
        assert answer.status == 200
    assert backend.seen[-1].message.body[:1 << 20] == body[:1 << 20] and backend.seen[-1].message.body_bytes == len(body)


def test_many_streams_are_answered_each_with_its_own(stack, served):
    with Client(stack.http_port) as client:
        streams = {client.start(served, f"/bytes/{1000 + i * 37}"): 1000 + i * 37 for i in range(100)}
        for stream, size in streams.items():
            assert client.wait(stream).body_bytes == size


def test_trailers_and_interim(stack, served):
    with Client(stack.http_port) as client:
        assert client.request(served, "/trailers").trailers
        assert 103 in client.request(served, "/interim").interim
        answer = client.request(served, "/", "HEAD")
        assert answer.status == 200 and answer.body_bytes == 0


def test_a_slow_stream_stops_no_other(stack, served, backend):
    """An upload that its backend does not read, and a download that this client does not read."""
    with Client(stack.http_port) as client:
        slow_down = client.start(served, "/bytes/50000000")
        client.unread.add(slow_down)
        client.pump()
        asleep = client.start(served, "/sleep/3", "POST", end=False)
        for _ in range(20):
            assert client.request(served, "/bytes/2000").body_bytes == 2000
        client.send(asleep, b"x", end=True)
        assert client.wait(asleep).status == 200
        assert not client.answers[slow_down].ended and client.answers[slow_down].body_bytes <= 65535
        client.h2.reset_stream(slow_down, 8)
        client.flush()


def test_a_broken_upstream_costs_its_own_stream(stack, served):
    with Client(stack.http_port) as client:
        short, good = client.start(served, "/short"), client.start(served, "/bytes/10")
        assert client.wait(good).status == 200
        answer = client.wait(short)
        assert answer.reset is not None or answer.status == 502
        assert client.request(served, "/reset").status == 502
        assert client.request(served, "/bytes/10").status == 200


def test_no_upgrade_from_http1(stack, served):
    """RFC 9113 section 3.1: h2c by Upgrade is ignored."""
    with Http1Client(stack.http_port) as client:
        answer = client.request(served, "/", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"})
        assert answer.status == 200
        assert "upgrade" not in {k.lower() for k, _ in answer.json()["headers"]}


def test_the_preface_in_pieces(stack, served):
    with socket.create_connection(("127.0.0.1", stack.http_port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0":
            sock.sendall(bytes([byte]))
        assert sock.recv(9)[3] == 4   # SETTINGS


def test_draining_answers_what_is_open_and_says_goaway(own_stack, backend):
    stack = own_stack().start()
    stack.publish("drain.test", backend)
    with Raw(stack.http_port) as raw:   # The h2 library takes GOAWAY for the end of everything.
        raw.send(headers(1, request_fields("drain.test", "/sleep/1")))
        eventually(lambda: any(s.message.target == "/sleep/1" for s in backend.seen))
        stack.proxy.popen.terminate()
        first = raw.wait(lambda kind, *_: kind == GOAWAY)
        assert first[3] == b"\x7f\xff\xff\xff\0\0\0\0"
        assert raw.wait(lambda kind, flags, stream, payload: kind == DATA and stream == 1 and flags & 1), raw.frames
        assert raw.wait(lambda kind, flags, stream, payload: kind == GOAWAY and payload[:4] == b"\0\0\0\1")
        assert raw.ended.wait(20)
