"""A real API server takes every value set, without a warning of Pod Security; Helm installs, upgrades and uninstalls there. Needs root and the
programs that `./dev e2e --api` builds; without them it is skipped."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import CHART, NAMESPACE, ROOT, VALUE_SETS
from test_every_set import PRIVILEGED

CLUSTER = f"chart-{os.getpid()}"
pytestmark = pytest.mark.xdist_group("api_server")  # One worker, one server.


def cluster(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    environment = os.environ | {"GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    got = subprocess.run([str(ROOT / "build/chart/cluster"), *arguments], cwd=ROOT / "e2e", env=environment, capture_output=True, text=True, check=False)
    assert got.returncode == 0 or not check, got.stdout + got.stderr
    return got


class API:
    def __init__(self, kubectl: str, helm: str):
        self.programs = {"kubectl": kubectl, "helm": helm}

    def run(self, program: str, *arguments: str, check: bool = True) -> str:
        got = cluster("net", "--name", CLUSTER, "--", self.programs[program], *arguments, check=check)
        return got.stdout + got.stderr


@pytest.fixture(scope="session")
def api(helm):
    if os.geteuid() != 0:
        pytest.skip("needs root for the API server's own network")
    if shutil.which("go") is None:
        pytest.skip("no Go in PATH to start an API server with")
    built = subprocess.run(["go", "build", "-buildvcs=false", "-o", str(ROOT / "build/chart/cluster"), "./cmd/cluster"], cwd=ROOT / "e2e",
                           capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the cluster's program cannot be built: {built.stderr.strip()[-300:]}")
    paths = cluster("path", "etcd", "kube-apiserver", "kubectl").stdout.split()
    if missing := [p.rpartition("/")[2] for p in paths if not os.path.isfile(p)]:
        pytest.skip(f"{', '.join(missing)}: not built yet; ./dev e2e --api does")
    try:
        cluster("up", "--name", CLUSTER, "--mode", "api")
        server = API(paths[-1], helm)
        server.run("kubectl", "create", "namespace", NAMESPACE)
        for mode in ("enforce", "warn"):
            server.run("kubectl", "label", "namespace", NAMESPACE, f"pod-security.kubernetes.io/{mode}=restricted")
        # What kube-controller-manager would make.
        server.run("kubectl", "create", "serviceaccount", "default", "--namespace", NAMESPACE)
        for other in ("shop", "shop-staging", "certificates"):
            server.run("kubectl", "create", "namespace", other)
        yield server
    finally:
        cluster("down", "--name", CLUSTER, check=False)


def test_every_value_set_is_taken(api, render, tmp_path):
    for path in VALUE_SETS:
        name = path.stem.removesuffix("-values")
        file = tmp_path / f"{name}.yaml"
        file.write_text(render.text(path, "--kube-version", "1.35.0"))
        said = api.run("kubectl", "apply", "--server-side", "--dry-run=server", "--filename", str(file), check=False)
        # Kinds of operators that are not here are all that may be refused.
        lines = [line for line in said.splitlines() if "serverside-applied" not in line and "no matches for kind" not in line and "ensure CRDs" not in line]
        allowed = [r'^Warning: would violate PodSecurity "restricted:latest": .*'] if name in PRIVILEGED else []
        rest = [line for line in lines if line.strip() and not any(re.match(pattern, line) for pattern in allowed)]
        assert not rest, f"{name}: {rest}"
        assert not allowed or len(lines) == 1, f"{name}: {lines}"


def test_helm_installs_upgrades_and_leaves_nothing(api):
    release = ("ringway", str(CHART), "--namespace", NAMESPACE)
    certificate = ("get", "secret", "ringway-admission-tls", "--namespace", NAMESPACE, "--output", "jsonpath={.data.tls\\.crt}")
    api.run("helm", "install", *release, "--set", "controller.admissionWebhooks.enabled=true")
    first = api.run("kubectl", *certificate)
    assert "PodSecurity" not in api.run("helm", "upgrade", *release, "--reuse-values", "--set", "proxy.logLevel=debug")
    assert api.run("kubectl", *certificate) == first  # The API server goes on believing it.
    api.run("helm", "uninstall", "ringway", "--namespace", NAMESPACE)
    kinds = "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,ingressclasses,validatingwebhookconfigurations"
    assert "No resources found" in api.run("kubectl", "get", kinds, "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/instance=ringway")


def test_the_manifest_is_applied(api):
    said = api.run("kubectl", "apply", "--server-side", "--filename", str(ROOT / "manifests/install.yaml"))
    assert "Warning" not in said and "namespace/ringway-system serverside-applied" in said
