#!/usr/bin/env python3
"""What is made from the chart's values.yaml and templates, so that it is written once:

  charts/ringway/files/known-values.yaml   the tree of keys, for the notes that name keys without effect
  charts/ringway/values.schema.json        the type of every value
  manifests/install.yaml                   the chart rendered with its defaults, for `kubectl apply`

`./dev chart --write` makes them; the tests compare.
"""

import argparse
import json
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/ringway"
KNOWN = CHART / "files/known-values.yaml"
SCHEMA = CHART / "values.schema.json"
INSTALL = ROOT / "manifests/install.yaml"

PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
SECONDS = {"type": "integer", "minimum": 0, "maximum": 86400}
LEVEL = {"enum": ["debug", "info", "warn", "error", "off", False]}  # YAML 1.1 reads a bare `off` as false.
FORMAT = {"enum": ["text", "json"]}
COUNT_OR_PERCENT = {"type": ["integer", "string", "null"]}
NODE_PORT = {"type": ["integer", "string"]}
L4 = {"type": "object", "patternProperties": {"^[0-9]{1,5}$": {"type": "string", "pattern": "^[^/]+/[^:]+:.+"}}, "additionalProperties": False}
SERVICE_TYPE = {"enum": ["", "ClusterIP", "NodePort", "LoadBalancer"]}
POLICY = {"enum": ["", "Cluster", "Local"]}
FAMILY_POLICY = {"enum": ["", "SingleStack", "PreferDualStack", "RequireDualStack"]}

