"""Rows 29 to 34 of the table of attacks, each beside a good client that must not notice, while memory stays bounded."""

import contextlib
import time

import pytest

from harness import http2
from harness.http2 import BodyEndpoint, END_HEADERS, ENHANCE_YOUR_CALM, GoodClient, PROTOCOL_ERROR, Raw, frame, headers, request_fields
from harness.net import eventually

pytest.importorskip("h2", reason="Debian's python3-h2 is not installed")

GROWTH_KIB_MAX = 64 * 1024
BASELINE_ANSWERS = 300
STALLED_CONNECTIONS, STALLED_STREAMS = 4, 100   # Streams of each.
STALLED_BYTES = 10_000_000                      # What each stream asks for.


@contextlib.contextmanager
def watching(stack, host: str, sanitized: bool, name: str):
    """A good client asks all the time, and memory is looked at before and behind.

    How long the good client waited beside the attack, and before it, is printed: a machine that others use decides that too, so it decides nothing here.
    """
    with GoodClient(stack.http_port, host) as good:
        eventually(lambda: good.answered > BASELINE_ANSWERS or good.problem, 60)
        before, begin = stack.rss_kib(), good.answered
        yield
        if not sanitized:
            assert stack.rss_kib() - before < GROWTH_KIB_MAX
        seen = good.answered
        eventually(lambda: good.answered > seen + 5 or good.problem)
        usual, beside = good.p99(0, begin), good.p99(begin, seen + 5)
        print(f"{name}: p99 of the good client {usual * 1e3:.2f} ms before, {beside * 1e3:.2f} ms beside the attack"
              f"{'' if beside <= 2 * usual else ' (more than twice)'}; memory {stack.rss_kib() - before:+} KiB")


@pytest.fixture
def watched(stack, served, sanitized, request):
    """The host that the good client asks too."""
    with watching(stack, served, sanitized, request.node.name):
        yield served


def calmed(stack, kind: str) -> float:
    return stack.metric("ringway_http2_calmed_connections_total", kind=kind)


