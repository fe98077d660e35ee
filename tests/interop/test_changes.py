"""Configuration that changes under load: not one request fails, not one connection is closed."""

import subprocess
import time

import pytest

from harness import objects
from harness.backend import Backend
from harness.load import assert_clean
from harness.net import eventually, free_port


@pytest.fixture
def origins(bins):
    """Real, fast backends: three bench_origin processes."""
    ports = [free_port() for _ in range(3)]
    running = [subprocess.Popen([bins / "bench_origin", "--port", str(port), "--body", "64"]) for port in ports]
    yield [type("Origin", (), {"port": port}) for port in ports]
    for process in running:
        process.kill()
        process.wait()


def test_200_changes_under_load(stack, backend, origins, host):
    """Routes, annotations, endpoints and whole hosts come and go beside a host under load, and the host itself changes too."""
    stack.publish(host, *origins)
    before = stack.metric("ringway_config_transactions_total")
    load = stack.load(host, 150, connections=16, rate=1500, body_bytes=64)
    for i in range(200):
        kind = i % 4
        if kind == 0:
            stack.publish(f"n{i % 10}-{host}", backend, wait=False)
        elif kind == 1:
            stack.publish(host, *origins, annotations={"proxy-read-timeout": str(30 + i)}, wait=False)
        elif kind == 2:
            stack.publish(host, *origins[i % 3:], *origins[: max(1, i % 3)], wait=False)
        elif i > 20:
            stack.publish(f"n{(i - 3) % 10}-{host}", wait=False)
        time.sleep(0.05)
    time.sleep(0.5)
    assert_clean(load.end(), ok_min=2000)
    assert before == 0 or stack.metric("ringway_config_transactions_total") > before


def test_change_is_live_soon(stack, backend, host):
    """Measured by a client: from the file's rename to the first answer of the new backend."""
    with Backend("two") as second:
        stack.publish(host, backend)
        worst = 0.0
        with stack.client() as client:
            for i in range(10):
                wanted = second if i % 2 == 0 else backend
                begin = time.monotonic()
                stack.publish(host, wanted, wait=False)
                eventually(lambda: client.request(host, "/").get("x-backend") == wanted.name, pause=0.001)
                worst = max(worst, time.monotonic() - begin)
        assert worst < 3, f"{worst:.3f} s"


def test_rolling_replacement_under_load(stack, host):
    """All endpoints are replaced one by one, as a Deployment does it: added ready, then the old one not ready, then gone."""
    name = host.replace(".", "-")
    old = [Backend(f"old{i}") for i in range(3)]
    new = [Backend(f"new{i}") for i in range(3)]

    def publish(ready, terminating=()):
        stack.put(name, objects.ingress(name, host, [objects.path(name)]), objects.service(name),
                  *[objects.slice_of(name, b.port) for b in ready],
                  *[objects.slice_of(name, b.port, {"ready": False, "serving": True, "terminating": True}) for b in terminating])

    publish(old)
    stack.wait_route(host)
    load = stack.load(host, 100, connections=8, rate=300)
    serving = list(old)
    for gone, come in zip(old, new):
        serving.append(come)
        publish(serving)
        time.sleep(0.3)
        serving.remove(gone)
        publish(serving, [gone])
        time.sleep(0.5)
        publish(serving)
        time.sleep(0.3)
        gone.stop()
    assert_clean(load.end(), ok_min=200)
    assert all(b.requests for b in new)
    before = [len(b.requests) for b in old]
    assert stack.get(host, "/").get("x-backend", "").startswith("new")
    assert before == [len(b.requests) for b in old]
    for one in new:
        one.stop()


def test_endpoints_that_die_without_a_word(stack, host):
    """No readiness change, no drain: a backend is just gone. Retries hide it; GET only."""
    with Backend("stays") as stays, Backend("dies") as dies:
        stack.publish(host, stays, dies)
        load = stack.load(host, 4, connections=8, rate=300)
        time.sleep(1.5)
        dies.stop()
        assert_clean(load.result(), ok_min=200)


def test_bad_document_costs_only_itself(stack, backend, host):
    stack.publish(host, backend)
    (stack.manifests / "bad.yaml").write_text("kind: Ingress\n  broken: [yaml\n")
    objects.write(stack.manifests, "half", [objects.ingress("odd", "odd.test", [objects.path("missing", "no-slash", "Exact")]),
                                            objects.ingress("fine", f"fine-{host}", [objects.path(host.replace(".", "-"))])])
    stack.wait_route(f"fine-{host}")
    assert stack.get(host, "/").status == 200
    (stack.manifests / "bad.yaml").unlink()
    stack.remove("half")


def test_removed_host_ends(stack, backend, host):
    stack.publish(host, backend)
    stack.remove(host.replace(".", "-"))
    eventually(lambda: stack.get(host, "/").status == 404)
