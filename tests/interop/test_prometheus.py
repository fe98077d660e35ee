"""A real Prometheus scrapes the real proxy and the real controller: what it stores answers our dashboards and alerts, and those made for
ingress-nginx."""

import json
import re
import textwrap
import urllib.request
from pathlib import Path

import pytest

from harness import certs, objects, prometheus
from harness.backend import Backend
from harness.http import Client, Closed
from harness.net import eventually, free_port
from harness.stack import Stack

pytestmark = [pytest.mark.one_variant, pytest.mark.skipif(not prometheus.INSTALLED, reason="prometheus is not installed (./dev setup test)")]

CHART = Path(__file__).resolve().parents[2] / "charts/ringway"
DATA = Path(__file__).parent / "data"
CLASS = "k8s.io/ingress-nginx"
NAMESPACE = "edge"  # Of the pods; that of the objects is "test".


def rule_file(folder: Path) -> Path:
    """The chart's list of rules as Prometheus reads it; the template puts the same list into a PrometheusRule."""
    path = folder / "alerts.yaml"
    path.write_text("groups:\n- name: ringway\n  rules:\n" + textwrap.indent((CHART / "files/alerts.yaml").read_text(), "  "))
    return path


class Watched:
    """A stack under traffic of every kind, and the Prometheus that looks at it."""

    def __init__(self, bins: Path, folder: Path, variant: str):
        admin = free_port()
        self.stack = Stack(bins, folder / "stack", variant,
                           proxy_flags=["--metrics-namespace", NAMESPACE, "--metrics-pod", "proxy-0", "--metrics-class", CLASS],
                           controller_flags=["--admin", f"127.0.0.1:{admin}", "--metrics-namespace", NAMESPACE, "--metrics-pod", "controller-0"])
        self.backends = [Backend("one"), Backend("two")]
        self.stack.start()
        self.publish()
        # As the service discovery of a cluster: labels of the pod. Prometheus keeps the metric's own `namespace` as `exported_namespace`.
        self.prometheus = prometheus.Prometheus(folder / "prometheus", {
            "ringway-proxy": (self.stack.admin_port, {"namespace": NAMESPACE, "pod": "proxy-0"}),
            "ringway-controller": (admin, {"namespace": NAMESPACE, "pod": "controller-0"})}, [rule_file(folder)])

    def publish(self):
        chain, key = certs.self_signed("shop", "shop.test", days=90)
        gone = Backend("gone")  # Refuses: every request that comes upon it is tried again.
        gone.stop()
        self.stack.put("secret", objects.tls_secret("shop-tls", chain, key))
        self.stack.publish("shop.test", *self.backends, gone, tls=[{"hosts": ["shop.test"], "secretName": "shop-tls"}],
                           annotations={"ssl-redirect": "false"})
        self.stack.put("lost", objects.ingress("lost", "lost.test", [objects.path("nowhere")]))
        self.stack.put("empty", objects.ingress("empty", "empty.test", [objects.path("empty")]), objects.service("empty"))
        self.stack.wait_route("lost.test")
        self.stack.wait_route("empty.test")

    def traffic(self, rounds: int):
        tls = certs.any_server()
        for _ in range(rounds):
            with self.stack.client() as client:
                for path, method in (("/status/200", "GET"), ("/status/404", "GET"), ("/bytes/5000", "GET"), ("/sleep/0.03", "GET"), ("/status/500", "GET"),
                                     ("/status/201", "POST"), ("/status/301", "GET")):
                    client.request("shop.test", path, method, body=b"x" * 70 if method == "POST" else None)
                assert client.request("nobody.test", "/").status == 404
                assert client.request("lost.test", "/").status == 503
                assert client.request("empty.test", "/").status == 503
            with self.stack.client() as client:
                assert client.request("shop.test", "/reset", "POST", body=b"x").status == 502
            with Client(self.stack.https_port, tls=tls, sni="shop.test") as client:
                assert client.request("shop.test", "/status/200").status == 200
            with self.stack.client() as client:
                try:
                    client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
                    assert client.reader.response().status == 400
                except Closed:
                    pass

    def change(self, number: int):
        """A change of the configuration, applied when this returns."""
        before = self.stack.metric("ringway_config_generation")
        self.stack.publish(f"extra{number}.test", self.backends[0])
        eventually(lambda: self.stack.metric("ringway_config_generation") > before)

    def stop(self):
        self.prometheus.stop()
        self.stack.stop()
        for backend in self.backends:
            backend.stop()


