"""Servers that are not HTTP, and the objects that lead to them."""

import hashlib
import socket
import socketserver
import ssl
import threading

from . import objects


class StreamServer:
    """Says everything back, unless `handle(sock, server)` does otherwise. What came on each connection is in `received`."""

    def __init__(self, handle=None, context: ssl.SSLContext | None = None, family=socket.AF_INET, address: str | None = None):
        outer = self
        self.received: list[bytearray] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                sock = self.request
                sock.settimeout(60)
                try:
                    if context is not None:
                        sock = context.wrap_socket(sock, server_side=True)
                    (handle or StreamServer.echo)(sock, outer)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            address_family = family
            request_queue_size = 256

        self.server = Server((address or ("127.0.0.1" if family == socket.AF_INET else "::1"), 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @staticmethod
    def echo(sock, server):
        mine = bytearray()
        server.received.append(mine)
        while data := sock.recv(1 << 16):
            mine += data
            sock.sendall(data)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class DatagramServer:
    """Says every datagram back behind its name."""

    def __init__(self, name: bytes = b"", address: str = "127.0.0.1", port: int = 0):
        self.name = name
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, port))
        self.sock.settimeout(0.05)
        self.port = self.sock.getsockname()[1]
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping:
            try:
                data, sender = self.sock.recvfrom(65536)
                self.sock.sendto(self.name + data, sender)
            except OSError:   # Nothing came yet, or a refusal of an answer.
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.sock.close()

    def __exit__(self, *_):
        if not self.stopping:
            self.stop()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config_map(name: str, entries: dict) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": objects.NAMESPACE},
            "data": {str(port): value for port, value in entries.items()}}


def service(name: str, protocol: str = "TCP") -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": objects.NAMESPACE},
            "spec": {"ports": [{"name": "main", "port": 7, "protocol": protocol}]}}


def endpoint(service_name: str, port: int, address: str = "127.0.0.1", protocol: str = "TCP") -> dict:
    kind = "IPv6" if ":" in address else "IPv4"
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind,
            "metadata": {"name": f"{service_name}-{kind.lower()}-{port}", "namespace": objects.NAMESPACE,
                         "labels": {"kubernetes.io/service-name": service_name}},
            "ports": [{"name": "main", "port": port, "protocol": protocol}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}
