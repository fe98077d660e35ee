"""The proxies that are compared, each set up for the same work: one worker, keep-alive to clients and to the origin, no access log, the
forwarding headers of an ingress (X-Real-IP, X-Forwarded-*, X-Request-ID), one route to one origin."""

import atexit
import json
import os
import resource
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from measure import process_tree

HOST = "bench.test"

NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_timeout 75s;
  keepalive_requests 1000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 10000; keepalive_time 1h; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    server_name {host};
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_set_header X-Request-ID $request_id;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  timeout client 75s
  timeout server 60s
  timeout connect 5s
  timeout http-request 10s
  timeout http-keep-alive 75s
  option http-keep-alive
  http-reuse safe
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
frontend in
  bind 127.0.0.1:{port} backlog 4096
  use_backend origin if {{ hdr(host) -i {host} }}
backend origin
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto http
  server one 127.0.0.1:{origin} pool-max-conn 512
"""


# Every process we started and have not waited for: none outlives the benchmark, whatever goes wrong.
_running: set[subprocess.Popen] = set()


@atexit.register
def kill_all():
    for process in list(_running):
        process.kill()
        process.wait()


def spawn(command: list, core: int | None = None, **options) -> subprocess.Popen:
    """On `core` alone when given; dies with this program."""
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    process = subprocess.Popen([str(c) for c in command], preexec_fn=pin, **options)
    _running.add(process)
    return process


def end(process: subprocess.Popen, kill: bool = False):
    process.kill() if kill else process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _running.discard(process)


def connections_max() -> int:
    """Clients that every proxy can take: each may cost two descriptors."""
    return min(30_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 200)


class Proxy:
    """Starts in __init__, on `core` alone; everything else of the benchmark keeps off it."""

    name = ""

    def __init__(self, bins: Path, folder: Path, port: int, origin: int, core: int | None, env: dict | None = None):
        self.bins, self.folder, self.port, self.origin, self.core, self.env = bins, folder, port, origin, core, env or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.started: list[subprocess.Popen] = []
        try:
            self.main = self.launch()
            self.wait()
        except BaseException:
            self.stop()
            raise

    def run(self, *command, core: int | None = None) -> subprocess.Popen:
        with open(self.folder / "output.log", "ab") as log:
            process = spawn(command, core, stdout=log, stderr=log, env={**os.environ, **self.env})
        self.started.append(process)
        return process

    def launch(self) -> subprocess.Popen:
        raise NotImplementedError

    def wait(self, seconds: float = 30, host: str = HOST):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.main.poll() is not None:
                break
            if status(self.port, host) == 200:
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not serve; {self.folder}/output.log:\n" + (self.folder / "output.log").read_text()[-2000:])

    def pids(self) -> list[int]:
        return process_tree(self.main.pid)

    def stop(self):
        for process in reversed(self.started):
            end(process)
        self.started = []


class Nginx(Proxy):
    name = "nginx"
    program = "nginx"

    def launch(self):
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.format(files=2 * connections_max(), folder=self.folder, port=self.port, origin=self.origin, host=HOST))
        return self.run(shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.folder, "-c", config, "-g", "daemon off;", core=self.core)


class Haproxy(Proxy):
    name = "haproxy"
    program = "haproxy"

    def launch(self):
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(connections=connections_max(), port=self.port, origin=self.origin, host=HOST))
        return self.run(shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", config, core=self.core)


class Ringway(Proxy):
    name = "ringway"
    program = "ringway-proxy"
    io = "auto"
    workers = 1

    def manifests(self, folder: Path):
        (folder / "bench.yaml").write_text("".join(f"---\n{json.dumps(o)}\n" for o in [ingress_class(), *route(HOST, "bench", [("127.0.0.1", self.origin)])]))

    def launch(self):
        manifests = self.folder / "manifests"
        manifests.mkdir(exist_ok=True)
        self.manifests(manifests)
        return self.launch_on(manifests)

    def launch_on(self, manifests: Path):
        socket = self.folder / "discovery.sock"
        self.admin = self.port + 1
        # The controller is not what is measured, and sits on the other core.
        self.controller = self.run(self.bins / "ringway-controller", "--source", f"dir:{manifests}", "--listen", f"unix:{socket}",
                                   "--http-port", self.port, "--https-port", self.port + 2)
        return self.run(self.bins / "ringway-proxy", "--controller", f"unix:{socket}", "--admin", f"127.0.0.1:{self.admin}", "--workers",
                        self.workers, "--io", self.io, core=self.core)


class RingwayEpoll(Ringway):
    name = "ringway-epoll"
    io = "epoll"


ALL = [Nginx, Haproxy, Ringway, RingwayEpoll]


def available(bins: Path) -> tuple[list[type[Proxy]], list[str]]:
    """Those that are there, and why the others are not."""
    found, missing = [], []
    for kind in ALL:
        if issubclass(kind, Ringway):
            there = all((bins / p).exists() for p in ("ringway-proxy", "ringway-controller"))
        else:
            there = shutil.which(kind.program, path=os.environ["PATH"] + ":/usr/sbin") is not None
        found.append(kind) if there else missing.append(f"{kind.name}: {kind.program} is not there")
    return found, missing


def status(port: int, host: str, path: str = "/") -> int:
    """Of one GET; 0 when nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


# ---- manifests ----

def ingress_class() -> dict:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "ringway"},
            "spec": {"controller": "ringway.dev/ingress"}}


def route(host: str, name: str, endpoints: list[tuple[str, int]]) -> list[dict]:
    """A host with one path to one Service of these endpoints (one slice per port)."""
    ports: dict[int, list[str]] = {}
    for address, port in endpoints:
        ports.setdefault(port, []).append(address)
    return [
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "bench"},
         "spec": {"ingressClassName": "ringway", "rules": [{"host": host, "http": {"paths": [
             {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "bench"},
         "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
        *[{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": f"{name}-{port}", "namespace": "bench", "labels": {"kubernetes.io/service-name": name}},
           "ports": [{"name": "http", "port": port}],
           "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses]} for port, addresses in ports.items()],
    ]