# Where a default's type says too little or too much, by path; `*` is one key.
TYPES = {
    "topology": {"enum": ["split", "single"]},
    "image.tag": {"type": ["string", "number"]},
    "image.digest": {"type": "string", "pattern": "^(|sha256:[0-9a-f]{64})$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "proxy.io": {"enum": ["auto", "uring", "epoll"]},
    "proxy.workers": {"type": ["string", "integer"], "pattern": "^(auto|[0-9]+)$", "minimum": 1},
    "proxy.connectionsMax": {"type": ["integer", "null"], "minimum": 16, "maximum": 1000000},
    "proxy.accessLog": {"type": ["string", "boolean"], "not": {"const": True}},
    "proxy.accessLogFormat": {"enum": ["combined", "json"]},
    "proxy.logLevel": LEVEL, "controlPlane.logLevel": LEVEL,
    "proxy.logFormat": FORMAT, "controlPlane.logFormat": FORMAT,
    "proxy.preStopSeconds": SECONDS, "proxy.drainSeconds": SECONDS,
    "controlPlane.replicaCount": {"type": "integer", "minimum": 0},
    "controlPlane.port": PORT, "controlPlane.adminPort": PORT, "controlPlane.minAvailable": COUNT_OR_PERCENT,
    "link.certificates": {"enum": ["controller", "certManager", "secret"]},
    "seccomp.type": {"enum": ["RuntimeDefault", "Localhost"]},
    "helmTest.timeoutSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
    "controller.kind": {"enum": ["Deployment", "DaemonSet", "Both"]},
    "controller.progressDeadlineSeconds": {"type": ["integer", "null"]},
    "controller.containerPort.*": {**PORT, "type": ["integer", "null"]},
    "controller.hostPort.ports.*": PORT,
    # IngressClass spec.controller: a domain-prefixed path, which the API server and the controllers both insist on.
    "controller.ingressClassResource.controllerValue": {"type": "string", "pattern": "^[a-z0-9.-]+/.+$"},
    "ingressNginx.controllerValue": {"type": "string", "pattern": "^[a-z0-9.-]+/.+$"},
    "controller.hostname": {"type": ["object", "string"]},
    "controller.image.pullPolicy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
    "controller.minAvailable": COUNT_OR_PERCENT, "controller.maxUnavailable": COUNT_OR_PERCENT,
    "controller.unhealthyPodEvictionPolicy": {"enum": ["", "AlwaysAllow", "IfHealthyBudget"]},
    "controller.autoscaling.targetCPUUtilizationPercentage": {"type": ["integer", "null"]},
    "controller.autoscaling.targetMemoryUtilizationPercentage": {"type": ["integer", "null"]},
    "controller.admissionWebhooks.failurePolicy": {"enum": ["Fail", "Ignore"]},
    "controller.admissionWebhooks.port": PORT, "controller.admissionWebhooks.service.servicePort": PORT,
    "controller.admissionWebhooks.timeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 30},
    "controller.metrics.port": PORT, "controller.metrics.service.servicePort": PORT,
    "controller.metrics.prometheusRule.rules": {"type": "array"},
    "controller.scope.namespaces": {"type": "array", "items": {"type": "string"}},
    "rbac.secrets": {"enum": ["watch", "get", "list"]},
    "defaultBackend.image.tag": {"type": ["string", "number"]},
    "defaultBackend.minAvailable": COUNT_OR_PERCENT,
    "tcp": L4, "udp": L4,
}
for service in ("controller.service", "controller.service.internal"):
    TYPES |= {
        f"{service}.type": SERVICE_TYPE,
        f"{service}.externalTrafficPolicy": POLICY, f"{service}.internalTrafficPolicy": POLICY,
        f"{service}.ipFamilyPolicy": FAMILY_POLICY,
        f"{service}.sessionAffinity": {"enum": ["", "None", "ClientIP"]},
        f"{service}.allocateLoadBalancerNodePorts": {"type": ["boolean", "null"]},
        f"{service}.healthCheckNodePort": {"type": ["integer", "null"]},
        f"{service}.ports": {"type": "object", "additionalProperties": PORT},
        f"{service}.targetPorts": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        f"{service}.nodePorts.http": NODE_PORT, f"{service}.nodePorts.https": NODE_PORT,
    }


# Values that go into an object as they are, whatever their defaults.
PASSED_ON = {"resources", "nodeSelector", "labels", "seccompProfile", "livenessProbe", "readinessProbe", "global"}


def known_tree(value, key=""):
    """Keys only: below an empty map, a list or a plain value anything goes."""
    if not isinstance(value, dict) or key in PASSED_ON:
        return {}
    return {key: known_tree(inner, key) for key, inner in value.items()}


def type_at(path: str):
    parent, _, _ = path.rpartition(".")
    return TYPES.get(path) or TYPES.get(f"{parent}.*")


def schema_of(value, path=""):
    if (given := type_at(path)) is not None:
        return given
    if isinstance(value, dict):
        if not value:
            return {"type": "object"}
        return {"type": "object", "properties": {key: schema_of(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()}}
    for python, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, python):
            return {"type": name}
    raise ValueError(f"{path}: {value!r} has no type; give it one in TYPES")


def values() -> dict:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def paths_of(value, path="") -> set[str]:
    found = {path}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= paths_of(inner, f"{path}.{key}".lstrip("."))
    return found


def known_values() -> str:
    return "# Made from values.yaml by tests/chart/generate.py.\n" + yaml.safe_dump(known_tree(values()), sort_keys=True)


def schema() -> str:
    used = paths_of(values())
    for path in TYPES:
        assert path.removesuffix(".*") in used, f"TYPES names {path}, which is not in values.yaml"
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Ringway chart",
        "description": "Made from values.yaml by tests/chart/generate.py. Keys that are not here are accepted; the notes name them.",
        **schema_of(values()),
    }
    return json.dumps(whole, indent=1) + "\n"


def install_manifest(helm: str) -> str:
    command = [helm, "template", "ringway", str(CHART), "--namespace", "ringway-system", "--no-hooks", "--set", "helmTest.enabled=false"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    namespace = ("# The chart with its default values: kubectl apply --server-side -f install.yaml. Made by tests/chart/generate.py.\n"
                 "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ringway-system\n  labels:\n"
                 "    pod-security.kubernetes.io/enforce: restricted\n")
    # No chart made it as far as the cluster is concerned: Helm would refuse to take it over, or take it for its own.
    lines = [line.replace("managed-by: Helm", "managed-by: kubectl") for line in rendered.splitlines() if "helm.sh/chart:" not in line]
    return namespace + "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--helm", nargs="?", const="", help="make install.yaml too, with this Helm program (default: the one that the tests build)")
    options = parser.parse_args()
    KNOWN.write_text(known_values())
    SCHEMA.write_text(schema())
    if options.helm is not None:
        from conftest import find_helm  # Needs pytest, which the rest does not.
        helm, problem = (options.helm, "") if options.helm else find_helm()
        if helm is None:
            raise SystemExit(problem)
        INSTALL.write_text(install_manifest(helm))


if __name__ == "__main__":
    main()
