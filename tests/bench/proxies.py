"""The proxies that are compared, each set up for the same work: one worker, keep-alive to clients and to the origin, the forwarding headers
of an ingress (X-Real-IP, X-Forwarded-*, X-Request-ID), bodies streamed. Here: what they have in common, nginx, HAProxy, Ringway; peers.py
has those that are not Debian's usual choice."""

import atexit
import base64
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from certs import Certificate
from measure import process_tree

HOST = "bench.test"


@dataclass(frozen=True)
class Setup:
    """What a case asks of a proxy beyond one route in clear HTTP/1.1."""

    tls: str = ""              # Key of the certificate: ecdsa, rsa; empty: clear text.
    access_log: bool = False
    routes: int = 1            # Above 1: hosts h<i>.bench.test, all to the same backend.
    http2: bool = False        # Clients speak HTTP/2 with prior knowledge.
    grpc: bool = False         # So does the origin, and answers as a gRPC server.
    changes: bool = False      # repoint() will be called.


NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
  {log}
  server_tokens off;
  keepalive_timeout 75s;
  keepalive_requests 1000;
  server_names_hash_max_size 32768;
  server_names_hash_bucket_size 128;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_set_header Host $host;
  proxy_set_header Connection "";
  proxy_set_header X-Request-ID $request_id;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $host;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Proto $scheme;
  {tls}
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 2048; keepalive_requests 10000; keepalive_time 1h; }}
  {servers}
}}
"""
NGINX_SERVER = """server {{ listen 127.0.0.1:{port}{options}; server_name {host}; location / {{ {to}; }} }}"""
NGINX_TLS = """ssl_certificate {cert};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.3;
  ssl_session_cache shared:TLS:10m;"""

HAPROXY = """
global
  nbthread 1
  maxconn {connections}
  tune.http.maxhdr 256
  {log}
defaults
  mode http
  timeout client 75s
  timeout server 60s
  timeout connect 5s
  timeout http-request 10s
  timeout http-keep-alive 75s
  option http-keep-alive
  http-reuse always
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  {log_use}
frontend in
  bind 127.0.0.1:{port} backlog 4096 {bind}
  {choose}
backend origin
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto {scheme}
  server one 127.0.0.1:{origin} pool-max-conn 2048 {server}
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


