"""The processes under test: one controller on a folder of manifests, one proxy."""

import http.client
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from . import objects
from .http import Client, Message
from .load import Load
from .net import eventually, free_port

SMOKE_SECONDS = 20


class Process:
    """A child of ours with its output in a file."""

    def __init__(self, command: list, log: Path, env: dict | None = None):
        self.command, self.log = [str(c) for c in command], log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                          env={**os.environ, **(env or {})})

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def children(self) -> list[int]:
        try:
            return [int(p) for task in Path(f"/proc/{self.pid}/task").iterdir() for p in (task / "children").read_text().split()]
        except OSError:
            return []

    def signal(self, number: int):
        self.popen.send_signal(number)

    def kill(self):
        """kill -9, of this process alone."""
        self.popen.kill()
        self.popen.wait(10)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM, then the exit code; a process that does not end is killed with its children and fails the test."""
        if self.alive():
            self.popen.terminate()
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            for child in self.children():
                try:
                    os.kill(child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.kill()
            raise AssertionError(f"{self.command[0]} did not end within {seconds} s of SIGTERM\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Stack:
    def __init__(self, bins: Path, folder: Path, variant: str = "uring", workers: int = 2, proxy_flags: list | None = None,
                 proxy_prefix: list | None = None, controller_flags: list | None = None):
        """`variant`: uring, epoll, or eperm and enosys (io_uring forbidden by seccomp, backend left to the proxy)."""
        self.bins, self.folder, self.variant, self.workers = bins, folder, variant, workers
        self.proxy_flags, self.proxy_prefix = list(proxy_flags or []), list(proxy_prefix or [])
        self.controller_flags = list(controller_flags or [])
        self.manifests = folder / "manifests"
        self.manifests.mkdir(parents=True)
        self.state = folder / "state"
        self.state.mkdir()
        self.socket = folder / "discovery.sock"
        self.http_port, self.https_port, self.admin_port = free_port(), free_port(), free_port()
        self.controller: Process | None = None
        self.proxy: Process | None = None
        self.put("class", objects.ingress_class())

    # ---- life ----

    @property
    def expected_backend(self) -> str:
        return "io_uring" if self.variant == "uring" else "epoll"

    def start(self) -> "Stack":
        self.start_controller()
        self.start_proxy()
        return self

    def start_controller(self):
        self.controller = Process([self.bins / "ringway-controller", "--source", f"dir:{self.manifests}", "--listen", f"unix:{self.socket}",
                                   "--http-port", self.http_port, "--https-port", self.https_port, *self.controller_flags],
                                  self.folder / "controller.log")

    def start_proxy(self, ready: bool = True):
        self.run_proxy("--controller", f"unix:{self.socket}")
        if ready:
            self.wait_ready()

    def run_proxy(self, *link):
        """`link`: the flags that say where the controller is."""
        prefix, io = list(self.proxy_prefix), self.variant
        if self.variant in ("eperm", "enosys"):
            prefix += [self.bins / "deny_io_uring", self.variant.upper()]
            io = "auto"
        self.proxy = Process([*prefix, self.bins / "ringway-proxy", *link, "--admin", f"127.0.0.1:{self.admin_port}", "--workers",
                              self.workers, "--io", io, "--state-dir", self.state, *self.proxy_flags], self.folder / "proxy.log")

    def wait_ready(self, seconds: float = SMOKE_SECONDS):
        def ready():
            if not self.proxy.alive():
                raise AssertionError(f"the proxy ended with {self.proxy.popen.returncode}\n{self.proxy.tail()}")
            return self.admin("/readyz")[0] == 200

        try:
            eventually(ready, seconds)
        except AssertionError as error:
            raise AssertionError(f"not ready: {error}\nproxy:\n{self.proxy.tail()}\ncontroller:\n{self.controller.tail() if self.controller else '-'}"
                                 ) from None

    def stop(self):
        """Both must end by themselves; the proxy with 0."""
        problems = []
        for name, process in (("proxy", self.proxy), ("controller", self.controller)):
            if process is None:
                continue
            was_alive = process.alive()
            try:
                code = process.stop()
            except AssertionError as error:
                problems.append(str(error))
                continue
            if was_alive and code != 0 and not (name == "controller" and code == -signal.SIGTERM):  # Ended before it could catch it.
                problems.append(f"{name} ended with {code}\n{process.tail()}")
        self.proxy = self.controller = None
        assert not problems, "\n".join(problems)

    def data_process(self) -> int:
        """Process id of the child that serves."""
        return eventually(lambda: (self.proxy.children() or [None])[0], 5)

    # ---- configuration ----

    def put(self, name: str, *items: dict):
        objects.write(self.manifests, name, list(items))

    def remove(self, name: str):
        (self.manifests / f"{name}.yaml").unlink()

    def publish(self, host: str, *backends, name: str | None = None, annotations: dict | None = None, service_annotations: dict | None = None,
                path: str = "/", kind: str = "Prefix", tls: list | None = None, wait: bool = True):
        """A host with one path to one Service of these backends; returns when it is served."""
        name = name or host.replace(".", "-").replace("*", "any")
        self.put(name, objects.ingress(name, host, [objects.path(name, path, kind)], annotations, tls),
                 objects.service(name, service_annotations), *[objects.slice_of(name, b.port) for b in backends])
        if wait:
            self.wait_route(host.replace("*", "wild"), path)

    def wait_route(self, host: str, path: str = "/"):
        """Until the host is served, four connections in a row so that every worker has had its turn. Backends do not count these."""
        def served() -> bool:
            for _ in range(4):
                with self.client(timeout=5) as client:
                    if client.request(host, path, headers={"X-Probe": "1"}).status == 404:
                        return False
            return True

        eventually(served)

    # ---- asking ----

    def client(self, **options) -> Client:
        return Client(self.http_port, **options)

    def get(self, host: str, path: str = "/", **options) -> Message:
        with self.client() as client:
            return client.request(host, path, **options)

    def admin(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Every sample by its full name with labels."""
        status, text = self.admin("/metrics")
        assert status == 200, text
        return dict(parse_metrics(text))

    def metric(self, name: str, **labels: str) -> float:
        """Sum over the samples of that name whose labels include these."""
        total = 0.0
        for sample, value in self.metrics().items():
            bare, _, rest = sample.partition("{")
            if bare == name and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                total += value
        return total

    def load(self, host: str, seconds: float, **options) -> Load:
        return Load(self.bins / "bench_load", self.http_port, host, seconds, **options)

    # ---- what it costs ----

    def rss_kib(self) -> int:
        """Resident memory of the data process."""
        text = Path(f"/proc/{self.data_process()}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


def parse_metrics(text: str):
    """Samples of the text format; a line that is neither sample nor comment is an error."""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:\\.|[^"\\])*",?)*\})?) (\S+)(?: -?\d+)?', line)
        assert match, f"not a sample: {line!r}"
        yield match.group(1), float(match.group(2))


def pause(seconds: float):
    time.sleep(seconds)