MALFORMED = {
    "29-transfer-encoding": [("transfer-encoding", "chunked")],
    "29-connection": [("connection", "close")],
    "29-te": [("te", "gzip")],
    "30-crlf": [("x", "a\r\nb: c")],
    "30-nul": [("x", "a\0b")],
    "30-upper": [("X-Y", "z")],
    "30-colon": [("a:b", "c")],
    "30-space": [("x", " a")],
    "31-twice": [(":path", "/other")],
    "31-unknown": [(":what", "x")],
    "31-host": [("host", "other.test")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_reset(stack, watched, backend, name):
    with Raw(stack.http_port) as raw:
        raw.send(headers(1, request_fields(watched, "/evil", "GET", *MALFORMED[name])))
        assert raw.reset_code(1) == PROTOCOL_ERROR
    assert not any(s.message.target == "/evil" for s in backend.seen)


@pytest.mark.parametrize("length, data", [("10", b"12345"), ("3", b"12345"), ("1", b"")])
def test_row_29_content_length_against_data(stack, watched, length, data):
    with Raw(stack.http_port) as raw:
        raw.send(headers(1, request_fields(watched, "/evil", "POST", ("content-length", length)), end=False) + frame(http2.DATA, 1, 1, data))
        assert raw.reset_code(1) == PROTOCOL_ERROR


def test_row_32_rapid_reset(stack, watched):
    before = calmed(stack, "client_reset")
    with Raw(stack.http_port) as raw:
        for first in range(1, 20001, 200):
            if not raw.send(b"".join(headers(i, request_fields(watched, "/sleep/1")) + frame(http2.RST_STREAM, 0, i, b"\0\0\0\x08")
                                     for i in range(first, first + 200, 2))):
                break
        assert raw.goaway() in (ENHANCE_YOUR_CALM, None)
    assert calmed(stack, "client_reset") == before + 1
    eventually(lambda: stack.metric("ringway_requests_active") <= 1)


def test_row_32_made_you_reset(stack, watched):
    """A window that overflows makes the proxy reset the stream while the backend works."""
    before = calmed(stack, "server_reset")
    with Raw(stack.http_port) as raw:
        for first in range(1, 4001, 100):
            if not raw.send(b"".join(headers(i, request_fields(watched, "/sleep/1")) +
                                     frame(http2.WINDOW_UPDATE, 0, i, b"\x7f\xff\xff\xff") for i in range(first, first + 100, 2))):
                break
        assert raw.goaway() in (ENHANCE_YOUR_CALM, None)
    assert calmed(stack, "server_reset") == before + 1
    eventually(lambda: stack.metric("ringway_requests_active") <= 1)


FLOODS = {
    "priority": frame(http2.PRIORITY, 0, 7, b"\0\0\0\0\x10"),
    "window_update": frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "empty_data": frame(http2.DATA, 0, 1),
    "ping": frame(http2.PING, 0, 0, b"12345678"),
    "settings": frame(http2.SETTINGS, 0, 0),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_row_33_floods(stack, watched, kind):
    before = calmed(stack, kind)
    with Raw(stack.http_port) as raw:
        raw.send(headers(1, request_fields(watched, "/sleep/1", "POST"), end=False))
        for _ in range(200):
            if not raw.send(FLOODS[kind] * 500):
                break
        assert raw.goaway() in (ENHANCE_YOUR_CALM, None)
    assert calmed(stack, kind) == before + 1


def test_row_33_continuation_flood(stack, watched):
    with Raw(stack.http_port) as raw:
        raw.send(frame(http2.HEADERS, 0, 1, http2.block(*request_fields(watched))))
        for i in range(2000):
            if not raw.send(frame(http2.CONTINUATION, 0, 1, http2.block((f"x{i}", "a" * 8000)))):
                break
        raw.goaway()
    assert stack.metric("ringway_http2_glitches_total", kind="continuation") > 0


def test_row_34_hpack_bomb(stack, watched):
    before = calmed(stack, "headers")
    bomb = http2.block(*request_fields(watched)) + b"\x40" + http2.block(("x", "v" * 3000))[1:] + b"\xbe" * 12000
    with Raw(stack.http_port) as raw:
        raw.send(frame(http2.HEADERS, END_HEADERS | 1, 1, bomb))
        assert raw.goaway() in (ENHANCE_YOUR_CALM, None)
    assert calmed(stack, "headers") == before + 1


def test_row_34_cookie_crumbs_count(stack, watched):
    with Raw(stack.http_port) as raw:
        raw.send(headers(1, request_fields(watched, "/", "GET", *[("cookie", f"c{i}=1") for i in range(90)])) +
                 headers(3, request_fields(watched, "/", "GET", *[("cookie", f"c{i}=1") for i in range(110)])))
        found = raw.wait(lambda kind, flags, stream, payload: kind == http2.HEADERS and stream == 3)
        assert found is not None and b"431" in found[3] or found[3], found
        assert raw.wait(lambda kind, flags, stream, payload: kind == http2.HEADERS and stream == 1)


def stall(stack, host: str, how: str):
    """400 streams that take nothing: their windows stay closed, or are as wide as can be and the socket is not read."""
    window = 0 if how == "closed" else 2 ** 31 - 1
    settings = (4).to_bytes(2, "big") + window.to_bytes(4, "big")   # SETTINGS_INITIAL_WINDOW_SIZE
    active = stack.metric("ringway_requests_active")
    with contextlib.ExitStack() as opened:
        attackers = [opened.enter_context(Raw(stack.http_port, settings, silent=how == "unread")) for _ in range(STALLED_CONNECTIONS)]
        for raw in attackers:
            assert raw.send(frame(http2.WINDOW_UPDATE, 0, 0, (2 ** 30).to_bytes(4, "big")) +
                            b"".join(headers(i, request_fields(host, f"/bytes/{STALLED_BYTES}")) for i in range(1, 2 * STALLED_STREAMS, 2)))
        eventually(lambda: stack.metric("ringway_requests_active") >= active + STALLED_CONNECTIONS * STALLED_STREAMS - 1)
        if how == "closed":
            for raw in attackers:
                for stream in range(1, 2 * STALLED_STREAMS, 2):
                    raw.wait(lambda kind, flags, at, payload, stream=stream: kind == http2.HEADERS and at == stream)
        time.sleep(1)   # For what would come.
        assert not any(kind == http2.DATA and payload for raw in attackers for kind, _, _, payload in raw.frames)
    eventually(lambda: stack.metric("ringway_requests_active") <= 1)


@pytest.mark.parametrize("endpoint", ["http1", "http2"])
@pytest.mark.parametrize("how", ["closed", "unread"])
def test_row_34_closed_windows(own_stack, backend, sanitized, request, host, how, endpoint):
    """Of ten megabytes for each of 400 streams, nearly all stay at the endpoint; the second time too, when buffers are there already."""
    stack = own_stack().start()
    good = "good-" + host
    stack.publish(good, backend)
    with BodyEndpoint(STALLED_BYTES) as http2_endpoint:
        if endpoint == "http1":
            stack.publish(host, backend)
        else:
            stack.publish(host, http2_endpoint, annotations={"backend-protocol": "GRPC"})
        with watching(stack, good, sanitized, request.node.name):
            stall(stack, host, how)
            stall(stack, host, how)
        assert endpoint == "http1" or http2_endpoint.bytes_out > 0