def raise_file_limit(files: int = 300_000):
    """Descriptors for tens of thousands of connections, where the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in ((files, max(files, hard)), (hard, hard)):
        try:
            return resource.setrlimit(resource.RLIMIT_NOFILE, wanted)
        except (ValueError, OSError):
            continue


def connections_max() -> int:
    """Clients that every proxy can take: each may cost two descriptors."""
    return min(60_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 200)


def hosts_of(setup: Setup) -> list[str]:
    return [HOST] if setup.routes == 1 else [f"h{i}.{HOST}" for i in range(setup.routes)]


def put(path: Path, text: str) -> float:
    """Replaces a file at once. Returns when (time.monotonic())."""
    staged = path.parent / f".{path.name}.tmp"
    staged.write_text(text)
    now = time.monotonic()
    staged.rename(path)
    return now


class Proxy:
    """Starts in __init__, on `core` alone; everything else of the benchmark keeps off it."""

    name = ""

    def __init__(self, bins: Path, folder: Path, port: int, origin: int, core: int | None, env: dict | None = None, setup: Setup = Setup()):
        self.bins, self.folder, self.port, self.origin, self.core, self.env, self.setup = bins, folder, port, origin, core, env or {}, setup
        folder.mkdir(parents=True, exist_ok=True)
        self.access_log = folder / "access.log"
        self.certificate = Certificate(folder.parent / "certs", setup.tls, HOST) if setup.tls else None
        self.started: list[subprocess.Popen] = []
        try:
            self.main = self.launch()
            self.wait()
        except BaseException:
            self.stop()
            raise

    def run(self, *command, core: int | None = None) -> subprocess.Popen:
        if not self.started:
            self.launched = time.monotonic()   # Its files are written.
        with open(self.folder / "output.log", "ab") as log:
            process = spawn(command, core, stdout=log, stderr=log, env={**os.environ, **self.env})
        self.started.append(process)
        return process

    def launch(self) -> subprocess.Popen:
        raise NotImplementedError

    def repoint(self, origin: int) -> float:
        """Sends the hosts to another origin, in the way this proxy's users do it: the files are written, the proxy told. Returns when it
        was told (time.monotonic())."""
        self.origin = origin
        self.write()
        return self.tell()

    def write(self):
        raise NotImplementedError

    def tell(self) -> float:
        raise NotImplementedError

    def signal(self, number: int) -> float:
        now = time.monotonic()
        self.main.send_signal(number)
        return now

    def serves(self, host: str) -> bool:
        if self.setup.http2:
            return http2_serves(self.port, host)
        return status(self.port, host, tls=bool(self.setup.tls)) == 200

    def wait(self, seconds: float = 60, host: str = ""):
        host = host or hosts_of(self.setup)[-1]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.main.poll() is not None:
                break
            if self.serves(host):
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not serve; {self.folder}/output.log:\n" + (self.folder / "output.log").read_text()[-2000:])

    def pids(self) -> list[int]:
        return process_tree(self.main.pid)

    def log_lines(self) -> int:
        """Of the access log so far."""
        if not self.access_log.exists():
            return 0
        with open(self.access_log, "rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))

    def stop(self):
        for process in reversed(self.started):
            end(process)
        self.started = []


class Nginx(Proxy):
    name = "nginx"
    program = "nginx"

    def write(self):
        options = (" ssl" if self.setup.tls else "") + (" http2" if self.setup.http2 else "")
        # Options of a listening socket are given once.
        to = "grpc_pass grpc://origin" if self.setup.grpc else "proxy_pass http://origin"
        servers = [NGINX_SERVER.format(port=self.port, host=host, to=to, options=options + (" backlog=4096" if i == 0 else ""))
                   for i, host in enumerate(hosts_of(self.setup))]
        tls = NGINX_TLS.format(cert=self.certificate.certificate, key=self.certificate.key) if self.setup.tls else ""
        log = f"access_log {self.access_log} combined buffer=64k flush=1s;" if self.setup.access_log else "access_log off;"
        (self.folder / "nginx.conf").write_text(NGINX.format(files=2 * connections_max(), folder=self.folder, origin=self.origin, log=log,
                                                             tls=tls, servers="\n  ".join(servers)))

    def launch(self):
        self.write()
        return self.run(shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-g", "daemon off;",
                        core=self.core)

    def tell(self) -> float:
        return self.signal(signal.SIGHUP)


class Haproxy(Proxy):
    name = "haproxy"
    program = "haproxy"

    def write(self):
        bind = (f"ssl crt {self.certificate.both} ssl-min-ver TLSv1.3 alpn http/1.1" if self.setup.tls else "") + \
            ("proto h2" if self.setup.http2 else "")
        choose = f"use_backend origin if {{ hdr(host) -i {HOST} }}"
        if self.setup.routes > 1:
            (self.folder / "hosts.map").write_text("".join(f"{host} origin\n" for host in hosts_of(self.setup)))
            choose = f"use_backend %[req.hdr(host),lower,map_str({self.folder}/hosts.map)]"
        log = ("log stdout len 1024 format raw local0", "log global\n  option httplog") if self.setup.access_log else ("", "")
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(
            connections=connections_max(), port=self.port, origin=self.origin, bind=bind, choose=choose, log=log[0], log_use=log[1],
            scheme="https" if self.setup.tls else "http", server="proto h2" if self.setup.grpc else ""))

    def launch(self):
        self.write()
        self.access_log = self.folder / "output.log"   # It logs to a syslog server or to its output.
        mode = ["-W"] if self.setup.changes else ["-db"]
        return self.run(shutil.which("haproxy") or "/usr/sbin/haproxy", *mode, "-f", self.folder / "haproxy.cfg", core=self.core)

    def tell(self) -> float:
        return self.signal(signal.SIGUSR2)


class Ringway(Proxy):
    name = "ringway"
    program = "ringway-proxy"
    io = "auto"
    workers = 1

    def manifests(self, folder: Path):
        objects = [ingress_class()]
        if self.setup.tls:
            objects.append(tls_secret(self.certificate))
        hosts = hosts_of(self.setup)
        objects += [ingress(host, f"bench-{i}", "bench", tls=bool(self.setup.tls)) for i, host in enumerate(hosts)]
        if self.setup.grpc:
            objects[-1]["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}
        (folder / "routes.yaml").write_text("".join(f"---\n{json.dumps(o)}\n" for o in objects))
        self.point(folder, self.origin)

    def point(self, folder: Path, origin: int) -> float:
        """The backend, in a file of its own."""
        text = "".join(f"---\n{json.dumps(o)}\n" for o in backend("bench", [("127.0.0.1", origin)]))
        return put(folder / "backend.yaml", text)

    def repoint(self, origin: int) -> float:
        return self.point(self.folder / "manifests", origin)

    def launch(self):
        manifests = self.folder / "manifests"
        manifests.mkdir(exist_ok=True)
        self.manifests(manifests)
        return self.launch_on(manifests)

    def launch_on(self, manifests: Path):
        discovery = self.folder / "discovery.sock"
        self.admin = self.port + 1
        http_port, https_port = (self.port + 2, self.port) if self.setup.tls else (self.port, self.port + 2)
        # The controller is not what is measured, and sits on the other core.
        self.controller = self.run(self.bins / "ringway-controller", "--source", f"dir:{manifests}", "--listen", f"unix:{discovery}",
                                   "--http-port", http_port, "--https-port", https_port)
        log = ["--access-log", self.access_log, "--access-log-format", "combined"] if self.setup.access_log else []
        return self.run(self.bins / "ringway-proxy", "--controller", f"unix:{discovery}", "--admin", f"127.0.0.1:{self.admin}", "--workers",
                        self.workers, "--io", self.io, "--connections-max", 60_000, *log, core=self.core)


class RingwayEpoll(Ringway):
    name = "ringway-epoll"
    io = "epoll"


# ---- looks from outside ----

def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def get(port: int, host: str, path: str = "/", tls: bool = False) -> tuple[int, bytes]:
    """Status and body of one GET on a connection of its own; status 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.sock = socket.create_connection(("127.0.0.1", port), 5)
        if tls:
            connection.sock = any_certificate().wrap_socket(connection.sock, server_hostname=host)
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def status(port: int, host: str, path: str = "/", tls: bool = False) -> int:
    return get(port, host, path, tls)[0]


