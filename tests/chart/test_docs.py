"""What docs/helm.md and docs/migrate-from-ingress-nginx.md say is so."""

import re

import yaml
from conftest import CHART, ROOT

MIGRATE = (ROOT / "docs/migrate-from-ingress-nginx.md").read_text()
HELM = (ROOT / "docs/helm.md").read_text()


def test_annotations_that_are_called_unsupported_are(render):
    table = MIGRATE.partition("## Annotations that are not supported yet")[2]
    named = {name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])}
    read = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs/annotations.md").read_text(), re.M))
    assert len(named) > 20 and len(read) > 10
    assert not named & read, f"supported, and called unsupported: {sorted(named & read)}"


def test_extra_args_that_are_said_to_work_do():
    row = next(line for line in MIGRATE.splitlines() if line.startswith("| `controller.extraArgs`"))
    said = set(re.findall(r"`([a-z-]+)`", row.split("|")[2]))
    text = (CHART / "templates/_notes.tpl").read_text()
    known = set(re.search(r'define "ringway.knownExtraArgs" -}}\n(.*)\n', text).group(1).split())
    assert said == known


def test_values_that_are_named_exist():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    roots = "|".join(defaults)
    for text in (HELM, MIGRATE):
        for path in re.findall(rf"`((?:{roots})(?:\.\w+)+)(?:=[\w-]+|: \w+)?`", text):
            value = defaults
            reasons = (CHART / "files/ingress-nginx-values.yaml").read_text()
            for key in path.split("."):
                value = value.get(key, "missing") if isinstance(value, dict) else "missing"
            # An empty map takes any key.
            parent = defaults
            for key in path.split(".")[:-1]:
                parent = parent.get(key, {}) if isinstance(parent, dict) else {}
            assert value != "missing" or parent == {} or f"\n{path}:" in reasons, path


def test_the_side_by_side_values_render(render):
    """The values that the guide gives are after an old file, as it says."""
    side = yaml.safe_load(re.search(r"`side-by-side.yaml`:\n\n```yaml\n(.*?)```", MIGRATE, re.S).group(1))
    path = render.values_file(side)
    release = render(CHART / "ci/ingress-nginx-old-values.yaml", "--values", path)
    assert release.one("IngressClass")["metadata"]["name"] == "ringway"
    assert release.flag("controller", "update-status") == ["false"] and not release.of("ValidatingWebhookConfiguration")
    assert release.flag("controller", "controller-class") == ["ringway.dev/ingress", "k8s.io/ingress-nginx"]
