"""The image runs: as its user in its root folder, and in containerd."""

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("ringway", "ringway-controller", "ringway-proxy")
USER = "10001:10001"

MANIFESTS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ringway}
spec: {controller: ringway.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: demo}
spec:
  ingressClassName: ringway
  rules:
  - host: shop.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: demo, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{port: %(port)d}]
endpoints: [{addresses: [127.0.0.1]}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def enter(folder: Path, *command) -> list[str]:
    return [shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin"), f"--userspec={USER}", str(folder), *map(str, command)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_version_as_its_user(as_root, rootfs, name):
    done = subprocess.run(enter(rootfs, f"/usr/local/bin/{name}", "--version"), capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0 and done.stdout.startswith(f"{name} "), done.stderr + done.stdout


class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


@contextmanager
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def fetch(port: int, host: str) -> tuple[int, bytes] | None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except (urllib.error.URLError, OSError):
        return None


def test_serves_with_nothing_but_the_image(as_root, rootfs, tmp_path):
    """`ringway run` on a folder of manifests: both planes start, and a request goes through. As in a container, /proc is mounted."""
    port_of = {"--http": free_port(), "--https": free_port()}
    root = tmp_path / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    (root / "tmp").chmod(0o1777)
    for name in ("proc", "manifests"):
        (root / name).mkdir()
    log = tmp_path / "log"
    with backend() as port, log.open("wb") as out:
        (root / "manifests/all.yaml").write_text(MANIFESTS % {"port": port})
        inside = enter(root, "/usr/local/bin/ringway", "run", "/manifests", "--admin", "off", *(str(part) for flag in port_of.items() for part in flag))
        running = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind /proc "$0"/proc && exec "$@"', str(root), *inside],
                                   stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
        try:
            end = time.monotonic() + 30
            while fetch(port_of["--http"], "shop.test") != (200, b"ok\n"):
                assert running.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.1)
        finally:
            running.terminate()
            running.wait(40)
    assert running.returncode == 0, log.read_text()


@pytest.fixture(scope="module")
def containerd(as_root, tmp_path_factory):
    """A containerd of our own: nothing of a running one is touched."""
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        pytest.skip("containerd is not installed (./dev setup image)")
    folder = tmp_path_factory.mktemp("containerd")
    settings = folder / "config.toml"
    settings.write_text(f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.ttrpc"
""")
    with (folder / "log").open("wb") as out:
        running = subprocess.Popen(["containerd", "--config", settings], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def ctr(*arguments) -> str:
        done = subprocess.run(["ctr", "--address", f"{folder}/containerd.sock", "--namespace", "ringway-test", *map(str, arguments)],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    try:
        end = time.monotonic() + 30
        while True:
            try:
                ctr("version")
                break
            except AssertionError:
                if running.poll() is not None or time.monotonic() > end:
                    pytest.fail((folder / "log").read_text())
                time.sleep(0.1)
        yield ctr
    finally:
        running.terminate()
        running.wait(30)


def test_containerd_imports(containerd, archive):
    containerd("images", "import", "--snapshotter", "native", archive.path)
    name = archive.index["manifests"][0]["annotations"]["io.containerd.image.name"]
    line = next(line for line in containerd("images", "ls").splitlines() if line.startswith(name))
    assert archive.index["manifests"][0]["digest"] in line


def test_containerd_unpacks_what_the_image_says(containerd, archive, tmp_path):
    containerd("images", "import", "--snapshotter", "native", archive.path)
    name = archive.index["manifests"][0]["annotations"]["io.containerd.image.name"]
    target = tmp_path / "mounted"
    target.mkdir()
    containerd("images", "mount", "--snapshotter", "native", name, target)
    try:
        found = {str(path.relative_to(target)) for path in target.rglob("*")}
        assert found == set(archive.members())
        done = subprocess.run(enter(target, "/usr/local/bin/ringway-proxy", "--version"), capture_output=True, text=True, check=False, env={})
        assert done.stdout.startswith("ringway-proxy "), done.stderr
    finally:
        containerd("images", "unmount", target)