def http2_serves(port: int, host: str) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return False
    done = subprocess.run(["h2load", "-n", "1", "-c", "1", f"--connect-to=127.0.0.1:{port}", f"http://{host}/"], capture_output=True,
                          text=True, check=False, timeout=20)
    return "status codes: 1 2xx" in done.stdout


# ---- manifests ----

def ingress_class() -> dict:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "ringway"},
            "spec": {"controller": "ringway.dev/ingress"}}


def tls_secret(certificate: Certificate) -> dict:
    data = {"tls.crt": certificate.certificate, "tls.key": certificate.key}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "tls", "namespace": "bench"},
            "data": {name: base64.b64encode(path.read_bytes()).decode() for name, path in data.items()}}


def ingress(host: str, name: str, service: str, tls: bool = False) -> dict:
    """A host with one path to a Service."""
    spec = {"ingressClassName": "ringway", "rules": [{"host": host, "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": "tls"}]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "bench"}, "spec": spec}


def backend(name: str, endpoints: list[tuple[str, int]]) -> list[dict]:
    """A Service of these endpoints (one slice per port)."""
    ports: dict[int, list[str]] = {}
    for address, port in endpoints:
        ports.setdefault(port, []).append(address)
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "bench"},
         "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
        *[{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": f"{name}-{port}", "namespace": "bench", "labels": {"kubernetes.io/service-name": name}},
           "ports": [{"name": "http", "port": port}],
           "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses]} for port, addresses in ports.items()],
    ]


def route(host: str, name: str, endpoints: list[tuple[str, int]]) -> list[dict]:
    return [ingress(host, name, name), *backend(name, endpoints)]
