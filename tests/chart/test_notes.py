"""The notes after installing: the next step, and what has no effect."""

import functools
import operator
import re

import pytest
import yaml
from conftest import CHART, ROOT


@pytest.fixture(scope="session")
def notes(render):
    def show(values) -> str:
        path = str(values) if not isinstance(values, dict) else render.values_file(values)
        got = render.run("install", "ringway", str(CHART), "--namespace", "edge", "--dry-run=client", "--values", path)
        assert got.returncode == 0, got.stderr
        return got.stdout.split("NOTES:")[1]
    return show


def without_effect(text: str) -> dict[str, str]:
    _, _, found = text.partition("These values have no effect:\n")
    return dict(line.strip().split(": ", 1) for line in found.splitlines() if line.strip())


def test_tell_the_next_step(notes):
    text = notes({})
    assert "helm test ringway -n edge" in text and "rollout status deployment/ringway-proxy" in text
    assert "kubectl -n edge get service ringway-proxy" in text and "--class=ringway" in text
    assert "no effect" not in text


@pytest.mark.parametrize("values, want", [
    ({"topology": "single"}, "controller and proxy in one pod"),
    ({"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True}}}, "ports 80 and 443"),
    ({"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True}}}, "pod-security.kubernetes.io/enforce=privileged"),
    ({"ingressNginx": {"serve": True}}, "docs/migrate-from-ingress-nginx.md"),
    ({"controller": {"ingressClassResource": {"enabled": False}}}, "No IngressClass is made"),
    ({"controller": {"service": {"enabled": False}}}, "no external Service"),
])
def test_fit_the_values(notes, values, want):
    assert want in notes(values)


def test_name_what_has_no_effect(notes):
    found = without_effect(notes({
        "controller": {"keda": {"enabled": True}, "image": {"tag": "v1"}, "resources": {"limits": {"cpu": 1}}, "nosuch": {"deep": 1}, "extraArgs": {"nosuch": 1, "publish-service": "a/b"},
                       "readinessProbe": {"httpGet": {"path": "/healthz"}}, "lifecycle": {"preStop": {"exec": {"command": ["/wait-shutdown"]}}}},
        "dhParam": "x", "elsewhere": 1, "defaultBackend": {"enabled": True}, "global": {"other": 1}}))
    assert set(found) == {"controller.keda", "controller.image.tag", "controller.nosuch", "controller.extraArgs.nosuch", "controller.readinessProbe.httpGet",
                          "controller.lifecycle.preStop", "dhParam", "elsewhere", "defaultBackend.enabled"}
    assert "Ringway's is `image`" in found["controller.image.tag"] and found["elsewhere"] == "not a value of this chart"


def test_an_old_values_file_installs_and_is_told_of_what_is_lost(notes):
    found = without_effect(notes(CHART / "ci/ingress-nginx-old-values.yaml"))
    assert {"controller.image.tag", "controller.allowSnippetAnnotations", "controller.keda", "controller.admissionWebhooks.patch"} <= set(found)
    # And the rest of it is not mentioned: it has its effect.
    assert not {"controller.replicaCount", "controller.config", "controller.service.annotations", "tcp"} & set(found)


def test_reasons_are_about_keys_that_have_no_effect(render):
    """A key that the chart reads must not be in the list of those without effect."""
    reasons = yaml.safe_load((CHART / "files/ingress-nginx-values.yaml").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in reasons:
        value = defaults
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        # controller.image stands for the keys of it that name an image; the rest of it is read.
        assert value is None or path == "controller.image", path


def test_every_value_is_read_by_a_template():
    text = "\n".join(p.read_text() for p in sorted((CHART / "templates").rglob("*")) if p.is_file())
    words = set(re.findall(r"[A-Za-z0-9]+", text))

    def walk(value, path):
        for key, inner in value.items():
            assert key in words or key in ("tcp", "udp"), f"{path}{key} is in no template"
            if isinstance(inner, dict):
                walk(inner, f"{path}{key}.")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in ("controller.resources", "controller.nodeSelector", "controller.livenessProbe", "controller.readinessProbe", "controller.metrics.dashboards.labels",
                 "defaultBackend.nodeSelector", "defaultBackend.livenessProbe", "defaultBackend.readinessProbe", "controlPlane.resources", "seccomp.installer.resources"):
        *parents, last = path.split(".")
        functools.reduce(operator.getitem, parents, values)[last] = {}  # Passed on as it is.
    walk(values, "")
    assert (ROOT / "docs/migrate-from-ingress-nginx.md").is_file()
