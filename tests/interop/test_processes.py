"""Processes that die, restart, drain and run out of things, under load."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness.backend import Backend
from harness.http import Client, Closed
from harness.load import assert_clean
from harness.net import eventually, free_port


@pytest.fixture
def origin(bins):
    port = free_port()
    process = subprocess.Popen([bins / "bench_origin", "--port", str(port), "--body", "64"])
    yield type("Origin", (), {"port": port})
    process.kill()
    process.wait()


def test_controller_killed_under_load(own_stack, origin, backend):
    """Nothing fails while it is away; what changed meanwhile is live after its return."""
    stack = own_stack().start()
    stack.publish("a.test", origin)
    load = stack.load("a.test", 150, connections=16, rate=1000, body_bytes=64)
    time.sleep(1)
    stack.controller.kill()
    stack.publish("b.test", backend, wait=False)
    time.sleep(2)
    assert stack.admin("/readyz")[0] == 200
    assert stack.get("b.test").status == 404
    stack.start_controller()
    stack.wait_route("b.test")
    stack.publish("c.test", backend)
    assert_clean(load.end(), ok_min=1000)


def test_data_process_killed_under_load(own_stack, origin):
    """The supervisor keeps the sockets: no connect is refused, only what was in flight is lost, and it serves again."""
    stack = own_stack().start()
    stack.publish("a.test", origin)
    load = stack.load("a.test", 150, connections=16, rate=800, body_bytes=64)
    kills = 3
    for _ in range(kills):
        time.sleep(1.2)
        before = stack.data_process()
        os.kill(before, signal.SIGKILL)
        eventually(lambda: stack.proxy.children() not in ([], [before]), 10, 0.005)
    time.sleep(1.5)
    report = load.end()
    assert report["refused"] == 0 and report["connect_error"] == 0, report
    assert report["bad_status"] == 0 and report["bad_response"] == 0 and report["timeout"] == 0, report
    # One request per connection can be in flight at each kill, and one more can sit in a queue that dies with it.
    assert report["failed"] + report["stale"] <= kills * 16 * 2, report
    assert report["ok"] > 1000 and report["longest_gap_ms"] < 5000, report
    assert stack.proxy.alive()


def test_data_process_killed_with_the_controller_away(own_stack, origin):
    """From the memory file: configuration and certificates are there without a control plane."""
    from harness import certs, objects
    stack = own_stack().start()
    chain, key = certs.self_signed("kept", "a.test")
    stack.put("secret", objects.tls_secret("kept", chain, key))
    stack.publish("a.test", origin, annotations={"ssl-redirect": "false"}, tls=[{"hosts": ["a.test"], "secretName": "kept"}])

    def name():
        with Client(stack.https_port, tls=certs.any_server(), sni="a.test") as client:
            return certs.common_name(client.sock)

    eventually(lambda: name() == "kept")
    time.sleep(0.5)  # The memory file follows a change within 100 ms.
    stack.controller.kill()
    before = stack.data_process()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: stack.proxy.children() not in ([], [before]), 10, 0.005)
    message = eventually(lambda: stack.get("a.test"))
    assert message.status == 200, message
    assert name() == "kept"


def test_restart_from_disk_with_the_controller_away(own_stack, origin):
    """A whole restart serves plain hosts from --state-dir; no private key is on the disk."""
    from harness import certs, objects
    stack = own_stack().start()
    chain, key = certs.self_signed("secret", "s.test")
    stack.put("secret", objects.tls_secret("secret", chain, key))
    stack.publish("s.test", origin, name="s", annotations={"ssl-redirect": "false"}, tls=[{"hosts": ["s.test"], "secretName": "secret"}])
    stack.publish("a.test", origin)
    eventually(lambda: any(f.stat().st_size for f in stack.state.rglob("*") if f.is_file()))
    time.sleep(0.5)
    stack.controller.stop()
    assert stack.proxy.stop() == 0
    body = key.split(b"-----")[2].replace(b"\n", b"").strip()
    for kept in stack.state.rglob("*"):
        if kept.is_file():
            content = kept.read_bytes()
            assert b"PRIVATE KEY" not in content and body[:40] not in content.replace(b"\n", b"")
    stack.start_proxy()
    assert stack.get("a.test").status == 200
    assert stack.get("s.test").status == 200
    stack.start_controller()
    stack.publish("new.test", origin)


def test_sigterm_drains(own_stack, backend):
    """Not ready at once, keep-alives told to close, what runs may end, then exit code 0."""
    stack = own_stack(proxy_flags=["--drain-timeout", "20"]).start()
    stack.publish("a.test", backend)
    idle = stack.client()
    assert idle.request("a.test").status == 200
    busy = stack.client()
    busy.send(b"GET /sleep/2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    time.sleep(0.5)
    stack.proxy.signal(signal.SIGTERM)
    eventually(lambda: _not_ready(stack), 5)
    message = busy.reader.response()
    assert message.status == 200 and message.body == b"late\n" and (message.get("connection") or "").lower() == "close"
    assert busy.reader.at_end()
    assert idle.reader.at_end()
    assert stack.proxy.popen.wait(20) == 0


def _not_ready(stack) -> bool:
    try:
        return stack.admin("/readyz")[0] == 503
    except ConnectionError:
        return True


def test_drain_has_a_deadline(own_stack, backend):
    stack = own_stack(proxy_flags=["--drain-timeout", "1"]).start()
    stack.publish("a.test", backend)
    client = stack.client()
    client.send(b"GET /sleep/60 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    time.sleep(0.3)
    begin = time.monotonic()
    stack.proxy.signal(signal.SIGTERM)
    stack.proxy.popen.wait(25)
    assert time.monotonic() - begin < 15
    with pytest.raises((Closed, ConnectionResetError)):
        client.reader.response()


def test_drain_under_load_refuses_only_at_the_end(own_stack, origin):
    """Requests that were accepted are answered; after the end nobody is there to connect to."""
    stack = own_stack().start()
    stack.publish("a.test", origin)
    load = stack.load("a.test", 3, connections=8, rate=400)
    time.sleep(1)
    assert stack.proxy.stop() == 0
    report = load.result()
    assert report["bad_status"] == 0 and report["bad_body"] == 0 and report["bad_response"] == 0 and report["eof"] == 0, report
    assert report["ok"] > 200, report


def test_emfile_pauses_accept_and_recovers(own_stack, origin):
    """At the limit of descriptors: accept pauses, nothing spins, and the proxy serves again when descriptors come back."""
    stack = own_stack(proxy_prefix=["prlimit", "--nofile=160:160"], workers=1).start()
    stack.publish("a.test", origin)
    clients = []
    for _ in range(300):
        client = stack.client(timeout=5)
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        clients.append(client)
    time.sleep(1)
    before = cpu_seconds(stack.data_process())
    time.sleep(2)
    assert cpu_seconds(stack.data_process()) - before < 1.0, "spins"
    for client in clients:
        client.close()
    assert eventually(lambda: stack.get("a.test").status == 200)
    assert stack.admin("/readyz")[0] == 200


def cpu_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_two_proxies_of_one_controller(own_stack, backend):
    first = own_stack().start()
    second = own_stack()
    second.socket, second.controller = first.socket, None
    # Listener addresses come from the controller: the second proxy lives in a network of its own, where they are free.
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and unshare --net")
    second.proxy_prefix = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    second.start_proxy(ready=False)

    def ready_in_its_network():
        pid = second.proxy.pid
        shown = subprocess.run(["nsenter", "--net", "--target", str(pid), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                f"http://127.0.0.1:{second.admin_port}/readyz"], capture_output=True, text=True, check=False)
        return shown.stdout == "200"

    eventually(ready_in_its_network, 20)
    first.publish("a.test", backend)
    assert first.get("a.test").status == 200


def test_ctrl_c_is_a_drain(own_stack, backend):
    stack = own_stack().start()
    stack.publish("a.test", backend)
    stack.proxy.signal(signal.SIGINT)
    assert stack.proxy.popen.wait(15) == 0


def test_port_in_use_at_the_start_is_the_end(own_stack):
    """One line that names the port, and exit code 1, rather than half serving."""
    import socket
    stack = own_stack()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", stack.http_port))
        taken.listen()
        stack.start_controller()
        stack.start_proxy(ready=False)
        assert stack.proxy.popen.wait(20) == 1
        assert str(stack.http_port) in stack.proxy.tail()
        stack.proxy = None


def test_backend_that_comes_back(stack, host):
    """An endpoint that refuses, then serves: seen without any change of configuration."""
    port = free_port()
    late = type("Late", (), {"port": port})
    stack.publish(host, late, wait=False)
    eventually(lambda: stack.get(host).status in (502, 503))
    with Backend("late", port):
        assert eventually(lambda: stack.get(host).status == 200, 40)


def test_config_command(own_stack, backend):
    stack = own_stack().start()
    stack.publish("shown.test", backend)
    done = subprocess.run([stack.bins / "ringway", "config", "--admin", f"127.0.0.1:{stack.admin_port}"], capture_output=True, text=True,
                          check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "shown.test" in json.dumps(json.loads(done.stdout))
