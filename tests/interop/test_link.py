"""Controller and proxy over mutual TLS with certificates that the controller makes, and what leaders write; against a small API server."""

import base64
import re
import socket
import ssl
import time

import pytest

from harness.kube_api import KubeApi
from harness.load import assert_clean
from harness.net import eventually, free_port
from harness.stack import Process, Stack

SECRETS = "/api/v1/namespaces/edge/secrets/"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/edge/leases/ringway-leader"


class LinkedStack(Stack):
    """The proxy mounts what the controller puts into a Secret; this class is the kubelet."""

    def __init__(self, *arguments, api: KubeApi, **options):
        super().__init__(*arguments, **options)
        self.api, self.link_port, self.mounts = api, free_port(), 0
        self.link_flags = ["--link-lifetime", "30s", "--link-authority-lifetime", "60s"]

    def start_controller(self):
        self.controller = Process(
            [self.bins / "ringway-controller", "--source", f"dir:{self.manifests}", "--listen", f"127.0.0.1:{self.link_port}", "--kubeconfig",
             self.api.kubeconfig(self.folder), "--link-secrets", "edge/ringway", *self.link_flags, "--http-port", self.http_port,
             "--https-port", self.https_port], self.folder / "controller.log")

    def mount(self) -> bool:
        """Brings the Secret to the folder if it changed, whole, as a kubelet does. False: it is not there."""
        secret = self.api.get(SECRETS + "ringway-proxy-tls")
        if secret is None:
            return False
        version = self.folder / f"link-{secret['metadata']['resourceVersion']}"
        if not version.exists():
            version.mkdir()
            for name, value in secret["data"].items():
                (version / name).write_bytes(base64.b64decode(value))
            link = self.folder / "next"
            link.symlink_to(version)
            link.rename(self.folder / "link")
            self.mounts += 1
        return True

    def start_proxy(self, ready: bool = True):
        eventually(self.mount, 20)
        link = self.folder / "link"
        self.run_proxy("--controller", f"127.0.0.1:{self.link_port}", "--controller-name", "ringway-controller.edge.svc", "--controller-ca",
                       link / "ca.crt", "--controller-cert", link / "tls.crt", "--controller-key", link / "tls.key")
        if ready:
            self.wait_ready()

    def served_certificate(self) -> bytes:
        """Of the controller, as a proxy sees it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        link = self.folder / "link"
        context.load_verify_locations(link / "ca.crt")
        context.load_cert_chain(link / "tls.crt", link / "tls.key")
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", self.link_port), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname="ringway-controller") as tls:
                return tls.getpeercert(binary_form=True)

    def connects(self) -> int:
        return len(re.findall(r"discovery: connected to", self.proxy.log.read_text()))


@pytest.fixture
def api():
    running = KubeApi()
    yield running
    running.stop()


@pytest.mark.one_variant
def test_certificates_rotate_under_a_running_proxy(bins, variant, tmp_path, api, backend):
    """Through leaves of 30 s and an authority of 60 s: every request is answered, every change arrives, at every stage."""
    stack = LinkedStack(bins, tmp_path / "stack", variant, api=api)
    try:
        stack.start()
        stack.publish("a.test", backend)
        first_leaf, first_authority = stack.served_certificate(), api.get(SECRETS + "ringway-ca")["data"]["tls.crt"]
        load = stack.load("a.test", 200, connections=4, rate=100)
        deadline = time.monotonic() + 120
        changes = 0
        while time.monotonic() < deadline:
            stack.mount()
            changes += 1
            stack.publish(f"h{changes}.test", backend)
            stack.served_certificate()
            if api.get(SECRETS + "ringway-ca")["data"]["tls.crt"] != first_authority and stack.connects() >= 2:
                break
            time.sleep(2)
        assert stack.served_certificate() != first_leaf
        assert api.get(SECRETS + "ringway-ca")["data"]["tls.crt"] != first_authority, "the authority was not followed by another"
        assert stack.connects() >= 2, stack.proxy.tail()
        assert stack.mounts >= 3
        # A proxy that starts now, and one that comes back to another controller, are as good as the first.
        stack.controller.kill()
        stack.start_controller()
        stack.publish("after.test", backend)
        assert_clean(load.end(), ok_min=1000)
        assert "refuses configuration" not in stack.controller.log.read_text()
    finally:
        stack.stop()


@pytest.mark.one_variant
def test_strangers_and_controllers_are_no_proxies(bins, variant, tmp_path, api):
    stack = LinkedStack(bins, tmp_path / "stack", variant, api=api)
    stack.link_flags = []
    try:
        stack.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with socket.create_connection(("127.0.0.1", stack.link_port), timeout=5) as plain:
                with context.wrap_socket(plain) as tls:
                    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
                    tls.settimeout(5)
                    while tls.recv(4096):
                        pass
                    raise ConnectionError("closed")
        quiet = len(api.writes)
        time.sleep(3)
        assert len(api.writes) == quiet
    finally:
        stack.stop()


@pytest.mark.one_variant
def test_a_controller_waits_for_its_certificates(bins, variant, tmp_path, backend):
    """The API server is away when the controller starts."""
    port = free_port()
    api = type("Nobody", (), {"kubeconfig": KubeApi.kubeconfig, "port": port})()
    stack = LinkedStack(bins, tmp_path / "stack", variant, api=api)
    stack.start_controller()
    eventually(lambda: "trying again" in stack.controller.log.read_text(), 10)
    stack.api = KubeApi(port)
    try:
        stack.start_proxy()
        stack.publish("a.test", backend)
        assert stack.get("a.test").status == 200
    finally:
        stack.stop()
        stack.api.stop()


@pytest.mark.one_variant
def test_leader_killed_the_other_writes(bins, variant, tmp_path, api):
    """Two controllers: one writes the address; kill -9, and within 20 s the other does; nothing else is written."""
    stack = Stack(bins, tmp_path / "stack", variant)
    ingress = "/apis/networking.k8s.io/v1/namespaces/test/ingresses/front"
    stack.publish("a.test", type("B", (), {"port": 1})(), name="front", wait=False)
    api.store(ingress, {"metadata": {"name": "front", "namespace": "test"}})
    kubeconfig = api.kubeconfig(tmp_path)

    def controller(number: int, address: str) -> Process:
        return Process([bins / "ringway-controller", "--source", f"dir:{stack.manifests}", "--listen", f"unix:{tmp_path}/{number}.sock",
                        "--kubeconfig", kubeconfig, "--publish-status-address", address], tmp_path / f"controller-{number}.log")

    def address() -> str | None:
        entries = (api.get(ingress).get("status") or {}).get("loadBalancer", {}).get("ingress") or [{}]
        return entries[0].get("ip")

    first = controller(1, "192.0.2.1")
    second = None
    try:
        eventually(lambda: address() == "192.0.2.1", 10)
        second = controller(2, "192.0.2.2")
        time.sleep(6)
        assert address() == "192.0.2.1" and api.written("/front/status") == 1
        first.kill()
        start = time.monotonic()
        eventually(lambda: address() == "192.0.2.2", 30)
        print(f"followed after {time.monotonic() - start:.1f} s")
        assert api.get(LEASE)["spec"]["leaseTransitions"] == 1
        time.sleep(3)
        assert api.written("/front/status") == 2
        # SIGTERM of the last one: the Lease is given back, and its fixed address taken out.
        assert second.stop() == 0
        assert api.get(LEASE)["spec"]["holderIdentity"] == ""
        assert address() is None
    finally:
        for process in (first, second):
            if process is not None and process.alive():
                process.kill()