@pytest.fixture(scope="module")
def watched(bins, variant, tmp_path_factory):
    running = Watched(bins, tmp_path_factory.mktemp("watched"), variant)
    try:
        eventually(lambda: len(running.prometheus.targets()) == 2, 60)
        # Counters that grow between scrapes: a rate needs two, and a series that was there before.
        for number in range(3):
            running.traffic(3)
            running.change(number)
            running.prometheus.wait_scrapes()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def db(watched) -> prometheus.Prometheus:
    return watched.prometheus


def test_targets_are_up(db):
    for job, target in db.targets().items():
        assert target["health"] == "up" and target["lastError"] == "", (job, target)


def test_counts_are_those_of_the_traffic(watched, db):
    """Our names and ingress-nginx's say the same."""
    ours = db.value('sum(ringway_requests_total{ingress="shop-test"})')
    theirs = db.value('sum(nginx_ingress_controller_requests{ingress="shop-test"})')
    assert ours == theirs > 50
    assert db.value('sum(nginx_ingress_controller_requests{ingress="shop-test",method="POST",status="201",path="/",host="shop.test"})') >= 9
    assert db.value('sum(nginx_ingress_controller_request_duration_seconds_count{ingress="shop-test"})') == theirs
    assert db.value('sum(ringway_upstream_retries_total{ingress="shop-test"})') > 0
    # 70 bytes of body and a head of more than 30.
    assert db.value('sum(nginx_ingress_controller_request_size_bucket{ingress="shop-test",method="POST",status="201",le="100"})') == 0
    assert db.value('sum(nginx_ingress_controller_bytes_sent_bucket{ingress="shop-test",status="200",le="10000"})') > \
        db.value('sum(nginx_ingress_controller_bytes_sent_bucket{ingress="shop-test",status="200",le="1000"})')


def test_labels_of_ingress_nginx(db):
    """Every series of requests carries the same set, with the values of the flags."""
    for family in ("requests", "request_duration_seconds_count", "connect_duration_seconds_count", "header_duration_seconds_count",
                   "response_duration_seconds_count", "request_size_count", "response_size_count", "bytes_sent_count"):
        series = db.query(f'nginx_ingress_controller_{family}{{ingress="shop-test",status="200"}}')
        assert series, family
        for labels, _ in series:
            assert labels["controller_namespace"] == NAMESPACE and labels["controller_class"] == CLASS and labels["controller_pod"] == "proxy-0"
            assert labels["exported_namespace"] == "test" and labels["service"] == "shop-test" and labels["method"] == "GET"
            assert labels["path"] == "/" and labels["host"] == "shop.test" and "exported_service" not in labels
    orphans = {(labels["ingress"], labels["type"]) for labels, _ in db.query("nginx_ingress_controller_orphan_ingress")}
    assert orphans == {("lost", "no-service"), ("empty", "no-endpoint")}
    (labels, expiry), = db.query('nginx_ingress_controller_ssl_expire_time_seconds{host="shop.test"} - time()')
    assert 89 * 86400 < expiry < 90 * 86400
    assert db.query('nginx_ingress_controller_ssl_certificate_info{secret_name="shop-tls",public_key_algorithm="ECDSA",issuer_common_name="shop"}')


# ---- alerts ----

# The examples in the values of ingress-nginx's chart.
ALERTS_OF_INGRESS_NGINX = [
    "count(nginx_ingress_controller_config_last_reload_successful == 0) > 0",
    '(avg(nginx_ingress_controller_ssl_expire_time_seconds{host!="_"}) by (host) - time()) < 604800',
    '100 * ( sum( nginx_ingress_controller_requests{status=~"5.+"} ) / sum(nginx_ingress_controller_requests) ) > 5',
    '100 * ( sum( nginx_ingress_controller_requests{status=~"4.+"} ) / sum(nginx_ingress_controller_requests) ) > 5',
]


def metrics_of(expression: str) -> set[str]:
    """Names of series in an expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:ringway|nginx_ingress_controller|process)_\w+", bare))


def judged(expression: str) -> str:
    """An alert's expression without its last comparison with a number: what is compared."""
    left = re.sub(r"\s*(==|<|>)\s*[\d.]+\s*$", "", expression.strip())
    assert left != expression.strip(), f"no comparison at the end of {expression}"
    return left


@pytest.mark.parametrize("expression", ALERTS_OF_INGRESS_NGINX, ids=["config", "certificate", "5xx", "4xx"])
def test_alerts_of_ingress_nginx(db, expression):
    fires = bool(db.query(expression))
    assert fires == ("requests" in expression), "errors were made on purpose, all else is well"
    for name in metrics_of(expression):
        assert db.query(name), name


def test_rules_of_the_chart_are_valid(tmp_path):
    assert "SUCCESS" in prometheus.promtool("check", "rules", rule_file(tmp_path))


