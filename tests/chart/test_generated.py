"""What is made by generate.py is what is in the tree; files of the chart agree with the programs."""

import json
import os
import re
import shutil
import subprocess

import generate
import pytest
import yaml
from conftest import CHART, ROOT, VALUE_SETS


def test_known_values():
    assert generate.KNOWN.read_text() == generate.known_values(), "./dev chart --write"


def test_schema():
    assert generate.SCHEMA.read_text() == generate.schema(), "./dev chart --write"


def test_install_manifest(helm):
    assert generate.INSTALL.read_text() == generate.install_manifest(helm), "./dev chart --write"


def test_chart_version_is_the_projects():
    version = re.search(r"project\(ringway VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    for change in yaml.safe_load(chart["annotations"]["artifacthub.io/changes"]):
        assert change["kind"] in ("added", "changed", "deprecated", "removed", "fixed", "security") and change["description"]


def test_value_sets_say_what_they_are_for():
    assert len(VALUE_SETS) >= 10
    for path in VALUE_SETS:
        assert path.read_text().startswith("# "), path


def test_alerts_are_about_metrics_that_there_are():
    documented = set(re.findall(r"`(ringway_\w+)`", (ROOT / "docs/operations.md").read_text()))
    for alert in yaml.safe_load((CHART / "files/alerts.yaml").read_text()):
        used = {name.removesuffix("_bucket") for name in re.findall(r"ringway_\w+", alert["expr"])}
        assert used and used <= documented, alert["alert"]
        assert alert["annotations"]["summary"] and alert["labels"]["severity"] in ("warning", "critical")


def test_seccomp_profile_allows_io_uring_and_is_no_free_pass():
    profile = json.loads((CHART / "files/seccomp/ringway-proxy.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args") for name in rule["names"]}
    assert {"io_uring_setup", "io_uring_enter", "io_uring_register", "epoll_wait", "accept4"} <= allowed
    assert not allowed & {"mount", "bpf", "init_module", "kexec_load", "reboot", "setns", "unshare", "keyctl", "add_key", "perf_event_open", "userfaultfd"}


def test_seccomp_profile_is_the_runtimes_default_and_io_uring():
    if shutil.which("go") is None:
        pytest.skip("no Go in PATH to ask the runtimes' module for its default")
    environment = os.environ | {"GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    made = subprocess.run(["go", "run", "."], cwd=ROOT / "tests/chart/seccomp", env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the runtimes' default cannot be built: {made.stderr.strip()[-300:]}")
    assert (CHART / "files/seccomp/ringway-proxy.json").read_text() == made.stdout, "go -C tests/chart/seccomp run . > charts/ringway/files/seccomp/ringway-proxy.json"
