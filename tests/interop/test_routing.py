"""Ingress rules as clients see them. The translator's golden files go through the cases; these are the ones that need a whole proxy."""

import pytest

from harness import objects
from harness.backend import Backend
from harness.net import eventually


@pytest.fixture
def named(stack, host):
    """Backends by name, each a Service of the test's own; publish(paths, …) makes the Ingress."""
    made: dict[str, Backend] = {}
    name = host.replace(".", "-")

    class Named:
        def publish(self, paths: list[tuple[str, str, str]], annotations=None, on=host, suffix="", **spec):
            rules = []
            extra = []
            for kind, value, label in paths:
                if label not in made:
                    made[label] = Backend(label)
                service = f"{name[:40]}-{label}"
                rules.append(objects.path(service, value, kind))
                extra += [objects.service(service), objects.slice_of(service, made[label].port)]
            stack.put(name + suffix, objects.ingress(name + suffix, on, rules, annotations, **spec), *extra)
            if rules:
                eventually(lambda: stack.get((on or "none.test").replace("*", "x"), paths[0][1], headers={"X-Probe": "1"}).status != 404)

        def answer(self, path, on=host):
            message = stack.get(on, path)
            return message.get("x-backend") or (message.json()["name"] if message.status == 200 else message.status)

    yield Named()
    for one in made.values():
        one.stop()


def test_path_types(named):
    named.publish([("Exact", "/exact", "exact"), ("Prefix", "/pre", "pre"), ("Prefix", "/pre/deep/", "deep"),
                   ("ImplementationSpecific", "/impl", "impl")])
    for path, wanted in {"/exact": "exact", "/exact/": 404, "/exact/x": 404, "/pre": "pre", "/pre/": "pre", "/pre/x": "pre", "/prefix": 404,
                         "/pre/deep": "deep", "/pre/deep/x": "deep", "/pre/deeper": "pre", "/impl": "impl", "/implied": "impl",
                         "/": 404}.items():
        got = named.answer(path)
        assert got == wanted or (got == 301 and path + "/" in ("/pre/deep/",)), (path, got)


def test_wildcard_host_and_exact_host(stack, named):
    named.publish([("Prefix", "/", "wild")], on="*.w.test")
    named.publish([("Prefix", "/", "exact")], on="a.w.test", suffix="-exact")
    eventually(lambda: named.answer("/", "a.w.test") == "exact")
    assert named.answer("/", "b.w.test") == "wild"
    assert named.answer("/", "a.b.w.test") == 404
    assert named.answer("/", "w.test") == 404


def test_host_is_matched_without_case_and_port(stack, served, backend):
    for spelled in (served.upper(), f"{served}:8080", f"{served}:{stack.http_port}"):
        assert stack.get(spelled, "/").status == 200


def test_two_ingresses_of_one_host(named):
    named.publish([("Prefix", "/a", "a")], created="2026-01-01T00:00:00Z")
    named.publish([("Prefix", "/b", "b"), ("Prefix", "/a", "late")], suffix="-second", created="2026-02-01T00:00:00Z")
    eventually(lambda: named.answer("/b") == "b")
    assert named.answer("/a") == "a"  # The oldest wins.




def test_rewrite_target_result(stack, backend, host):
    name = host.replace(".", "-")
    stack.put(name, objects.ingress(name, host, [objects.path(name, "/api(/|$)(.*)", "ImplementationSpecific")], {"rewrite-target": "/$2"}),
              objects.service(name), objects.slice_of(name, backend.port))
    eventually(lambda: stack.get(host, "/api/x").status == 200)
    for sent, arrives in {"/api/x/y": "/x/y", "/api": "/", "/api/?q=1": "/?q=1", "/API/x": "/x"}.items():
        assert stack.get(host, sent).json()["target"] == arrives
    assert stack.get(host, "/other").status == 404


@pytest.mark.parametrize("annotations, status", [({"permanent-redirect": "https://new.test/p"}, 301),
                                                 ({"permanent-redirect": "https://new.test/p", "permanent-redirect-code": "308"}, 308),
                                                 ({"temporal-redirect": "https://new.test/p"}, 302)])
def test_redirects(stack, backend, host, annotations, status):
    stack.publish(host, backend, annotations=annotations)
    message = stack.get(host, "/old?x=1")
    assert (message.status, message.get("location")) == (status, "https://new.test/p")
    assert backend.requests == []


def test_force_ssl_redirect(stack, backend, host):
    stack.publish(host, backend, annotations={"force-ssl-redirect": "true"})
    message = stack.get(host, "/x?y=z")
    assert message.status == 308 and message.get("location", "").startswith(f"https://{host}")


def test_default_backend(stack, backend, host):
    """Requests no rule matches go to spec.defaultBackend of an Ingress without rules."""
    name = host.replace(".", "-")
    body = objects.ingress(name, None, [], defaultBackend={"service": {"name": name, "port": {"number": 80}}})
    stack.put(name, body, objects.service(name), objects.slice_of(name, backend.port))
    try:
        eventually(lambda: stack.get("nobody-at-all.test", "/any").status == 200)
    finally:
        stack.remove(name)
        eventually(lambda: stack.get("nobody-at-all.test", "/any").status == 404)


def test_named_service_port(stack, backend, host):
    name = host.replace(".", "-")
    stack.put(name, objects.ingress(name, host, [objects.path(name, port="web")]), objects.service(name, ports={"web": 8000, "admin": 9000}),
              objects.slice_of(name, backend.port, port_name="web"))
    stack.wait_route(host)
    assert stack.get(host, "/").status == 200


def test_external_name_is_refused(stack, host):
    name = host.replace(".", "-")
    service = objects.service(name)
    service["spec"].update(type="ExternalName", externalName="localhost")
    stack.put(name, objects.ingress(name, host, [objects.path(name)]), service)
    eventually(lambda: stack.get(host, "/").status == 503)


def test_other_class_is_not_ours(stack, backend, host):
    name = host.replace(".", "-")
    foreign = objects.ingress(name, host, [objects.path(name)])
    foreign["spec"]["ingressClassName"] = "nginx"
    stack.put(name, foreign, objects.service(name), objects.slice_of(name, backend.port))
    stack.publish(f"later-{host}", backend)
    assert stack.get(host, "/").status == 404
