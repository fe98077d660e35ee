"""HTTP/1.1 through the proxy: what clients send arrives as meant, what backends answer comes back as meant."""

import hashlib
import json
import socket
import subprocess

import pytest

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
BODIES = [0, 1, 4095, 4096, 4097, 65536, 300_000]


def curl(stack, host, path="/", *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", "20", "--connect-to", f"::127.0.0.1:{stack.http_port}", *arguments,
                           f"http://{host}{path}"], capture_output=True, check=True)


@pytest.mark.parametrize("method", METHODS)
def test_methods_by_curl(stack, served, method):
    answer = json.loads(curl(stack, served, "/a/b?c=d", "-X", method).stdout)
    assert (answer["method"], answer["target"], answer["name"]) == (method, "/a/b?c=d", "one")


def test_head_has_no_body(stack, backend, served):
    with stack.client() as client:
        first = client.request(served, "/bytes/5000", "HEAD")
        assert first.status == 200 and first.get("content-length") == "5000"
        assert client.request(served, "/x").json()["target"] == "/x"  # Nothing was left on the connection.
    assert b"200 OK" in curl(stack, served, "/bytes/5000", "--head").stdout


@pytest.mark.parametrize("size", BODIES)
def test_request_bodies(stack, served, size):
    body = bytes(i * 7 % 251 for i in range(size))
    with stack.client() as client:
        for _ in range(2):
            answer = client.request(served, "/up", "POST", body=body).json()
            assert answer["body_bytes"] == size and answer["body_sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_response_bodies(stack, served, kind, size):
    with stack.client() as client:
        for _ in range(2):
            assert client.request(served, f"/{kind}/{size}").body_bytes == size


def test_chunked_request(stack, served):
    with stack.client() as client:
        client.send(f"POST /up HTTP/1.1\r\nHost: {served}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                    + b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n")
        answer = client.reader.response().json()
    assert answer["body_bytes"] == 11 and answer["body_sha256"] == hashlib.sha256(b"hello world").hexdigest()


def test_chunked_request_by_curl(stack, served):
    sent = subprocess.run(["curl", "-sS", "--connect-to", f"::127.0.0.1:{stack.http_port}", "-T", "-", "-X", "POST", f"http://{served}/up"],
                          input=b"z" * 70_000, capture_output=True, check=True)
    assert json.loads(sent.stdout)["body_bytes"] == 70_000


def test_100_continue(stack, served):
    with stack.client() as client:
        client.send(f"POST /up HTTP/1.1\r\nHost: {served}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        client.sock.settimeout(10)
        interim = client.reader.head()
        assert interim.status == 100
        client.send(b"data")
        assert client.reader.response().json()["body_bytes"] == 4
        assert client.request(served, "/after").status == 200


def test_interim_responses_pass(stack, served):
    message = stack.get(served, "/interim/103")
    assert message.status == 200 and message.body == b"after hints\n"
    assert [i.status for i in message.interim] == [103]


def test_trailers_of_a_response(stack, served):
    with stack.client() as client:
        message = client.request(served, "/trailers", headers={"TE": "trailers"})
        assert message.body == b"hello"
        assert dict(message.trailers) in ({}, {"X-Sum": "42", "X-Other": "yes"}, {"x-sum": "42", "x-other": "yes"})
        assert client.request(served, "/next").status == 200


def test_http_10_client(stack, served):
    for extra, stays in ((b"", False), (b"Connection: keep-alive\r\n", True)):
        with stack.client() as client:
            client.send(f"GET /old HTTP/1.0\r\nHost: {served}\r\n".encode() + extra + b"\r\n")
            message = client.reader.response()
            assert message.status == 200 and message.json()["target"] == "/old"
            assert client.reader.at_end(1.5 if stays else 10) is not stays


def test_http_10_client_gets_no_chunks(stack, served):
    with stack.client() as client:
        client.send(f"GET /chunked/30000 HTTP/1.0\r\nHost: {served}\r\n\r\n".encode())
        message = client.reader.response()
        assert message.get("transfer-encoding") is None and message.body_bytes == 30000


def test_connection_close(stack, served):
    with stack.client() as client:
        message = client.request(served, "/", headers={"Connection": "close"})
        assert message.status == 200 and message.get("connection", "").lower() == "close"
        assert client.reader.at_end()


def test_absolute_form(stack, served, backend):
    with stack.client() as client:
        client.send(f"GET http://{served}/abs?q=1 HTTP/1.1\r\nHost: other.test\r\n\r\n".encode())
        answer = client.reader.response().json()
    assert answer["target"] == "/abs?q=1"
    assert [v for k, v in answer["headers"] if k.lower() == "host"] == [served]


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_pipelining(stack, served, step):
    """Twenty requests at once, cut into segments of `step` bytes: twenty answers, in order."""
    data = b"".join(f"{'POST' if i % 3 == 0 else 'GET'} /p{i} HTTP/1.1\r\nHost: {served}\r\n".encode()
                    + (b"Content-Length: 3\r\n\r\nabc" if i % 3 == 0 else b"\r\n") for i in range(20))
    with stack.client() as client:
        for at in range(0, len(data), step):
            client.send(data[at:at + step])
        for i in range(20):
            answer = client.reader.response().json()
            assert answer["target"] == f"/p{i}" and answer["body_bytes"] == (3 if i % 3 == 0 else 0)


def test_keep_alive_on_both_sides(stack, served, backend):
    before = backend.accepted
    with stack.client() as client:
        for i in range(50):
            assert client.request(served, f"/k{i}").status == 200
    assert backend.accepted - before <= stack.workers + 2


def test_half_close_of_the_client(stack, served):
    """A client that shuts down its sending side after the request still gets its answer."""
    with stack.client() as client:
        client.send(f"GET /sleep/0.3 HTTP/1.1\r\nHost: {served}\r\n\r\n".encode())
        client.sock.shutdown(socket.SHUT_WR)
        message = client.reader.response()
        assert message.status == 200 and message.body == b"late\n"


def test_backend_body_until_close(stack, served, backend):
    backend.scripts["old"] = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"y" * 20_000
    assert stack.get(served, "/raw/old").body_bytes == 20_000


@pytest.mark.parametrize("status", [200, 201, 204, 206, 301, 304, 400, 404, 418, 500])
def test_statuses_pass(stack, served, status):
    with stack.client() as client:
        assert client.request(served, f"/status/{status}").status == status
        assert client.request(served, "/again").status == 200


def test_early_answer(stack, served):
    """The backend answers before it has read the body: the client gets the answer, the connection does not go on with leftovers."""
    with stack.client() as client:
        client.send(f"POST /early HTTP/1.1\r\nHost: {served}\r\nContent-Length: 500000\r\n\r\n".encode() + b"x" * 1000)
        assert client.reader.response().status == 413


def test_one_byte_segments(stack, served):
    data = f"POST /slow HTTP/1.1\r\nHost: {served}\r\nContent-Length: 5\r\n\r\nhello".encode()
    with stack.client() as client:
        for byte in data:
            client.send(bytes([byte]))
        assert client.reader.response().json()["body_bytes"] == 5


def test_large_head_within_limits(stack, served):
    with stack.client() as client:
        headers = {f"X-H{i}": "v" * 900 for i in range(40)}  # 36 KiB, over several receive buffers.
        answer = client.request(served, "/big", headers=headers).json()
        got = {k.lower(): v for k, v in answer["headers"]}
        assert all(got.get(k.lower()) == v for k, v in headers.items())
