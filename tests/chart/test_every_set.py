"""What must hold of every object, whatever the values."""

import re
import subprocess

import pytest
import yaml
from conftest import CHART, NAMESPACE, ROOT

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "IngressClass", "ValidatingWebhookConfiguration"}
# Value sets that ask for more than Pod Security "restricted" allows, and the containers that may have it.
PRIVILEGED = {"daemonset-hostport": {"proxy"}, "hostnetwork": {"proxy"}, "seccomp": {"installer"}}


def test_lint(render, value_set):
    got = render.run("lint", str(CHART), "--strict", "--values", str(value_set), "--kube-version", "1.35.0")
    assert got.returncode == 0, got.stdout + got.stderr


@pytest.mark.parametrize("version", ["1.29.0", "1.36.0"])
def test_objects_have_names_and_labels_of_their_own(render, value_set, version):
    release = render(value_set, "--kube-version", version)
    seen = set()
    for o in release.objects:
        metadata = o["metadata"]
        key = (o["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in seen, f"twice: {key}"
        seen.add(key)
        assert ("namespace" in metadata) == (o["kind"] not in CLUSTER_WIDE), key
        assert len(metadata["name"]) <= 63, key
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == "ringway" and labels["app.kubernetes.io/instance"] == "ringway", key
        assert all(re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", str(v)) for v in labels.values()), labels
        assert all(isinstance(v, str) for v in (metadata.get("annotations") or {}).values()), key


def test_decodes_strictly_as_the_api_types(render, value_set, strict):
    """No unknown field, no field twice, every value of its type: by the decoder and the types of Kubernetes itself."""
    got = subprocess.run([strict], input=render.text(value_set), capture_output=True, text=True, check=False)
    assert got.returncode == 0, got.stdout + got.stderr
    typed = int(re.match(r"(\d+) objects", got.stdout).group(1))
    assert typed >= 8, got.stdout


def test_pods_are_restricted(render, value_set):
    """The rules of Pod Security level "restricted" (docs: Pod Security Standards), pod by pod."""
    name = value_set.stem.removesuffix("-values")
    for owner, pod in render(value_set).pods():
        spec = pod["spec"]
        exempt = {c["name"] for c in spec["containers"]} & PRIVILEGED.get(name, set())
        if not exempt:
            assert not spec.get("hostNetwork") and not spec.get("hostPID") and not spec.get("hostIPC"), owner
            assert all(set(v) & {"configMap", "emptyDir", "secret", "projected", "downwardAPI", "csi"} for v in spec.get("volumes", [])), owner
        sysctls = {s["name"] for s in spec["securityContext"].get("sysctls", [])}
        assert sysctls <= {"net.ipv4.ip_unprivileged_port_start"}, owner
        for container in spec["containers"] + spec.get("initContainers", []):
            where, context = f"{owner} {container['name']}", container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["capabilities"]["drop"] == ["ALL"], where
            assert set(context["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}, where
            profile = context.get("seccompProfile") or spec["securityContext"]["seccompProfile"]
            assert profile["type"] in ("RuntimeDefault", "Localhost"), where
            assert context["readOnlyRootFilesystem"] is True, where
            if container["name"] in exempt:
                continue
            assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, where
            assert not any("hostPort" in p for p in container.get("ports", [])), where
            if name != "ingress-nginx-old":  # Which sets a user of its own.
                assert context["runAsUser"] >= 10000 and context["runAsGroup"] >= 10000, where


def test_only_controllers_can_talk_to_the_api(render, value_set):
    release = render(value_set)
    bound = {s["name"] for o in release.objects if o["kind"].endswith("Binding") for s in o["subjects"]}
    for owner, pod in release.pods():
        spec = pod["spec"]
        names = {c["name"] for c in spec["containers"]}
        assert spec["automountServiceAccountToken"] is (names == {"controller"}), owner
        if "controller" not in names:
            assert spec.get("serviceAccountName", "default") not in bound, owner
        # Beside the kubelet's own mount: a projected token, for the controller's container only.
        tokens = {v["name"] for v in spec.get("volumes", []) if any("serviceAccountToken" in s for s in v.get("projected", {}).get("sources", []))}
        for container in spec["containers"]:
            mounts = {m["name"] for m in container.get("volumeMounts", [])}
            assert not mounts & tokens or container["name"] == "controller", owner
            if container["name"] == "controller" and "proxy" in names:
                assert mounts & tokens, owner


def matches(selector: dict, labels: dict) -> bool:
    return all(labels.get(k) == v for k, v in selector.items())


def test_selectors_find_the_pods_they_mean(render, value_set):
    release = render(value_set)
    templates = {owner: pod["metadata"]["labels"] for owner, pod in release.pods()}
    ports = {owner: {p["name"]: p["protocol"] for c in pod["spec"]["containers"] for p in c.get("ports", [])} for owner, pod in release.pods()}
    for o in release.objects:
        where = f"{o['kind']} {o['metadata']['name']}"
        if o["kind"] in ("Deployment", "DaemonSet"):
            selector = o["spec"]["selector"]["matchLabels"]
            assert [w for w, labels in templates.items() if matches(selector, labels)] == [where]
        elif o["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = o["spec"].get("selector", o["spec"].get("podSelector"))["matchLabels"]
            assert sum(matches(selector, labels) for labels in templates.values()) == 1, where
        elif o["kind"] == "Service":
            owners = [w for w, labels in templates.items() if matches(o["spec"]["selector"], labels)]
            assert len(owners) == 1, f"{where} selects {owners}"
            for port in o["spec"]["ports"]:
                assert ports[owners[0]].get(port["targetPort"]) == port["protocol"], f"{where}: port {port['name']}"
        elif o["kind"] == "ServiceMonitor":
            services = [s for s in release.of("Service") if matches(o["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])]
            assert len(services) == 1, where
            assert {e["port"] for e in o["spec"]["endpoints"]} <= {p["name"] for p in services[0]["spec"]["ports"]}, where


def test_what_pods_refer_to_is_there(render, value_set):
    """Volumes of this release's objects, mounts of volumes, service accounts, ports of probes."""
    release = render(value_set)
    config_maps = {o["metadata"]["name"] for o in release.of("ConfigMap")}
    accounts = {o["metadata"]["name"] for o in release.of("ServiceAccount")} | {"default"}
    for owner, pod in release.pods():
        spec = pod["spec"]
        volumes = {v["name"]: v for v in spec.get("volumes", [])}
        assert spec.get("serviceAccountName", "default") in accounts, owner
        for volume in volumes.values():
            assert volume.get("configMap", {}).get("name", next(iter(config_maps))) in config_maps, owner
        ports = [(p["containerPort"], p["protocol"]) for c in spec["containers"] for p in c.get("ports", [])]
        assert len(ports) == len(set(ports)), f"{owner}: one port twice"
        used = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", [])}
        assert used == set(volumes), f"{owner}: mounted {sorted(used)}, there are {sorted(volumes)}"
        for container in spec["containers"]:
            names = {p["name"] for p in container.get("ports", [])}
            assert all(len(n) <= 15 for n in names), names
            for probe in ("livenessProbe", "readinessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["port"] in names, owner


def test_a_proxy_drains_before_it_is_killed(render, value_set):
    for owner, pod in render(value_set).pods():
        for container in pod["spec"]["containers"]:
            if container["name"] == "proxy":
                wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
                drain = next(int(a.partition("=")[2]) for a in container["args"] if a.startswith("--drain-timeout="))
                assert drain >= 1
                # The supervisor kills 5 s after the drain's end.
                assert wait + drain + 5 < pod["spec"]["terminationGracePeriodSeconds"], owner


def known_flags(pattern: str) -> set[str]:
    return {name for source in ROOT.glob(pattern) for name in re.findall(r"--([a-z][a-z0-9-]+)", source.read_text())}


def test_every_flag_is_one_of_the_program(render, value_set):
    release = render(value_set)
    known = {"proxy": known_flags("dataplane/process/flags.cc"), "controller": known_flags("controlplane/*_flags.cc")}
    for container, flags in known.items():
        for argument in release.args(container):
            name = argument.partition("=")[0].removeprefix("--")
            assert name in flags, f"{container}: {argument} is not in its --help"


@pytest.mark.parametrize("program", ["proxy", "controller"])
def test_the_programs_take_their_command_lines(render, value_set, program):
    """Values too: a program reads its flags from left to right, and --help at the end makes it stop there."""
    binary = ROOT / "build/dev/bin" / f"ringway-{program}"
    if not binary.is_file():
        pytest.skip(f"build/dev/bin/ringway-{program} is not built: ./dev build dev")
    arguments = list(render(value_set).args(program))
    got = subprocess.run([str(binary), *arguments, "--help"], capture_output=True, text=True, check=False)
    assert got.returncode == 0, got.stderr


def test_the_controller_may_do_nothing_with_secrets_but_what_it_must(render, value_set):
    release = render(value_set)
    wide = yaml.safe_load(value_set.read_text()) or {}
    for role in release.of("ClusterRole") + release.of("Role"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], rule
            if "secrets" in rule["resources"]:
                writes = set(rule["verbs"]) & {"update", "patch", "delete", "create"}
                assert writes <= {"create"} or "resourceNames" in rule, rule
                assert not writes or role["metadata"]["namespace"] == NAMESPACE, role["metadata"]
                if wide.get("rbac", {}).get("secrets") == "get" and "resourceNames" not in rule and not writes:
                    assert rule["verbs"] == ["get"], rule