def test_rules_of_the_chart_fire_when_they_should(tmp_path):
    """promtool's own unit tests of rules: series in, alerts out."""
    cases = (DATA / "alerts_test.yaml").read_text().replace("ALERTS", str(rule_file(tmp_path)))
    (tmp_path / "cases.yaml").write_text(cases)
    assert "SUCCESS" in prometheus.promtool("test", "rules", tmp_path / "cases.yaml")
    names = set(re.findall(r"alert: (\w+)", (CHART / "files/alerts.yaml").read_text()))
    assert names == set(re.findall(r"alertname: (\w+)", cases)), "every alert has its case"


def test_rules_of_the_chart_find_their_series(db):
    rules = db.rules()
    assert len(rules) >= 10
    for rule in rules:
        assert rule["health"] == "ok", rule
        for name in metrics_of(rule["query"]):
            assert db.query(name), f"{rule['name']}: no series {name}"
        assert db.query(judged(rule["query"]) if "and" not in rule["query"] else rule["query"].split(" == ")[0]), rule["name"]
    # Pending or firing: what was broken on purpose, and nothing else.
    active = {rule["name"] for rule in rules if rule["state"] != "inactive"}
    assert active == {"RingwayObjectsWithErrors", "RingwayTooMany5xx"}, active


# ---- dashboards ----

def panels(dashboard: dict) -> list[dict]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def filled(expression: str, **variables: str) -> str:
    """With Grafana's variables set: what "All" stands for, and intervals that hold several scrapes."""
    expression = expression.replace("$__rate_interval", "1m").replace("[5m]", "[1m]").replace("[2m]", "[1m]")
    return re.sub(r"\$(\w+)", lambda match: variables.get(match.group(1), ".*"), expression)


def dashboards() -> list[Path]:
    return sorted((CHART / "dashboards").glob("*.json"))


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_no_panel_is_empty(db, path):
    board = json.loads(path.read_text())
    empty = [f"{panel['title']}: {target['expr']}" for panel in panels(board) for target in panel["targets"]
             if not prometheus.finite(db.query(filled(target["expr"])))]
    assert not empty, "\n".join(empty)


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_dashboard_is_well_formed(path):
    board = json.loads(path.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) and board["uid"].startswith("ringway-") and board["title"].startswith("Ringway / ")
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, f"{panel['title']} overlaps"
        taken |= cells
        for target in panel.get("targets", []):
            assert panel["title"] and target["datasource"]["uid"] == "${datasource}"


def test_variables_have_values(db):
    """Choosing one of each narrows the panels and leaves data."""
    board = json.loads((CHART / "dashboards/traffic.json").read_text())
    chosen = {}
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
        values = db.label_values(filled(selector, **chosen), label)
        assert values, variable["name"]
        wanted = {"namespace": "test", "ingress": "shop-test"}.get(variable["name"])
        assert wanted is None or wanted in values, values
        chosen[variable["name"]] = wanted or sorted(values)[0]
    volume = next(panel for panel in panels(board) if panel["title"] == "Requests")
    assert 0 < db.value(filled(volume["targets"][0]["expr"], **chosen)) < db.value(filled(volume["targets"][0]["expr"]))


