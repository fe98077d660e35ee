"""What people look at: metrics, readiness, configuration, endpoints, access log."""

import json
import subprocess
import time

import pytest

from harness import certs, objects
from harness.net import eventually
from harness.stack import parse_metrics


def test_healthz_and_readyz(stack):
    assert stack.admin("/healthz")[0] == 200
    status, text = stack.admin("/readyz?verbose")
    assert status == 200 and stack.expected_backend in text


def test_not_ready_without_configuration(own_stack, backend):
    """Alive, not ready; ready when the first whole transaction is applied."""
    stack = own_stack()
    stack.start_proxy(ready=False)
    eventually(lambda: stack.admin("/healthz")[0] == 200)
    assert stack.admin("/readyz")[0] == 503
    stack.start_controller()
    stack.wait_ready()


def test_unknown_admin_path(stack):
    assert stack.admin("/nothing")[0] == 404


def test_metrics_are_valid_and_count(stack, backend, host):
    stack.publish(host, backend)
    name = host.replace(".", "-")
    with stack.client() as client:
        for _ in range(7):
            assert client.request(host, "/status/200").status == 200
        for _ in range(3):
            assert client.request(host, "/status/404").status == 404
    status, text = stack.admin("/metrics")
    assert status == 200
    samples = dict(parse_metrics(text))
    assert len(samples) > 30
    mine = {k: v for k, v in samples.items() if name in k}
    assert mine, "no series of this ingress"
    ok = [v for k, v in mine.items() if "requests" in k and ("2xx" in k or 'status="200"' in k)]
    bad = [v for k, v in mine.items() if "requests" in k and ("4xx" in k or 'status="404"' in k)]
    assert max(ok) >= 7 and 3 in bad, mine
    buckets = [(k, v) for k, v in mine.items() if "_bucket" in k and 'le="+Inf"' in k]
    assert buckets and max(v for _, v in buckets) >= 10


def test_metrics_name_the_backend(stack):
    assert any(stack.expected_backend in k for k in stack.metrics())


def test_metric_cardinality_is_from_configuration_only(stack, served):
    with stack.client() as client:
        for i in range(50):
            client.request(served, f"/path-marker-{i}", headers={"User-Agent": f"agent-marker-{i}"})
            client.request(f"host-marker-{i}.test", "/")
    text = stack.admin("/metrics")[1]
    assert "marker" not in text


def test_config_shows_no_secret(stack, backend, host):
    chain, key = certs.self_signed(host[:60], host)
    name = host.split(".")[0]
    stack.put(f"s-{name}", objects.tls_secret(f"s-{name}", chain, key))
    stack.publish(host, backend, tls=[{"hosts": [host], "secretName": f"s-{name}"}])
    status, text = stack.admin("/config")
    assert status == 200 and host in json.dumps(json.loads(text))
    import base64
    body = "".join(key.decode().splitlines()[1:-1])
    assert "PRIVATE" not in text and body[:40] not in text and base64.b64encode(key).decode()[:60] not in text


def test_endpoints_show_health(stack, backend, host):
    stack.publish(host, backend)
    assert stack.get(host).status == 200
    status, text = stack.admin("/endpoints")
    assert status == 200 and f"127.0.0.1:{backend.port}" in json.dumps(json.loads(text))


def test_scrapes_do_not_disturb(stack, served):
    load = stack.load(served, 3, connections=4, rate=200, path="/status/200")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert stack.admin("/metrics")[0] == 200
    report = load.result()
    assert report["failed"] == 0, report


