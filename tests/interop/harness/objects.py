"""Kubernetes objects as a user writes them, as dicts."""

import base64
import json
from pathlib import Path

NAMESPACE = "test"


def service(name: str, annotations: dict | None = None, ports: dict | None = None, **spec) -> dict:
    ports = ports or {"http": 80}
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}},
            "spec": {"ports": [{"name": n, "port": p, "targetPort": n, "protocol": "TCP"} for n, p in ports.items()], **spec}}


def slice_of(service_name: str, port: int, conditions: dict | None = None, port_name: str = "http", address: str = "127.0.0.1") -> dict:
    """One slice per port: so several endpoints of one Service live on one machine."""
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{service_name}-{port}", "namespace": NAMESPACE,
                         "labels": {"kubernetes.io/service-name": service_name}},
            "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": conditions or {"ready": True}}]}


def path(service_name: str, value: str = "/", kind: str = "Prefix", port=80) -> dict:
    number = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": value, "pathType": kind, "backend": {"service": {"name": service_name, "port": number}}}


def ingress(name: str, host: str | None, paths: list[dict], annotations: dict | None = None, tls: list | None = None,
            created: str = "2026-01-01T00:00:00Z", **spec) -> dict:
    rule = {"http": {"paths": paths}}
    if host is not None:
        rule["host"] = host
    prefixed = {k if "/" in k else f"nginx.ingress.kubernetes.io/{k}": v for k, v in (annotations or {}).items()}
    body = {"ingressClassName": "ringway", "rules": [rule] if paths else [], **spec}
    if tls:
        body["tls"] = tls
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": NAMESPACE, "annotations": prefixed, "creationTimestamp": created}, "spec": body}


def ingress_class() -> dict:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "ringway"},
            "spec": {"controller": "ringway.dev/ingress"}}


def tls_secret(name: str, chain: bytes, key: bytes) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": NAMESPACE},
            "data": {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}}


def write(directory: Path, name: str, objects: list[dict]):
    """As an editor does it: whole content under another name, then rename. JSON documents are YAML documents."""
    staged = directory / f".{name}.tmp"
    staged.write_text("".join(f"---\n{json.dumps(o, indent=1)}\n" for o in objects))
    staged.rename(directory / f"{name}.yaml")
