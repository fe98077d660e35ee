"""The rows of the table of hostile requests at the level of the whole proxy: which status, whether the connection ends, and that the backend
saw nothing it should not have. Row numbers are those of docs/design and the parsers' unit tests."""

import pytest

HOST = "{host}"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"


def post(fields: str, body: str = "", version: str = "1.1") -> str:
    return f"POST /r HTTP/{version}\r\nHost: {HOST}\r\n{fields}\r\n{body}"


def chunked(body: str) -> str:
    return post("Transfer-Encoding: chunked\r\n", body)


# row, name, request, statuses that are right. All of these must also close the connection and reach no backend.
REFUSED = [
    (1, "cl-te", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + SMUGGLED), {400}),
    (1, "te-cl", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n" + SMUGGLED), {400}),
    (2, "te-unknown", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), {400, 501}),
    (2, "te-cow", post("Transfer-Encoding: chunked, cow\r\n", "0\r\n\r\n"), {400, 501}),
    (2, "te-identity", post("Transfer-Encoding: identity\r\n"), {400, 501}),
    (2, "te-quoted", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), {400, 501}),
    (2, "te-two-lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), {400, 501}),
    (2, "te-twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400, 501}),
    (2, "te-empty", post("Transfer-Encoding:\r\n"), {400, 501}),
    (3, "te-space-colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), {400}),
    (3, "te-lead-space", "POST /r HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: {host}\r\n\r\n0\r\n\r\n", {400}),
    (3, "te-vtab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), {400, 501}),
    (3, "te-nul", post("Transfer-Encoding: chunked\x00\r\n", "0\r\n\r\n"), {400}),
    (4, "te-http10", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "1.0"), {400}),
    *[(5, f"cl-{name}", post(f"Content-Length: {value}\r\n", "hello"), {400}) for name, value in {
        "empty": "", "plus": "+5", "minus": "-0", "hex": "0x5", "space": "5 5", "underscore": "1_0", "comma": "5,", "huge": "9" * 20,
        "minus-one": "-1"}.items()],
    (6, "cl-differ", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), {400}),
    (6, "cl-list", post("Content-Length: 5, 6\r\n", "hello!"), {400}),
    (8, "expect-unknown", post("Content-Length: 1\r\nExpect: y 100-continue\r\n", "x"), {417}),
    *[(9, f"chunk-size-{name}", chunked(f"{value}\r\nhello\r\n0\r\n\r\n"), {400}) for name, value in {
        "hex": "0x5", "plus": "+5", "minus": "-1", "lead": " 5", "underscore": "5_", "empty": "", "long": "00000000000000005",
        "overflow": "ffffffffffffffff1"}.items()],
    (10, "ext-lf", chunked("5;\nhello\r\n0\r\n\r\n"), {400}),
    (10, "ext-cr", chunked("5\r\r\nhello\r\n0\r\n\r\n"), {400}),
    (10, "ext-nul", chunked("5;\x00a\r\nhello\r\n0\r\n\r\n"), {400}),
    (10, "size-lf", chunked("5\nhello\r\n0\r\n\r\n"), {400}),
    (10, "ext-long", chunked("5;" + "a" * 20_000 + "\r\nhello\r\n0\r\n\r\n"), {400, 413, 431}),
    (11, "chunk-spill", chunked("5\r\nhello!!\r\n0\r\n\r\n"), {400}),
    (11, "chunk-no-crlf", chunked("5\r\nhelloXX0\r\n\r\n"), {400}),
    (13, "lf-lines", "GET /r HTTP/1.1\nHost: {host}\n\n", {400}),
    (13, "bare-cr", "GET /r HTTP/1.1\r\nHost: {host}\r\nX: a\rb\r\n\r\n", {400}),
    (14, "obs-fold", "GET /r HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\n\r\n", {400}),
    (15, "space-first-header", "GET /r HTTP/1.1\r\n Host: {host}\r\n\r\n", {400}),
    *[(16, f"name-{name}", f"GET /r HTTP/1.1\r\nHost: {HOST}\r\n{line}\r\n\r\n", {400}) for name, line in {
        "empty": ": x", "space": "a b: x", "latin": "\xe9: x", "no-colon": "nocolon"}.items()],
    (17, "nul-value", "GET /r HTTP/1.1\r\nHost: {host}\r\nX: a\x00b\r\n\r\n", {400}),
    (17, "ctl-value", "GET /r HTTP/1.1\r\nHost: {host}\r\nX: a\x01b\r\n\r\n", {400}),
    (18, "host-none", "GET /r HTTP/1.1\r\n\r\n", {400}),
    (18, "host-two", "GET /r HTTP/1.1\r\nHost: {host}\r\nHost: other\r\n\r\n", {400}),
    *[(18, f"host-{name}", f"GET /r HTTP/1.1\r\nHost: {value}\r\n\r\n", {400}) for name, value in {
        "list": "a, b", "user": "a@b", "slash": "a/b", "empty": "", "space": "a b"}.items()],
    *[(20, f"line-{name}", f"{line}\r\nHost: {HOST}\r\n\r\n", statuses) for name, (line, statuses) in {
        "tab": ("GET\t/r\tHTTP/1.1", {400}), "two-spaces": ("GET  /r HTTP/1.1", {400}), "version-long": ("GET /r HTTP/1.01", {400, 505}),
        "version-case": ("GET /r http/1.1", {400, 505}), "version-09": ("GET /r", {400, 505}), "version-2": ("GET /r HTTP/2.0", {400, 505}),
        "fragment": ("GET /r#frag HTTP/1.1", {400}), "space-target": ("GET /r x HTTP/1.1", {400}), "ctl": ("GET /r\x01 HTTP/1.1", {400}),
        "method": ("G(T /r HTTP/1.1", {400, 501})}.items()],
    (24, "path-nul", "GET /a%00b HTTP/1.1\r\nHost: {host}\r\n\r\n", {400}),
    (24, "path-bad-percent", "GET /a%zz HTTP/1.1\r\nHost: {host}\r\n\r\n", {400}),
    (35, "uri-long", "GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n", {414}),
    (35, "header-long", "GET /r HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 1_000_000 + "\r\n\r\n", {431}),
    (35, "headers-many", "GET /r HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"X{i}: y\r\n" for i in range(10_000)) + "\r\n", {431}),
]


def send_all(client, text: str):
    """What the proxy no longer wants to read may fail to be sent: it has answered."""
    try:
        client.send(text.encode("latin-1"))
    except (BrokenPipeError, ConnectionResetError):
        pass


@pytest.mark.parametrize("row, name, text, statuses", REFUSED, ids=[f"{row:02}-{name}" for row, name, _, _ in REFUSED])
def test_refused_and_closed(stack, served, backend, row, name, text, statuses):
    text = text.replace(HOST, served)
    with stack.client(timeout=15) as client:
        send_all(client, text)
        message = client.reader.response()
        assert message.status in statuses, message
        assert client.reader.at_end(), "the connection stays open"
    assert "smuggled" not in str(backend.paths())
    if row not in (9, 10, 11):  # A body may be found bad when its head has been passed on.
        assert backend.paths() == []
    else:
        assert all(m.body_bytes == 0 or m.body != b"hello" or m.get("transfer-encoding") for m in backend.requests)


def test_answers_echo_nothing(stack, served):
    """Row 43: no part of the request is in an answer of our own."""
    for text in (f"GET /<script>q HTTP/1.1\r\nHost: nowhere-{served}\r\n\r\n", f"GET /marker\x01 HTTP/1.1\r\nHost: {served}\r\n\r\n"):
        with stack.client() as client:
            client.send(text.encode("latin-1"))
            message = client.reader.response()
            assert message.status in (400, 404)
            assert b"script" not in message.body and b"marker" not in message.body and b"nowhere" not in message.body


def test_07_get_with_a_body_is_read_by_its_length(stack, served, backend):
    inner = f"GET /smuggled HTTP/1.1\r\nHost: {served}\r\n\r\n"
    with stack.client() as client:
        client.send(f"GET /outer HTTP/1.1\r\nHost: {served}\r\nContent-Length: {len(inner)}\r\n\r\n{inner}".encode())
        assert client.reader.response().json()["body_bytes"] == len(inner)
        assert client.request(served, "/next").status == 200
    assert backend.paths() == ["/outer", "/next"]


def test_12_forbidden_trailers_are_not_merged(stack, served, backend):
    with stack.client() as client:
        client.send(chunked("3\r\nabc\r\n0\r\nContent-Length: 9\r\nHost: evil\r\nAuthorization: x\r\nTransfer-Encoding: x\r\n\r\n")
                    .replace(HOST, served).encode())
        message = client.reader.response()
        assert message.status in (200, 400)
    for seen in backend.requests:
        assert "evil" not in str(seen.headers + seen.trailers) and "Authorization" not in str(seen.headers + seen.trailers)


def test_06_equal_lengths_are_one_or_none(stack, served, backend):
    with stack.client() as client:
        client.send(post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello").replace(HOST, served).encode())
        assert client.reader.response().status in (200, 400)
    assert all(m.all("content-length") == ["5"] for m in backend.requests)


def test_15_blank_lines_before_a_request_are_ignored(stack, served):
    with stack.client() as client:
        client.send(b"\r\n\r\n" + f"GET /ok HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
        assert client.reader.response().json()["target"] == "/ok"


@pytest.mark.parametrize("line, statuses", [("CONNECT example.test:443", {400, 404, 405, 501}), ("TRACE /", {400, 405, 501})])
def test_21_connect_and_trace(stack, served, backend, line, statuses):
    with stack.client() as client:
        client.send(f"{line} HTTP/1.1\r\nHost: {served}\r\nCookie: secret\r\n\r\n".encode())
        assert client.reader.response().status in statuses
    assert backend.paths() == []


def test_21_options_asterisk(stack, served):
    with stack.client() as client:
        client.send(f"OPTIONS * HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
        assert client.reader.response().status in (200, 204, 400, 404, 405, 501)


def test_25_connection_header_cannot_hide_smuggling(stack, served, backend):
    with stack.client() as client:
        client.send(f"POST /c HTTP/1.1\r\nHost: {served}\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello".encode())
        message = client.reader.response()
        assert message.status in (200, 400)
    assert all(m.body == b"hello" for m in backend.requests)


# Row 28 and 14, 17 for responses: what an upstream sends is as little trusted.
BAD_RESPONSES = {
    "garbage": b"\x16\x03\x01garbage\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "te-cl": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "te-unknown": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\nhello",
    "nul-value": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "no-colon": b"HTTP/1.1 200 OK\r\nnocolon\r\nContent-Length: 0\r\n\r\n",
    "lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "status-bad": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "interim-flood": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 500 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "head-huge": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "switching-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_28_bad_responses_are_502(stack, served, backend, name):
    backend.scripts[name] = BAD_RESPONSES[name]
    with stack.client() as client:
        message = client.request(served, f"/raw/{name}", "POST", body=b"x")
        if name in ("te-cl", "obs-fold") and message.status == 200:
            return  # Both may be repaired instead.
        assert message.status == 502, message
        assert b"garbage" not in message.body


def test_28_excess_bytes_never_reach_the_next_client(stack, served, backend):
    backend.scripts["excess"] = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    with stack.client() as client:
        first = client.request(served, "/raw/excess")
        assert first.status in (200, 502)
        assert first.body in (b"ok",) or first.status == 502
        for i in range(10):
            assert client.request(served, f"/n{i}").json()["target"] == f"/n{i}"


def test_28_short_body_is_seen_as_broken(stack, served):
    """The client must not take a truncated body for a whole one."""
    from harness.http import Closed
    with stack.client() as client, pytest.raises((Closed, ConnectionResetError)):
        client.request(served, "/short")


def test_413_by_length_and_by_counting(stack, backend, host):
    stack.publish(host, backend, annotations={"proxy-body-size": "1k"})
    with stack.client() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2000\r\n\r\n".encode())
        assert client.reader.response().status == 413
    with stack.client() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + b"400\r\n" + b"x" * 0x400 + b"\r\n")
        send_all(client, "400\r\n" + "x" * 0x400 + "\r\n0\r\n\r\n")
        assert client.reader.response().status == 413
    assert stack.get(host, "/", method="POST", body=b"x" * 1000).status == 200


def test_default_body_limit_is_one_mebibyte(stack, served):
    assert stack.get(served, "/", method="POST", body=b"x" * (1 << 20)).status == 200
    with stack.client() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: {served}\r\nContent-Length: {(1 << 20) + 1}\r\n\r\n".encode())
        assert client.reader.response().status == 413
