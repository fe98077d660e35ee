"""What is not HTTP requests: TCP and UDP relays, WebSocket messages. CPU of the proxy over what the client got back; ratios are to the proxy
that is named in the note. Proxies take turns as in runner.py; a run counts only when every message came back whole."""

import json
import socket
import statistics
import subprocess
from pathlib import Path

import peers
import proxies
from measure import CoreMeter
from runner import FOREIGN_SHARE_MAX

NGINX = """
load_module {module};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
stream {{
  upstream origin {{ server 127.0.0.1:{origin}; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass origin; tcp_nodelay on; }}
  server {{ listen 127.0.0.1:{port} udp; proxy_pass origin; proxy_timeout 30s; }}
}}
"""

NGINX_WS = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 1000
defaults
  mode {mode}
  timeout client 75s
  timeout server 60s
  timeout connect 5s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend origin
backend origin
  server one 127.0.0.1:{origin}
"""


def echoes(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
            sock.sendall(b"e")
            return sock.recv(1) == b"e"
    except OSError:
        return False


def echoes_datagrams(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        try:
            sock.send(b"e")
            return sock.recv(10) == b"e"
        except OSError:
            return False


class Streams:
    """Of a proxy that relays bytes and datagrams: ready when they come back."""

    udp = True

    def serves(self, host: str) -> bool:
        return echoes(self.port) and (not self.udp or echoes_datagrams(self.port))


class WebSockets:
    def serves(self, host: str) -> bool:
        return proxies.status(self.port, proxies.HOST) == 200


class NginxStream(Streams, proxies.Nginx):
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    template = NGINX

    def launch(self):
        config = self.folder / "nginx.conf"
        config.write_text(self.template.format(module=self.module, folder=self.folder, port=self.port, origin=self.origin))
        return self.run("/usr/sbin/nginx", "-p", self.folder, "-c", config, "-g", "daemon off;", core=self.core)


class NginxWebSocket(WebSockets, NginxStream):
    template, module = NGINX_WS, None


class HaproxyStream(Streams, proxies.Haproxy):
    mode, udp = "tcp", False

    def launch(self):
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=self.port, origin=self.origin, mode=self.mode))
        return self.run("/usr/sbin/haproxy", "-db", "-f", config, core=self.core)


class HaproxyWebSocket(WebSockets, HaproxyStream):
    mode = "http"


class EnvoyStream(Streams, peers.Envoy):
    udp = False

    def filter_chain(self) -> dict:
        return {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "in", "cluster": "origin"}}]}


class EnvoyWebSocket(WebSockets, peers.Envoy):
    def filter_chain(self) -> dict:
        chain = super().filter_chain()
        chain["filters"][0]["typed_config"]["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        return chain


class RingwayStream(Streams, proxies.Ringway):
    def manifests(self, folder: Path):
        objects = []
        for protocol in ("TCP", "UDP"):
            name = protocol.lower()
            service = {"name": name, "namespace": "bench"}
            objects += [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": service, "data": {str(self.port): f"bench/{name}:main"}},
                {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"ports": [{"name": "main", "port": 7, "protocol": protocol}]}},
                {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                 "metadata": {**service, "labels": {"kubernetes.io/service-name": name}},
                 "ports": [{"name": "main", "port": self.origin, "protocol": protocol}],
                 "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]}]
        (folder / "bench.yaml").write_text("".join(f"---\n{json.dumps(o)}\n" for o in objects))

    def launch_on(self, manifests: Path):
        discovery = self.folder / "discovery.sock"
        self.controller = self.run(self.bins / "ringway-controller", "--source", f"dir:{manifests}", "--listen", f"unix:{discovery}",
                                   "--http-port", 0, "--https-port", 0, "--stream-address", "127.0.0.1",
                                   "--tcp-services-configmap", "bench/tcp", "--udp-services-configmap", "bench/udp")
        return self.run(self.bins / "ringway-proxy", "--controller", f"unix:{discovery}", "--admin", f"127.0.0.1:{self.port + 1}",
                        "--workers", 1, "--io", self.io, core=self.core)


class RingwayStreamEpoll(RingwayStream):
    name, io = "ringway-epoll", "epoll"


class RingwayWebSocket(WebSockets, proxies.Ringway):
    pass


class RingwayWebSocketEpoll(RingwayWebSocket):
    name, io = "ringway-epoll", "epoll"


STREAMS = [NginxStream, HaproxyStream, EnvoyStream, RingwayStream, RingwayStreamEpoll]
DATAGRAMS = [NginxStream, RingwayStream, RingwayStreamEpoll]
WEBSOCKETS = [NginxWebSocket, HaproxyWebSocket, EnvoyWebSocket, RingwayWebSocket, RingwayWebSocketEpoll]


def measure(bench, name: str, what: str, kinds: list, load: dict, base: str, target: float) -> dict:
    """`base`: the proxy that the ratio is to."""
    wanted = [k for k in kinds if k.name in {there.name for there in bench.kinds}]
    origin = bench.port()
    server = proxies.spawn([bench.bins / "bench_stream", "serve", "--port", origin])
    running, runs, notes = [], {}, [f"ratio: to {base}"]
    try:
        for kind in wanted:
            if issubclass(kind, NginxStream) and kind.module and not kind.module.exists():
                notes.append(f"nginx: left out: {kind.module} is not there")
                continue
            try:
                running.append(bench.start(kind, origin, name))
            except (RuntimeError, OSError) as error:
                notes.append(f"{kind.name}: left out: {str(error).splitlines()[0]}")
        for proxy in running:
            client(bench, proxy, load, min(1.0, bench.seconds))   # Warm.
        for number in range(bench.rounds):
            for proxy in running:
                run = one_run(bench, proxy, load)
                runs.setdefault(proxy.name, []).append(run)
                mark = " not counted: " + "; ".join(run["problems"]) if run["problems"] else ""
                print(f"  {name} {proxy.name:14} round {number + 1}: {run['figure']:8.2f}, {run['rps']:9.0f}/s, core {run['busy']:.0%} busy{mark}", flush=True)
    finally:
        for proxy in running:
            proxy.stop()
        proxies.end(server)
    rows = {proxy: summary(found) for proxy, found in runs.items()}
    for proxy, row in rows.items():
        row["ratio"] = row["min"] / rows[base]["min"] if base in rows else None
        row["ratio_median"] = row["median"] / rows[base]["median"] if base in rows else None
        if row["counted"] < row["runs"]:
            notes.append(f"{proxy}: {row['runs'] - row['counted']} of {row['runs']} runs not counted: " +
                         "; ".join(sorted({p for r in runs[proxy] for p in r["problems"]}))[:200])
    unit = "CPU s per GiB" if load["mode"] == "bulk" else "CPU µs per message and its echo"
    return {"case": name, "what": what, "unit": unit, "rows": rows, "notes": notes, "runs": runs, "targets": {"ratio": target}}


def client(bench, proxy, load: dict, seconds: float) -> dict:
    command = [bench.bins / "bench_stream", load["mode"], "--port", proxy.port, "--connections", load["connections"], "--bytes", load["bytes"],
               "--seconds", seconds]
    return json.loads(subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout)


def one_run(bench, proxy, load: dict) -> dict:
    meter = CoreMeter(proxy.pids(), proxy.core if proxy.core is not None else 0)
    meter.start()
    report = client(bench, proxy, load, bench.seconds)
    used = meter.stop()
    problems = [f"{report['failed']} failed"] if report["failed"] else []
    if proxy.core is None:
        problems.append("one core: nothing can be kept off it")
    elif used["foreign_share"] > FOREIGN_SHARE_MAX:
        problems.append(f"another process used {used['foreign_share']:.1%} of the core")
    if load["mode"] == "bulk":
        figure, count = used["cpu_ns"] / 1e9 / max(report["bytes"] / 2**30, 1e-9), report["bytes"] / 2**20
    else:
        figure, count = used["cpu_ns"] / 1000 / max(1, report["messages"]), report["messages"]
    return {"figure": figure, "rps": count / report["seconds"], "busy": used["cpu_ns"] / used["wall_ns"],
            "foreign_share": used["foreign_share"], "problems": problems, "report": report}


def summary(runs: list[dict]) -> dict:
    """Of the runs that count; when none does, of all, and the row says so."""
    good = [r for r in runs if not r["problems"]]
    used = good or runs
    return {"min": min(r["figure"] for r in used), "median": statistics.median(r["figure"] for r in used),
            "rps": statistics.median(r["rps"] for r in used), "busy": statistics.median(r["busy"] for r in used),
            "runs": len(runs), "counted": len(good)}


def case(name: str, what: str, kinds: list, mode: str, connections: int, size: int, base: str, target: float):
    load = {"mode": mode, "connections": connections, "bytes": size}
    return name, lambda bench: measure(bench, name, what, kinds, load, base, target)


CASES = dict([
    case("tcp-64", "TCP relay: 64 connections, messages of 128 bytes", STREAMS, "tcp", 64, 128, "haproxy", 0.85),
    case("tcp-bulk", "TCP relay: 4 connections, as much as comes", STREAMS, "bulk", 4, 0, "haproxy", 0.85),
    case("udp-64", "UDP: 64 clients, datagrams of 128 bytes", DATAGRAMS, "udp", 64, 128, "nginx", 0.7),
    case("websocket-64", "WebSocket: 64 connections, messages of 64 bytes", WEBSOCKETS, "ws", 64, 64, "nginx", 0.8),
])
QUICK = []
