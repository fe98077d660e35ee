"""Rendering the chart with the real Helm. Helm is built from its pinned Go module, once; where that cannot be done every test of this
folder that needs it is skipped by name, with the reason."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/ringway"
VALUE_SETS = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE = "edge"


@functools.cache
def find_helm() -> tuple[str | None, str]:
    """The program, or None and why there is none. RINGWAY_HELM names another one."""
    if given := os.environ.get("RINGWAY_HELM"):
        return given, ""
    if shutil.which("go") is None:
        return None, "no Helm: no Go in PATH to build it with (RINGWAY_HELM names a program)"
    for command in ("build", "path"):
        got = subprocess.run(["go", "run", "./cmd/cluster", command, "helm"], cwd=ROOT / "e2e", capture_output=True, text=True, check=False)
        if got.returncode:
            return None, f"no Helm: {(got.stderr or got.stdout).strip()[-300:]}"
    return got.stdout.strip(), ""


@pytest.fixture(scope="session")
def helm() -> str:
    program, problem = find_helm()
    if program is None:
        pytest.skip(problem)
    return program


@pytest.fixture(scope="session")
def strict() -> str:
    """The decoder with Kubernetes' own types, see strict/main.go."""
    if shutil.which("go") is None:
        pytest.skip("no decoder of Kubernetes' types: no Go in PATH to build it with")
    program = ROOT / "build/chart/strict"
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    built = subprocess.run(["go", "build", "-trimpath", "-o", str(program), "."], cwd=ROOT / "tests/chart/strict", env=environment,
                           capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"no decoder of Kubernetes' types: {built.stderr.strip()[-300:]}")
    return str(program)


class Release:
    """What one set of values renders to."""

    def __init__(self, objects: list[dict]):
        self.objects = objects

    def of(self, kind: str, name: str | None = None) -> list[dict]:
        return [o for o in self.objects if o["kind"] == kind and (name is None or o["metadata"]["name"] == name)]

    def one(self, kind: str, name: str | None = None) -> dict:
        found = self.of(kind, name)
        assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}: {[o['metadata']['name'] for o in found]}"
        return found[0]

    def pods(self) -> list[tuple[str, dict]]:
        """Every pod and pod template: (owner, object with metadata and spec)."""
        found = [(f"{o['kind']} {o['metadata']['name']}", o["spec"]["template"]) for o in self.objects if o["kind"] in ("Deployment", "DaemonSet", "Job")]
        return found + [(f"Pod {o['metadata']['name']}", o) for o in self.of("Pod")]

    def proxy(self) -> dict:
        return next(o for o in self.objects if o["kind"] in ("Deployment", "DaemonSet") and o["metadata"]["name"].endswith("-proxy"))["spec"]["template"]

    def container(self, name: str) -> dict:
        return next(c for _, pod in self.pods() for c in pod["spec"]["containers"] if c["name"] == name)

    def args(self, container: str) -> list[str]:
        return self.container(container)["args"]

    def flag(self, container: str, name: str) -> list[str]:
        """The values that a flag is given."""
        return [a.partition("=")[2] for a in self.args(container) if a.partition("=")[0] == f"--{name}"]


class Renderer:
    def __init__(self, helm: str, folder: Path):
        self.helm, self.folder, self.cache = helm, folder, {}

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": "/nosuch"}
        return subprocess.run([self.helm, *arguments], capture_output=True, text=True, check=False, env=environment)

    def values_file(self, values: dict) -> str:
        text = yaml.safe_dump(values)
        path = self.folder / f"{abs(hash(text))}.yaml"
        path.write_text(text)
        return str(path)

    def text(self, values, *flags: str) -> str:
        """`values`: a dict, or the path of a file."""
        path = str(values) if isinstance(values, Path) else self.values_file(values)
        key = (Path(path).read_text(), flags)
        if key not in self.cache:
            got = self.run("template", "ringway", str(CHART), "--namespace", NAMESPACE, "--values", path, *flags)
            assert got.returncode == 0, got.stderr
            self.cache[key] = got.stdout
        return self.cache[key]

    def __call__(self, values, *flags: str) -> Release:
        return Release([o for o in yaml.safe_load_all(self.text(values, *flags)) if o])

    def refusal(self, values: dict) -> str:
        got = self.run("template", "ringway", str(CHART), "--namespace", NAMESPACE, "--values", self.values_file(values))
        assert got.returncode != 0, "these values were rendered"
        return got.stderr


@pytest.fixture(scope="session")
def render(helm, tmp_path_factory) -> Renderer:
    return Renderer(helm, tmp_path_factory.mktemp("chart"))


def pytest_generate_tests(metafunc):
    if "value_set" in metafunc.fixturenames:
        metafunc.parametrize("value_set", VALUE_SETS, ids=[p.stem.removesuffix("-values") for p in VALUE_SETS])
