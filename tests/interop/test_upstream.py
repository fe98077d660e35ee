"""Endpoints that fail, go and come: what is retried, what is not, and what the client is told."""

import collections
import time

from harness import objects
from harness.backend import Backend
from harness.net import eventually, free_port


def answers(stack, host, count, path="/who"):
    with stack.client() as client:
        return collections.Counter(client.request(host, path).get("x-backend") for _ in range(count))


def test_round_robin_is_even(stack, host):
    with Backend("a") as a, Backend("b") as b, Backend("c") as c:
        stack.publish(host, a, b, c)
        counts = answers(stack, host, 90)
        assert set(counts) == {"a", "b", "c"} and min(counts.values()) >= 20, counts


def test_refused_endpoint_is_retried_elsewhere(stack, backend, host):
    closed = type("Closed", (), {"port": free_port()})
    stack.publish(host, backend, closed)
    for _ in range(12):
        with stack.client() as client:
            assert client.request(host, "/r").status == 200
            assert client.request(host, "/p", "POST", body=b"x").status == 200  # Nothing was sent to the one that refused.


def test_reset_before_the_response_is_retried_for_get_only(stack, backend, host):
    with Backend("bad") as bad:
        bad.fail_all = "reset"
        stack.publish(host, backend, bad, wait=False)
        eventually(lambda: stack.get(host, "/warm").status == 200)
        with stack.client() as client:
            for i in range(10):
                assert client.request(host, f"/g{i}").status == 200
    # POST: to a backend that resets everything, once only.
    lone = f"post-{host}"
    with Backend("bad") as bad:
        bad.fail_all = "reset"
        stack.publish(lone, bad, wait=False)
        eventually(lambda: stack.get(lone, "/probe", method="POST", body=b"").status != 404)
        before = len(bad.requests)
        assert stack.get(lone, "/once", method="POST", body=b"pay").status == 502
        assert len([p for p in bad.paths()[before:] if p == "/once"]) == 1


def test_all_endpoints_fail(stack, host):
    with Backend("x") as x, Backend("y") as y:
        stack.publish(host, x, y)
        x.fail_all = y.fail_all = "reset"
        assert stack.get(host, "/").status == 502
        x.stop(), y.stop()
        assert stack.get(host, "/").status in (502, 503)


def test_503_without_endpoints(stack, host):
    stack.publish(host, wait=False)
    eventually(lambda: stack.get(host, "/").status == 503)


def test_404_without_route(stack):
    message = stack.get("nobody.test", "/x")
    assert message.status == 404 and message.get("content-type", "").startswith("text/")


def test_unready_endpoint_gets_nothing_and_terminating_ends_quietly(stack, host):
    with Backend("ready") as ready, Backend("off") as off:
        name = host.replace(".", "-")
        def publish(conditions):
            stack.put(name, objects.ingress(name, host, [objects.path(name)]), objects.service(name),
                      objects.slice_of(name, ready.port), objects.slice_of(name, off.port, conditions))
        publish({"ready": False, "serving": False, "terminating": False})
        stack.wait_route(host)
        assert set(answers(stack, host, 20)) == {"ready"}
        publish({"ready": True})
        eventually(lambda: "off" in answers(stack, host, 6))
        with stack.client() as client:
            client.send(f"GET /sleep/1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 1)
            publish({"ready": False, "serving": True, "terminating": True})
            assert client.reader.response().body == b"late\n"
        eventually(lambda: set(answers(stack, host, 10)) == {"ready"})


def test_active_health_check_takes_out_and_brings_back(stack, host):
    with Backend("well") as well, Backend("sick") as sick:
        sick.healthy = False
        stack.publish(host, well, sick, service_annotations={"ringway.dev/health-check-path": "/healthz",
                                                            "ringway.dev/health-check-interval": "200ms"})
        eventually(lambda: set(answers(stack, host, 20)) == {"well"}, 30)
        sick.healthy = True
        eventually(lambda: "sick" in answers(stack, host, 10), 30)


def test_passive_health_ejects(stack, host):
    """Five errors in a row put an endpoint aside; the others carry on."""
    with Backend("well") as well, Backend("also") as also, Backend("bad") as bad:
        stack.publish(host, well, also, bad)
        bad.fail_all = "503"
        with stack.client() as client:
            eventually(lambda: [client.request(host, "/").status for _ in range(12)] == [200] * 12, 20)


def test_idle_connection_closed_by_the_backend_costs_no_request(stack, backend, host):
    stack.publish(host, backend)
    for _ in range(10):
        assert stack.get(host, "/a").status == 200
        backend.drop_connections()
        time.sleep(0.3)  # Generous: the close must have reached the proxy before the POST.
        assert stack.get(host, "/b", method="POST", body=b"x").status == 200


def test_connections_are_reused(stack, backend, host):
    stack.publish(host, backend)
    before = backend.accepted
    for _ in range(20):
        assert stack.get(host, "/").status == 200
    assert backend.accepted - before <= stack.workers


def test_backend_without_keep_alive(stack, host):
    with Backend("closing", keep_alive=False) as closing:
        stack.publish(host, closing)
        with stack.client() as client:
            for i in range(10):
                assert client.request(host, f"/{i}").status == 200
