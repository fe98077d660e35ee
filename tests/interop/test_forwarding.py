"""What reaches the backend: forwarding headers of our making, hop-by-hop fields removed, one canonical path."""

import re

import pytest


def seen_headers(stack, host, headers=None, path="/") -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in stack.get(host, path, headers=headers).json()["headers"]:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def test_forwarding_headers(stack, served):
    seen = seen_headers(stack, served)
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-real-ip"] == ["127.0.0.1"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == [served]
    assert seen["x-forwarded-port"] == [str(stack.http_port)]
    assert seen["host"] == [served]


def test_spoofed_forwarding_headers_are_overwritten(stack, served):
    seen = seen_headers(stack, served, [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Real-IP", "6.6.6.6"),
                                        ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "1"), ("Forwarded", "for=6.6.6.6")])
    seen.pop("x-original-forwarded-for", None)  # Says itself that it is the client's word, as in ingress-nginx.
    assert "6.6.6.6" not in str(seen) and "evil.test" not in str(seen)
    assert seen["x-forwarded-proto"] == ["http"]


def test_our_headers_cannot_be_stripped_by_connection(stack, served):
    seen = seen_headers(stack, served, {"Connection": "X-Forwarded-For, X-Real-IP, X-Request-ID, close"})
    assert seen["x-forwarded-for"] == ["127.0.0.1"] and seen["x-real-ip"] == ["127.0.0.1"] and seen["x-request-id"]


def test_hop_by_hop_fields_are_removed(stack, served):
    seen = seen_headers(stack, served, {"Connection": "X-Secret, keep-alive", "X-Secret": "1", "Keep-Alive": "timeout=5",
                                        "Proxy-Connection": "keep-alive", "TE": "gzip", "X-Stays": "2"})
    for name in ("x-secret", "keep-alive", "proxy-connection"):
        assert name not in seen
    assert "gzip" not in str(seen.get("te", ""))
    assert seen["x-stays"] == ["2"]


def test_host_and_authorization_survive_connection(stack, served):
    seen = seen_headers(stack, served, {"Connection": "Host, Authorization", "Authorization": "Basic x"})
    assert seen["host"] == [served] and seen["authorization"] == ["Basic x"]


def test_request_id(stack, served):
    first, second = (seen_headers(stack, served)["x-request-id"] for _ in range(2))
    assert re.fullmatch(r"[0-9a-f]{32}", first[0]) and first != second
    assert seen_headers(stack, served, {"X-Request-ID": "abc-123"})["x-request-id"] == ["abc-123"]


def test_h2c_upgrade_is_not_forwarded(stack, served):
    seen = seen_headers(stack, served, {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"})
    assert "upgrade" not in seen and "http2-settings" not in seen


def test_underscore_names_are_dropped(stack, served):
    seen = seen_headers(stack, served, {"X_Forwarded_For": "6.6.6.6", "Content_Length": "5", "X-Fine": "1"})
    assert "x_forwarded_for" not in seen and "content_length" not in seen and seen["x-fine"] == ["1"]


@pytest.mark.parametrize("sent, arrives", [
    ("/a/../b", "/b"), ("/a/./b", "/a/b"), ("/%61bc", "/abc"), ("/a%2Fb", "/a%2Fb"), ("/a;x=1", "/a;x=1"), ("/%2e%2e/x", "/x"),
    ("/a/b/../../c?q=/../z", "/c?q=/../z"), ("/caf%C3%A9", "/caf%C3%A9"),
])
def test_one_canonical_path(stack, served, sent, arrives):
    assert stack.get(served, sent).json()["target"] == arrives


def test_responses_lose_hop_by_hop_fields(stack, served, backend):
    backend.scripts["hop"] = (b"HTTP/1.1 200 OK\r\nConnection: close, X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=9\r\nX-Kept: 2\r\n"
                              b"Content-Length: 2\r\n\r\nok")
    with stack.client() as client:
        message = client.request(served, "/raw/hop")
        assert message.get("x-internal") is None and message.get("keep-alive") is None and message.get("x-kept") == "2"
        assert client.request(served, "/next").status == 200  # Their close is not ours.
