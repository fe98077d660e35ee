"""Envoy, Traefik and Apache httpd, set up for the same work as the rest (proxies.py). Envoy and Traefik come as wheels into a Python
environment outside the tree (`./dev` names it by RINGWAY_PEERS); Apache is Debian's."""

import json
import os
import shutil
import signal
from pathlib import Path

from proxies import HOST, Haproxy, Nginx, Proxy, Ringway, RingwayEpoll, hosts_of, put

PEERS = Path(os.environ.get("RINGWAY_PEERS", "/nowhere"))
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
MODULES = Path("/usr/lib/apache2/modules")


def any_address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Envoy(Proxy):
    name = "envoy"
    program = "envoy"

    @classmethod
    def path(cls) -> str | None:
        # The program itself: the wheel's bin/envoy is Python.
        return next((str(p) for p in PEERS.glob("lib/python3*/site-packages/envoy/_bin/envoy")), None)

    def endpoints(self) -> float:
        """Followed as a file: what a control plane would send."""
        return put(self.folder / "endpoints.json", json.dumps({"resources": [{
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": any_address(self.origin)}}]}]}]}))

    def filter_chain(self) -> dict:
        header = lambda name, value: {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}  # noqa: E731
        manager = {
            "@type": HCM, "stat_prefix": "in", "codec_type": "HTTP2" if self.setup.http2 else "HTTP1", "use_remote_address": True,
            "common_http_protocol_options": {"idle_timeout": "75s", "max_headers_count": 256},
            "route_config": {
                "request_headers_to_add": [header("x-real-ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
                                           header("x-forwarded-host", "%REQ(:AUTHORITY)%"), header("x-forwarded-port", str(self.port))],
                "virtual_hosts": [{"name": h, "domains": [h, f"{h}:*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]}
                                  for h in hosts_of(self.setup)]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
        if self.setup.access_log:
            manager["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(self.access_log)}}]
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        if self.setup.tls:
            chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                    "alpn_protocols": ["http/1.1"],
                    "tls_certificates": [{"certificate_chain": {"filename": str(self.certificate.certificate)},
                                          "private_key": {"filename": str(self.certificate.key)}}]}}}
        return chain

    def launch(self):
        self.endpoints()
        many = 1_000_000
        http2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}} if self.setup.grpc else {}
        config = {
            "node": {"id": "bench", "cluster": "bench"},
            "admin": {"address": any_address(self.port + 1)},
            "static_resources": {
                "listeners": [{"name": "in", "address": any_address(self.port), "tcp_backlog_size": 4096, "filter_chains": [self.filter_chain()]}],
                "clusters": [{
                    "name": "origin", "type": "EDS", "connect_timeout": "5s", **http2,
                    "eds_cluster_config": {"eds_config": {"resource_api_version": "V3", "path_config_source": {
                        "path": str(self.folder / "endpoints.json"), "watched_directory": {"path": str(self.folder)}}}},
                    "circuit_breakers": {"thresholds": [{"max_connections": many, "max_pending_requests": many, "max_requests": many}]}}]}}
        path = self.folder / "envoy.json"
        path.write_text(json.dumps(config, indent=1))
        return self.run(self.path(), "-c", path, "--concurrency", 1, "--disable-hot-restart", "--log-level", "warning",
                        "--file-flush-interval-msec", 500, core=self.core)

    def repoint(self, origin: int) -> float:
        self.origin = origin
        return self.endpoints()


class Traefik(Proxy):
    """Sets no X-Request-ID: it has nothing that makes one."""

    name = "traefik"
    program = "traefik"

    @classmethod
    def path(cls) -> str | None:
        return shutil.which("traefik", path=str(PEERS / "bin"))

    def dynamic(self) -> float:
        secure = {"tls": {}} if self.setup.tls else {}
        scheme = "h2c" if self.setup.grpc else "http"
        config = {"http": {
            "routers": {f"r{i}": {"rule": f"Host(`{host}`)", "service": "origin", "entryPoints": ["in"], **secure}
                        for i, host in enumerate(hosts_of(self.setup))},
            "services": {"origin": {"loadBalancer": {"servers": [{"url": f"{scheme}://127.0.0.1:{self.origin}"}]}}}}}
        if self.setup.tls:
            config["tls"] = {"certificates": [{"certFile": str(self.certificate.certificate), "keyFile": str(self.certificate.key)}],
                             "options": {"default": {"minVersion": "VersionTLS13"}}}
        (self.folder / "dynamic").mkdir(exist_ok=True)
        return put(self.folder / "dynamic" / "routes.yml", json.dumps(config))  # JSON is YAML.

    def launch(self):
        self.dynamic()
        config = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False}, "log": {"level": "ERROR"},
            "entryPoints": {"in": {"address": f"127.0.0.1:{self.port}"}},
            "serversTransport": {"maxIdleConnsPerHost": 2048},
            "providers": {"file": {"directory": str(self.folder / "dynamic"), "watch": True}}}
        if self.setup.access_log:
            config["accessLog"] = {"filePath": str(self.access_log), "bufferingSize": 100}
        path = self.folder / "traefik.yml"
        path.write_text(json.dumps(config))
        self.env = {"GOMAXPROCS": "1", **self.env}
        return self.run(self.path(), f"--configFile={path}", core=self.core)

    def repoint(self, origin: int) -> float:
        self.origin = origin
        return self.dynamic()


APACHE = """
ServerRoot "{folder}"
ServerName {host}
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
ErrorLog "{folder}/error.log"
LogLevel error
{user}
{modules}
Listen 127.0.0.1:{port}
ListenBacklog 4096
StartServers 1
ServerLimit {servers}
ThreadLimit 1200
ThreadsPerChild 1200
MinSpareThreads 1
MaxSpareThreads {spare}
MaxRequestWorkers {workers}
AsyncRequestWorkerFactor 60
KeepAlive On
KeepAliveTimeout 75
MaxKeepAliveRequests 1000
MaxConnectionsPerChild 0
LimitRequestFields 256
ProxyPreserveHost On
RequestHeader set X-Request-ID "%{{UNIQUE_ID}}e"
RequestHeader set X-Real-IP "expr=%{{REMOTE_ADDR}}"
RequestHeader set X-Forwarded-Port "{port}"
RequestHeader set X-Forwarded-Proto "{scheme}"
{log}
{protocols}
{tls}
ProxyPass "/" "http://127.0.0.1:{origin}/"
{hosts}
"""


class Apache(Proxy):
    name = "apache"
    program = "apache2"

    @classmethod
    def path(cls) -> str | None:
        return shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin")

    def write(self):
        modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers", "unique_id"]
        modules += ["socache_shmcb", "ssl"] if self.setup.tls else []
        modules += ["http2"] if self.setup.http2 else []
        tls = "" if not self.setup.tls else (
            f"SSLEngine on\nSSLCertificateFile {self.certificate.certificate}\nSSLCertificateKeyFile {self.certificate.key}\n"
            f"SSLProtocol -all +TLSv1.3\nSSLSessionCache shmcb:{self.folder}/tls-cache(5120000)\n")
        # A child that ends gracefully holds a place until its connections ended.
        children = 16 if self.setup.changes else 1
        hosts = "\n".join(f"<VirtualHost 127.0.0.1:{self.port}>\nServerName {host}\n{'SSLEngine on' if tls else ''}\n"
                          "</VirtualHost>" for host in hosts_of(self.setup))
        log = f'LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" c\nBufferedLogs On\nCustomLog "{self.access_log}" c'
        (self.folder / "apache.conf").write_text(APACHE.format(
            folder=self.folder, host=HOST, port=self.port, origin=self.origin, hosts=hosts, tls=tls, scheme="https" if tls else "http", servers=children,
            user="User nobody\nGroup nogroup" if os.geteuid() == 0 else "", log=log if self.setup.access_log else "",
            protocols="Protocols h2c http/1.1" if self.setup.http2 else "", workers=1200 * children, spare=1200 * children,
            modules="\n".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so" for m in modules)))

    def launch(self):
        if self.setup.grpc:
            raise RuntimeError("mod_proxy_http2 passes no trailers, and gRPC ends with them")
        self.write()
        return self.run(self.path(), "-DFOREGROUND", "-f", self.folder / "apache.conf", core=self.core)

    def tell(self) -> float:
        return self.signal(signal.SIGUSR1)


ALL = [Nginx, Haproxy, Envoy, Traefik, Apache, Ringway, RingwayEpoll]
QUICK = [Nginx, Haproxy, Envoy, Ringway]


def available(bins: Path) -> tuple[list[type[Proxy]], list[str]]:
    """Those that are there, and why the others are not."""
    found, missing = [], []
    for kind in ALL:
        if issubclass(kind, Ringway):
            there = all((bins / p).exists() for p in ("ringway-proxy", "ringway-controller"))
        elif hasattr(kind, "path"):
            there = kind.path() is not None
        else:
            there = shutil.which(kind.program, path=os.environ["PATH"] + ":/usr/sbin") is not None
        where = PEERS if kind in (Envoy, Traefik) else "PATH"
        found.append(kind) if there else missing.append(f"{kind.name}: no {kind.program} in {where}")
    return found, missing