def log_lines(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_access_log_json(own_stack, backend, tmp_path):
    log = tmp_path / "access.log"
    stack = own_stack(proxy_flags=["--access-log", log, "--access-log-format", "json"]).start()
    stack.publish("log.test", backend)
    stack.get("log.test", "/q%22uote?a=%1b", headers={"User-Agent": 'say "hi" \\ \t.', "Referer": "http://r/"})
    stack.get("nobody.test", "/missing")

    def found():
        lines = [json.loads(line) for line in log_lines(log)]
        text = [json.dumps(line) for line in lines]
        return any("uote" in t and "say" in t and "200" in t for t in text) and any("/missing" in t and "404" in t for t in text)

    eventually(found)


def test_access_log_combined_on_stdout(own_stack, backend):
    stack = own_stack(proxy_flags=["--access-log", "stdout", "--access-log-format", "combined"]).start()
    stack.publish("log.test", backend)
    stack.get("log.test", "/shown", headers={"User-Agent": "tester"})
    eventually(lambda: any('"GET /shown HTTP/1.1" 200' in line and '"tester"' in line for line in log_lines(stack.proxy.log)))


def test_access_log_to_a_full_pipe_blocks_nobody(own_stack, backend):
    """Nobody reads stdout: lines are dropped and counted, requests go on."""
    import os
    stack = own_stack(proxy_flags=["--access-log", "/dev/stdout"])
    stack.start_controller()
    reader, writer = os.pipe()
    log = stack.folder / "proxy.log"
    stack.proxy_flags = ["--access-log", f"/proc/self/fd/{writer}"]
    os.set_inheritable(writer, True)
    import subprocess as sub
    from harness.stack import Process

    class Inheriting(Process):
        def __init__(self, command, path):
            self.command, self.log = [str(c) for c in command], path
            with path.open("ab") as out:
                self.popen = sub.Popen(self.command, stdout=out, stderr=sub.STDOUT, pass_fds=[writer])

    io = stack.variant if stack.variant in ("uring", "epoll") else "auto"
    prefix = [stack.bins / "deny_io_uring", stack.variant.upper()] if io == "auto" else []
    stack.proxy = Inheriting([*prefix, stack.bins / "ringway-proxy", "--controller", f"unix:{stack.socket}", "--admin",
                              f"127.0.0.1:{stack.admin_port}", "--workers", "1", "--io", io, *stack.proxy_flags], log)
    stack.wait_ready()
    stack.publish("log.test", backend)
    load = stack.load("log.test", 4, connections=4, path="/status/200")
    report = load.result()
    assert report["failed"] == 0 and report["ok"] > 300 and report["longest_gap_ms"] < 2000, report
    os.close(reader)
    os.close(writer)


WRONG = [
    ("ringway-proxy", ["--no-such-flag"]),
    ("ringway-proxy", ["--io", "kqueue"]),
    ("ringway-proxy", ["--workers", "many"]),
    ("ringway-proxy", ["--admin", "nowhere"]),
    ("ringway-proxy", ["--access-log-format", "xml"]),
    ("ringway-controller", ["--no-such-flag"]),
    ("ringway-controller", ["--source", "ftp:x", "--listen", "unix:/tmp/x"]),
    ("ringway-controller", ["--source", "dir:/tmp", "--listen", "unix:/tmp/x", "--http-port", "99999"]),
    ("ringway", ["fly"]),
    ("ringway", ["run"]),
    ("ringway", ["run", "/tmp", "--http", "x"]),
    ("ringway", ["check"]),
]


@pytest.mark.parametrize("program, flags", WRONG, ids=[f"{p}-{'-'.join(f).strip('-')}".replace("/", "_") for p, f in WRONG])
def test_wrong_flags_are_one_line_and_exit_2(bins, program, flags):
    done = subprocess.run([bins / program, *flags], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("program", ["ringway", "ringway-proxy", "ringway-controller"])
def test_help(bins, program):
    done = subprocess.run([bins / program, "--help"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 8
    assert all(len(line) <= 120 for line in done.stdout.splitlines())


def test_check_reports_every_problem(bins, tmp_path):
    objects.write(tmp_path, "good", [objects.ingress_class(), objects.ingress("fine", "fine.test", [objects.path("web")]),
                                     objects.service("web"), objects.slice_of("web", 9)])
    done = subprocess.run([bins / "ringway", "check", tmp_path], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "broken.yaml").write_text("kind: Ingress\n  bad: [yaml\n")
    objects.write(tmp_path, "odd", [objects.ingress("odd", "odd.test", [objects.path("missing-service")], {"no-such-annotation": "1"})])
    done = subprocess.run([bins / "ringway", "check", tmp_path], capture_output=True, text=True, timeout=20, check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == 1
    for part in ("broken.yaml", "odd.yaml", "missing-service", "no-such-annotation"):
        assert part in shown, (part, shown)