# What the dashboards for ingress-nginx ask: 9614 ("NGINX Ingress controller") and 12680 ("Request Handling Performance"), variables as they name them.
CONTROLLER = 'controller_pod=~"$controller",controller_class=~"$controller_class"'
INGRESS = CONTROLLER + ',controller_namespace=~"$namespace",exported_namespace=~"$exported_namespace",ingress=~"$ingress"'
N = "nginx_ingress_controller_"
PANELS_OF_INGRESS_NGINX = {
    "request volume": f'round(sum(irate({N}requests{{{CONTROLLER},namespace=~"$namespace"}}[2m])), 0.001)',
    "connections": f'sum(avg_over_time({N}nginx_process_connections{{{CONTROLLER},controller_namespace=~"$namespace",state="active"}}[2m]))',
    "success rate": f'sum(rate({N}requests{{{CONTROLLER},namespace=~"$namespace",status!~"[4-5].*"}}[2m])) / '
                    f'sum(rate({N}requests{{{CONTROLLER},namespace=~"$namespace"}}[2m]))',
    "config reloads": f'avg(irate({N}success{{{CONTROLLER},controller_namespace=~"$namespace"}}[1m])) * 60',
    "ingress volume": f"round(sum(irate({N}requests{{{INGRESS}}}[2m])) by (ingress), 0.001)",
    "network in": f'sum (irate ({N}request_size_sum{{{CONTROLLER},controller_namespace=~"$namespace"}}[2m]))',
    "network out": f'- sum (irate ({N}response_size_sum{{{CONTROLLER},controller_namespace=~"$namespace"}}[2m]))',
    "memory": f'avg({N}nginx_process_resident_memory_bytes{{{CONTROLLER},controller_namespace=~"$namespace"}})',
    "cpu": f'avg (rate ({N}nginx_process_cpu_seconds_total{{{CONTROLLER},controller_namespace=~"$namespace"}}[2m]))',
    "percentiles": f'histogram_quantile(0.99, sum(rate({N}request_duration_seconds_bucket{{ingress!="",{INGRESS}}}[2m])) by (le, ingress))',
    "transfer": f'sum(irate({N}response_size_sum{{ingress!="",{INGRESS}}}[2m])) by (ingress)',
    "heatmap": f'sum(increase({N}request_duration_seconds_bucket{{ingress!="",{INGRESS}}}[2m])) by (le)',
    "certificates": f'avg({N}ssl_expire_time_seconds{{kubernetes_pod_name=~"$controller",namespace=~"$namespace",ingress=~"$ingress"}}) by (host) - time()',
    "latency": f'histogram_quantile(0.95, sum by (le)(rate({N}request_duration_seconds_bucket{{ingress =~ "$ingress"}}[5m])))',
    "upstream latency": f'histogram_quantile(0.95, sum by (le)(rate({N}response_duration_seconds_bucket{{ingress =~ "$ingress"}}[5m])))',
    "rate by path": f'sum by (method, host, path)(rate({N}request_duration_seconds_count{{ingress =~ "$ingress"}}[5m]))',
    "median by path": f'histogram_quantile(.5, sum by (le, method, host, path)(rate({N}response_duration_seconds_bucket{{ingress =~ "$ingress"}}[5m])))',
    "error rate": f'sum by (method, host, path) (rate({N}request_duration_seconds_count{{ingress =~ "$ingress",status =~ "[4-5].*"}}[5m])) / '
                  f'sum by (method, host, path) (rate({N}request_duration_seconds_count{{ingress =~ "$ingress",}}[5m]))',
    "errors by status": f'sum (rate({N}request_duration_seconds_count{{ingress =~ "$ingress",status =~"[4-5].*",}}[5m])) by(method, host, path, status)',
    "time consumed": f'sum by (method, host, path) (rate({N}response_duration_seconds_sum{{ingress =~ "$ingress"}}[5m]))',
    "average size": f'sum (rate ({N}response_size_sum {{ingress =~ "$ingress",}}[5m])) by (method, host, path) / '
                    f'sum (rate({N}response_size_count {{ingress =~ "$ingress",}}[5m])) by (method, host, path)',
    "sizes": f'sum (rate({N}response_size_bucket{{ingress =~ "$ingress",}}[5m])) by (le)',
}


def choose(db) -> dict[str, str]:
    """The variables of 9614, each from the ones before, as Grafana asks for them."""
    chosen = {}
    for name, selector, label in (
            ("namespace", f"{N}config_hash", "controller_namespace"),
            ("controller_class", f'{N}config_hash{{namespace=~"$namespace"}}', "controller_class"),
            ("controller", f'{N}config_hash{{namespace=~"$namespace",controller_class=~"$controller_class"}}', "controller_pod"),
            ("exported_namespace", f'{N}requests{{namespace=~"$namespace",{CONTROLLER}}}', "exported_namespace"),
            ("ingress", f'{N}requests{{namespace=~"$namespace",{CONTROLLER},exported_namespace=~"$exported_namespace"}}', "ingress")):
        values = db.label_values(filled(selector, **chosen), label)
        assert values, name
        chosen[name] = "shop-test" if "shop-test" in values else sorted(values)[0]
    return chosen


@pytest.mark.parametrize("chosen", ["all", "one"])
@pytest.mark.parametrize("panel", PANELS_OF_INGRESS_NGINX)
def test_dashboards_of_ingress_nginx(db, panel, chosen):
    variables = choose(db) if chosen == "one" and panel != "certificates" else {}
    assert prometheus.finite(db.query(filled(PANELS_OF_INGRESS_NGINX[panel], **variables)))


def test_last_config_failed_is_empty_because_all_is_well(db):
    assert db.query(f"{N}config_last_reload_successful == 1") and not db.query(f"{N}config_last_reload_successful == 0")


def test_nginx_names_can_be_off(own_stack, backend):
    stack = own_stack(proxy_flags=["--nginx-metrics", "off"])
    stack.start()
    stack.publish("off.test", backend)
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.admin_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert "ringway_requests_total" in text and "nginx_" not in text
