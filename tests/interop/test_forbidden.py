"""io_uring forbidden by seccomp, as container runtimes do it: the proxy starts on epoll by itself and says so."""

import pytest

from harness.net import eventually
from harness.stack import Stack


@pytest.fixture(params=["eperm", "enosys"])
def forbidden(request, bins, tmp_path):
    stack = Stack(bins, tmp_path / "stack", request.param)
    yield stack
    stack.stop()


def test_falls_back_and_serves(forbidden, backend):
    forbidden.start()
    forbidden.publish("a.test", backend)
    with forbidden.client() as client:
        for size in (0, 5000, 3_000_000):
            assert client.request("a.test", f"/bytes/{size}").body_bytes == size
            assert client.request("a.test", "/up", "POST", body=b"x" * min(size, 900_000)).json()["body_bytes"] == min(size, 900_000)
    assert "epoll" in forbidden.admin("/readyz?verbose")[1]
    assert any("epoll" in name for name in forbidden.metrics())
    assert eventually(lambda: "epoll" in forbidden.proxy.tail(200))


def test_asked_for_io_uring_it_says_no(forbidden):
    """--io uring is an order: no silent fallback."""
    forbidden.proxy_prefix = [forbidden.bins / "deny_io_uring", forbidden.variant.upper()]
    forbidden.variant = "uring"
    forbidden.start_controller()
    forbidden.start_proxy(ready=False)
    code = forbidden.proxy.popen.wait(20)
    assert code not in (0, 137, -9), code
    assert "io_uring" in forbidden.proxy.tail() or "uring" in forbidden.proxy.tail()
    forbidden.proxy = None
