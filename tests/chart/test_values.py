"""Each value does what it says: one row a value, with where it must show."""

import base64
import subprocess

import pytest

TOLERATION = {"key": "edge", "operator": "Exists"}


def pod(release):
    return release.proxy()["spec"]


def spec(kind, name="ringway-proxy"):
    return lambda release: release.one(kind, name)["spec"]


def container(release):
    return release.container("proxy")


def port_named(name, of="ringway-proxy"):
    return lambda release: next(p for p in release.one("Service", of)["spec"]["ports"] if p["name"] == name)


def flag(name, of="controller"):
    return lambda release: release.flag(of, name)


def at(view, *path):
    def look(release):
        value = view(release)
        for key in path:
            value = value[key]
        return value
    return look


# controller.PATH, its value, where to look, what must be there.
CONTROLLER = [
    ("replicaCount", 5, at(spec("Deployment"), "replicas"), 5),
    ("minReadySeconds", 7, at(spec("Deployment"), "minReadySeconds"), 7),
    ("progressDeadlineSeconds", 90, at(spec("Deployment"), "progressDeadlineSeconds"), 90),
    ("updateStrategy", {"type": "Recreate"}, at(spec("Deployment"), "strategy"), {"type": "Recreate"}),
    ("annotations", {"a": "b"}, lambda r: r.one("Deployment", "ringway-proxy")["metadata"]["annotations"], {"a": "b"}),
    ("labels", {"a": "b"}, lambda r: r.one("Deployment", "ringway-proxy")["metadata"]["labels"]["a"], "b"),
    ("podLabels", {"a": "b"}, lambda r: r.proxy()["metadata"]["labels"]["a"], "b"),
    ("podAnnotations", {"a": "b"}, lambda r: r.proxy()["metadata"]["annotations"]["a"], "b"),
    ("podSecurityContext", {"supplementalGroups": [7]}, at(pod, "securityContext", "supplementalGroups"), [7]),
    ("containerSecurityContext", {"runAsUser": 20000}, at(container, "securityContext"), {"runAsUser": 20000}),
    ("image.runAsUser", 20000, at(container, "securityContext", "runAsUser"), 20000),
    ("image.runAsGroup", 20000, at(pod, "securityContext", "fsGroup"), 20000),
    ("image.pullPolicy", "Always", at(container, "imagePullPolicy"), "Always"),
    ("image.seccompProfile", {"type": "Unconfined"}, at(container, "securityContext", "seccompProfile", "type"), "Unconfined"),
    ("sysctls", {"net.core.somaxconn": 8192}, at(pod, "securityContext", "sysctls"), [{"name": "net.core.somaxconn", "value": "8192"}]),
    ("containerPort.http", 8000, flag("http-address"), ["0.0.0.0:8000"]),
    ("containerPort.https", 8444, flag("https-address"), ["0.0.0.0:8444"]),
    ("dnsPolicy", "Default", at(pod, "dnsPolicy"), "Default"),
    ("dnsConfig", {"searches": ["x"]}, at(pod, "dnsConfig"), {"searches": ["x"]}),
    ("hostAliases", [{"ip": "192.0.2.1", "hostnames": ["x"]}], at(pod, "hostAliases", 0, "ip"), "192.0.2.1"),
    ("hostname", "edge", at(pod, "hostname"), "edge"),
    ("ingressClass", "nginx", flag("ingress-class"), ["nginx"]),
    ("ingressClassByName", True, flag("ingress-class-by-name"), [""]),
    ("watchIngressWithoutClass", True, flag("watch-ingress-without-class"), [""]),
    ("ingressClassResource.controllerValue", "example.com/x", flag("controller-class"), ["example.com/x"]),
    ("ingressClassResource.name", "edge", lambda r: r.one("IngressClass")["metadata"]["name"], "edge"),
    ("ingressClassResource.default", True, lambda r: r.one("IngressClass")["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"], "true"),
    ("ingressClassResource.aliases", ["more"], lambda r: {o["metadata"]["name"] for o in r.of("IngressClass")}, {"more", "ringway"}),
    ("ingressClassResource.parameters", {"kind": "K", "name": "edge"}, lambda r: r.one("IngressClass")["spec"]["parameters"]["name"], "edge"),
    ("ingressClassResource.enabled", False, lambda r: r.of("IngressClass"), []),
    ("publishService.enabled", False, flag("publish-service"), []),
    ("publishService.enabled", False, flag("publish-nodes"), ["edge/app.kubernetes.io/instance=ringway,app.kubernetes.io/component=proxy"]),
    ("reportNodeInternalIp", True, flag("report-node-internal-ip"), [""]),
    ("electionTTL", "30s", flag("election-ttl"), ["30s"]),
    ("disableLeaderElection", True, flag("disable-leader-election"), [""]),
    ("publishService.pathOverride", "lb/front", flag("publish-service"), ["lb/front"]),
    ("electionID", "mine", flag("election-id"), ["mine"]),
    ("extraEnvs", [{"name": "A", "value": "b"}], lambda r: container(r)["env"][-1], {"name": "A", "value": "b"}),
    ("extraContainers", [{"name": "beside", "image": "x"}], lambda r: r.container("beside")["image"], "x"),
    ("extraInitContainers", [{"name": "before", "image": "x"}], at(pod, "initContainers", 0, "name"), "before"),
    ("extraVolumes", [{"name": "more", "emptyDir": {}}], lambda r: pod(r)["volumes"][-1]["name"], "more"),
    ("extraVolumeMounts", [{"name": "more", "mountPath": "/more"}], lambda r: container(r)["volumeMounts"][-1]["mountPath"], "/more"),
    ("tolerations", [TOLERATION], at(pod, "tolerations"), [TOLERATION]),
    ("affinity", {"nodeAffinity": {}}, at(pod, "affinity"), {"nodeAffinity": {}}),
    ("topologySpreadConstraints", [{"maxSkew": 1}], at(pod, "topologySpreadConstraints"), [{"maxSkew": 1}]),
    ("nodeSelector", {"pool": "edge"}, at(pod, "nodeSelector", "pool"), "edge"),
    ("priorityClassName", "high", at(pod, "priorityClassName"), "high"),
    ("runtimeClassName", "gvisor", at(pod, "runtimeClassName"), "gvisor"),
    ("shareProcessNamespace", True, at(pod, "shareProcessNamespace"), True),
    ("terminationGracePeriodSeconds", 60, flag("drain-timeout", "proxy"), ["40"]),
    ("config", {"worker-shutdown-timeout": "60s"}, flag("drain-timeout", "proxy"), ["60"]),
    ("config", {"worker-processes": "3"}, flag("workers", "proxy"), ["3"]),
    ("config", {"disable-access-log": True}, flag("access-log", "proxy"), ["off"]),
    ("config", {"proxy-body-size": "8m", "hsts": False}, lambda r: r.one("ConfigMap", "ringway-controller")["data"], {"proxy-body-size": "8m", "hsts": "false"}),
    ("config", {"use-proxy-protocol": "true", "proxy-real-ip-cidr": "10.0.0.0/8, 192.0.2.1/32"}, flag("proxy-real-ip-cidr"), ["10.0.0.0/8", "192.0.2.1/32"]),
    ("config", {"use-proxy-protocol": True}, flag("use-proxy-protocol"), [""]),
    ("extraArgs", {"enable-ssl-passthrough": ""}, flag("enable-ssl-passthrough"), [""]),
    ("extraArgs", {"metrics-per-host": False}, flag("metrics-per-host", "proxy"), ["off"]),
    ("configAnnotations", {"a": "b"}, lambda r: r.one("ConfigMap", "ringway-controller")["metadata"]["annotations"], {"a": "b"}),
    ("addHeaders", {"X-A": "b"}, lambda r: r.one("ConfigMap", "ringway-controller")["data"]["add-headers"], "edge/ringway-custom-add-headers"),
    ("proxySetHeaders", {"X-A": "b"}, lambda r: r.one("ConfigMap", "ringway-custom-proxy-headers")["data"], {"X-A": "b"}),
    ("lifecycle", {"preStop": {"sleep": {"seconds": 3}}}, at(container, "lifecycle", "preStop", "sleep", "seconds"), 3),
    ("livenessProbe.periodSeconds", 30, at(container, "livenessProbe", "periodSeconds"), 30),
    ("readinessProbe.failureThreshold", 9, at(container, "readinessProbe", "failureThreshold"), 9),
    ("startupProbe", {"failureThreshold": 9}, at(container, "startupProbe", "failureThreshold"), 9),
    ("resources", {"limits": {"memory": "1Gi"}}, at(container, "resources", "limits", "memory"), "1Gi"),
    ("resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}], at(container, "resizePolicy", 0, "resourceName"), "cpu"),
    ("minAvailable", "50%", at(spec("PodDisruptionBudget"), "minAvailable"), "50%"),
    ("maxUnavailable", 0, lambda r: {k: v for k, v in spec("PodDisruptionBudget")(r).items() if k != "selector"}, {"maxUnavailable": 0}),
    ("unhealthyPodEvictionPolicy", "AlwaysAllow", at(spec("PodDisruptionBudget"), "unhealthyPodEvictionPolicy"), "AlwaysAllow"),
    ("service.type", "NodePort", at(spec("Service"), "type"), "NodePort"),
    ("service.annotations", {"a": "b"}, lambda r: r.one("Service", "ringway-proxy")["metadata"]["annotations"], {"a": "b"}),
    ("service.labels", {"a": "b"}, lambda r: r.one("Service", "ringway-proxy")["metadata"]["labels"]["a"], "b"),
    ("service.external.enabled", False, lambda r: r.of("Service", "ringway-proxy"), []),
    ("service.enabled", False, flag("publish-service"), []),
    ("service.clusterIP", "None", at(spec("Service"), "clusterIP"), "None"),
    ("service.externalIPs", ["192.0.2.1"], at(spec("Service"), "externalIPs"), ["192.0.2.1"]),
    ("service.loadBalancerIP", "192.0.2.1", at(spec("Service"), "loadBalancerIP"), "192.0.2.1"),
    ("service.loadBalancerClass", "x.example.com/lb", at(spec("Service"), "loadBalancerClass"), "x.example.com/lb"),
    ("service.loadBalancerSourceRanges", ["192.0.2.0/24"], at(spec("Service"), "loadBalancerSourceRanges"), ["192.0.2.0/24"]),
    ("service.allocateLoadBalancerNodePorts", False, at(spec("Service"), "allocateLoadBalancerNodePorts"), False),
    ("service.externalTrafficPolicy", "Local", at(spec("Service"), "externalTrafficPolicy"), "Local"),
    ("service.internalTrafficPolicy", "Local", at(spec("Service"), "internalTrafficPolicy"), "Local"),
    ("service.sessionAffinity", "ClientIP", at(spec("Service"), "sessionAffinity"), "ClientIP"),
    ("service.trafficDistribution", "PreferClose", at(spec("Service"), "trafficDistribution"), "PreferClose"),
    ("service.healthCheckNodePort", 31000, at(spec("Service"), "healthCheckNodePort"), 31000),
    ("service.ipFamilyPolicy", "PreferDualStack", at(spec("Service"), "ipFamilyPolicy"), "PreferDualStack"),
    ("service.ipFamilies", ["IPv6", "IPv4"], at(spec("Service"), "ipFamilies"), ["IPv6", "IPv4"]),
    ("service.enableHttp", False, lambda r: [p["name"] for p in spec("Service")(r)["ports"]], ["https"]),
    ("service.enableHttps", False, lambda r: [p["name"] for p in spec("Service")(r)["ports"]], ["http"]),
    ("service.appProtocol", False, lambda r: port_named("http")(r).get("appProtocol"), None),
    ("service.ports.https", 8443, flag("redirect-https-port"), ["8443"]),
    ("service.ports.http", 8000, at(port_named("http"), "port"), 8000),
    ("service.targetPorts", {"https": "http"}, at(port_named("https"), "targetPort"), "http"),
    ("service.nodePorts.http", 30080, at(port_named("http"), "nodePort"), 30080),
    ("service.nodePorts.https", "30443", at(port_named("https"), "nodePort"), 30443),
    ("service.internal.enabled", True, at(spec("Service", "ringway-proxy-internal"), "type"), "LoadBalancer"),
    ("networkPolicy.enabled", True, lambda r: len(r.of("NetworkPolicy")), 2),
    ("metrics.port", 9999, flag("admin", "proxy"), ["0.0.0.0:9999"]),
    ("metrics.enabled", True, at(port_named("metrics", "ringway-proxy-metrics"), "targetPort"), "metrics"),
    ("scope.enabled", True, flag("watch-namespace"), ["edge"]),
    ("scope", {"enabled": True, "namespace": "shop"}, flag("watch-namespace"), ["shop"]),
    ("scope", {"enabled": True, "namespaces": ["a", "b"]}, flag("watch-namespace"), ["a,b"]),
    ("scope", {"enabled": True, "namespaceSelector": "tier=edge"}, flag("watch-namespace-selector"), ["tier=edge"]),
    ("extraArgs", {"default-ssl-certificate": "a/b"}, flag("default-certificate"), ["a/b"]),
    ("extraArgs", {"default-backend-service": "a/b"}, flag("default-backend"), ["a/b:80"]),
    ("extraArgs", {"annotations-prefix": "x.example.com"}, flag("annotation-prefix"), ["x.example.com/"]),
    ("extraArgs", {"publish-service": "a/b"}, flag("publish-service"), ["a/b"]),
    ("extraArgs", {"publish-status-address": "192.0.2.1"}, flag("publish-status-address"), ["192.0.2.1"]),
    ("extraArgs", {"controller-class": "k8s.io/x"}, flag("controller-class"), ["k8s.io/x"]),
    ("extraArgs", {"ingress-class": "x"}, flag("ingress-class"), ["x"]),
    ("extraArgs", {"watch-ingress-without-class": True}, flag("watch-ingress-without-class"), [""]),
    ("extraArgs", {"watch-ingress-without-class": "false"}, flag("watch-ingress-without-class"), []),
    ("extraArgs", {"watch-namespace": "a,b"}, flag("watch-namespace"), ["a,b"]),
    ("extraArgs", {"election-id": "x"}, flag("election-id"), ["x"]),
    ("extraArgs", {"http-port": "8000"}, flag("http-address"), ["0.0.0.0:8000"]),
    ("extraArgs", {"shutdown-grace-period": 30}, at(container, "lifecycle", "preStop", "sleep", "seconds"), 30),
]


def nested(path: str, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("path, value, look, want", CONTROLLER, ids=[f"{p}-{i}" for i, (p, *_) in enumerate(CONTROLLER)])
def test_controller_values_of_ingress_nginx(render, path, value, look, want):
    assert look(render({"controller": nested(path, value)})) == want


OWN = [
    ("fullnameOverride", "edge", lambda r: r.one("Deployment", "edge-proxy")["metadata"]["name"], "edge-proxy"),
    ("namespaceOverride", "other", lambda r: {o["metadata"].get("namespace") for o in r.objects} - {None}, {"other"}),
    ("commonLabels", {"team": "edge"}, lambda r: all(o["metadata"]["labels"].get("team") == "edge" for o in r.objects), True),
    ("imagePullSecrets", [{"name": "s"}], lambda r: all(p["spec"]["imagePullSecrets"] == [{"name": "s"}] for _, p in r.pods()), True),
    ("revisionHistoryLimit", 3, at(spec("Deployment"), "revisionHistoryLimit"), 3),
    ("image", {"registry": "r.example.com", "repository": "x/y", "tag": "1"}, lambda r: {c["image"] for _, p in r.pods() for c in p["spec"]["containers"]}, {"r.example.com/x/y:1"}),
    ("image.digest", "sha256:" + "a" * 64, lambda r: container(r)["image"].endswith("@sha256:" + "a" * 64), True),
    ("global.image.registry", "r.example.com", lambda r: container(r)["image"], "r.example.com/ringway:0.1.0"),
    ("image.registry", "r.example.com/team", lambda r: container(r)["image"], "r.example.com/team/ringway:0.1.0"),
    ("image.repository", "r.example.com/x", lambda r: container(r)["image"], "r.example.com/x:0.1.0"),
    ("proxy.io", "epoll", flag("io", "proxy"), ["epoll"]),
    ("proxy.workers", 4, flag("workers", "proxy"), ["4"]),
    ("proxy.connectionsMax", 100000, flag("connections-max", "proxy"), ["100000"]),
    ("proxy.accessLog", False, flag("access-log", "proxy"), ["off"]),
    ("proxy.accessLogFormat", "json", flag("access-log-format", "proxy"), ["json"]),
    ("proxy.logLevel", "debug", flag("log-level", "proxy"), ["debug"]),
    ("proxy.bindAddress", "[::]", flag("http-address"), ["[::]:8080"]),
    ("proxy.preStopSeconds", 0, at(container, "lifecycle"), {}),
    ("proxy.drainSeconds", 20, flag("drain-timeout", "proxy"), ["20"]),
    ("proxy.stateDir.enabled", False, flag("state-dir", "proxy"), []),
    ("proxy.extraArgs", ["--buffers-small=8192"], flag("buffers-small", "proxy"), ["8192"]),
    ("controlPlane.replicaCount", 3, at(spec("Deployment", "ringway-controller"), "replicas"), 3),
    ("controlPlane.replicaCount", 1, lambda r: [o["metadata"]["name"] for o in r.of("PodDisruptionBudget")], ["ringway-proxy"]),
    ("controlPlane.port", 16000, flag("controller", "proxy"), ["ringway-controller.edge.svc:16000"]),
    ("controlPlane.extraArgs", ["--removal-hold-ms=0"], flag("removal-hold-ms"), ["0"]),
    ("controlPlane.resources", {"limits": {"memory": "1Gi"}}, lambda r: r.container("controller")["resources"]["limits"], {"memory": "1Gi"}),
    ("ingressNginx.serve", True, flag("controller-class"), ["ringway.dev/ingress", "k8s.io/ingress-nginx"]),
    ("rbac.secrets", "list", flag("secrets"), ["all"]),
    ("uninstall.takeOutStatus", True, lambda r: [c["args"][-1] for c in r.one("Job")["spec"]["template"]["spec"]["containers"]], ["--take-out-status"]),
    ("uninstall.takeOutStatus", False, lambda r: r.of("Job"), []),
    ("helmTest.enabled", False, lambda r: r.of("Pod"), []),
    ("seccomp", {"type": "Localhost", "localhostProfile": "x.json"}, at(container, "securityContext", "seccompProfile"), {"type": "Localhost", "localhostProfile": "x.json"}),
    ("rbac.create", False, lambda r: [o for o in r.objects if "Role" in o["kind"]], []),
    ("serviceAccount.create", False, lambda r: r.of("ServiceAccount"), []),
    ("serviceAccount.name", "mine", lambda r: r.one("Deployment", "ringway-controller")["spec"]["template"]["spec"]["serviceAccountName"], "mine"),
    ("serviceAccount.annotations", {"a": "b"}, lambda r: r.one("ServiceAccount", "ringway-controller")["metadata"]["annotations"], {"a": "b"}),
    ("defaultBackend", {"enabled": True, "image": {"repository": "x", "tag": "1"}}, flag("default-backend"), ["edge/ringway-defaultbackend:http"]),
    ("defaultBackend", {"enabled": True}, flag("default-backend"), []),
    ("tcp", {"5432": "db/pg:5432"}, lambda r: r.one("ConfigMap", "ringway-tcp")["data"], {"5432": "db/pg:5432"}),
    ("tcp", {"5432": "db/pg:5432"}, at(port_named("5432-tcp"), "targetPort"), "5432-tcp"),
    ("tcp", {"5432": "db/pg:5432"}, flag("tcp-services-configmap"), ["edge/ringway-tcp"]),
    ("udp", {"53": "kube-system/dns:53"}, at(port_named("53-udp"), "protocol"), "UDP"),
    ("udp", {"53": "kube-system/dns:53"}, at(pod, "securityContext", "sysctls"), [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]),
]


@pytest.mark.parametrize("path, value, look, want", OWN, ids=[f"{p}-{i}" for i, (p, *_) in enumerate(OWN)])
def test_other_values(render, path, value, look, want):
    assert look(render(nested(path, value))) == want


def test_kinds(render):
    for kind, want in (("Deployment", ["Deployment"]), ("DaemonSet", ["DaemonSet"]), ("Both", ["DaemonSet", "Deployment"])):
        release = render({"controller": {"kind": kind}})
        assert sorted(o["kind"] for o in release.objects if o["metadata"]["name"] == "ringway-proxy" and o["kind"] in ("Deployment", "DaemonSet")) == want
    strategy = render({"controller": {"kind": "DaemonSet"}}).one("DaemonSet")["spec"]["updateStrategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_an_update_takes_no_pod_away_before_its_successor_is_ready(render):
    for name in ("ringway-proxy", "ringway-controller"):
        strategy = render({}).one("Deployment", name)["spec"]["strategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_node_ports_are_given_up_before_they_are_taken(render):
    release = render({"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True}}})
    assert release.one("DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    assert {p["name"]: p.get("hostPort") for p in container(release)["ports"]} == {"http": 80, "https": 443, "metrics": None}
    assert release.flag("controller", "https-public-port") == ["443"]


def test_the_network_of_the_node(render):
    release = render({"controller": {"kind": "DaemonSet", "hostNetwork": True}})
    assert pod(release)["hostNetwork"] and pod(release)["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert release.flag("controller", "http-address") == ["0.0.0.0:80"]
    assert container(release)["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert "sysctls" not in pod(release)["securityContext"]  # Kubernetes refuses those of the network there.
    high = render({"controller": {"hostNetwork": True, "containerPort": {"http": 8080, "https": 8443}}})
    assert container(high)["securityContext"]["runAsUser"] == 10001


def test_autoscaling_owns_the_replicas(render):
    release = render({"controller": {"autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 70}}})
    assert "replicas" not in release.one("Deployment", "ringway-proxy")["spec"]
    scaler = release.one("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ringway-proxy"}
    assert [m["resource"]["name"] for m in scaler["metrics"]] == ["cpu", "memory"]


def test_one_pod_with_both(render):
    release = render({"topology": "single", "controller": {"admissionWebhooks": {"enabled": True}}})
    assert [o["metadata"]["name"] for o in release.of("Deployment")] == ["ringway-proxy"]
    assert release.flag("controller", "listen") == ["unix:/run/ringway/controller"]
    assert release.flag("proxy", "controller") == ["unix:/run/ringway/controller"]
    assert not release.flag("proxy", "controller-ca")
    for name in ("controller", "proxy"):
        assert {"name": "socket", "mountPath": "/run/ringway"} in release.container(name)["volumeMounts"]
    assert "readinessProbe" not in release.container("controller") and "readinessProbe" in release.container("proxy")
    assert "readinessProbe" in render({}).container("controller")
    # The socket's permissions are its owner's.
    assert release.container("controller")["securityContext"]["runAsUser"] == release.container("proxy")["securityContext"]["runAsUser"]


def test_the_link_is_encrypted_and_both_sides_are_checked(render):
    for values in ({}, {"link": {"certificates": "certManager"}}, {"link": {"certificates": "secret", "secret": {"controllerName": "c", "proxyName": "p"}}}):
        release = render(values)
        for name in ("controller-ca", "controller-cert", "controller-key"):
            assert len(release.flag("proxy", name)) == 1
        secret = next(v for v in pod(release)["volumes"] if v["name"] == "link")["secret"]["secretName"]
        assert secret == ("p" if "secret" in values.get("link", {}) else "ringway-proxy-tls")
    certificates = {o["metadata"]["name"]: o["spec"] for o in render({"link": {"certificates": "certManager"}}).of("Certificate")}
    assert "ringway-controller.edge.svc" in certificates["ringway-controller-tls"]["dnsNames"]
    assert "client auth" in certificates["ringway-proxy-tls"]["usages"] and "server auth" in certificates["ringway-controller-tls"]["usages"]
    assert certificates["ringway-ca"]["isCA"] is True
    assert "link.secret" in render.refusal({"link": {"certificates": "secret"}})


def test_before_kubernetes_1_30_the_image_waits_itself(render):
    old = render({}, "--kube-version", "1.29.0")
    assert container(old)["lifecycle"]["preStop"] == {"exec": {"command": ["ringway", "pause", "--seconds", "10"]}}
    assert container(render({}, "--kube-version", "1.30.0"))["lifecycle"]["preStop"] == {"sleep": {"seconds": 10}}


def test_rights_end_at_the_watched_namespaces(render):
    release = render({"rbac": {"scope": True}, "controller": {"scope": {"enabled": True, "namespaces": ["a", "b"]}, "extraArgs": {"default-ssl-certificate": "c/d"}}})
    assert not release.of("ClusterRole") and not release.of("ClusterRoleBinding") and not release.of("IngressClass")
    assert {o["metadata"]["namespace"] for o in release.of("Role")} == {"a", "b", "c", "edge"}
    elsewhere = next(o for o in release.of("Role") if o["metadata"]["namespace"] == "c")
    assert elsewhere["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["d"], "verbs": ["get", "watch"]}]
    for binding in release.of("RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ringway-controller", "namespace": "edge"}]
    assert "controller.scope" in render.refusal({"rbac": {"scope": True}})


def test_webhook(render):
    hook = {"controller": {"admissionWebhooks": {"enabled": True, "failurePolicy": "Ignore", "timeoutSeconds": 3, "namespaceSelector": {"matchLabels": {"a": "b"}},
                                                 "objectSelector": {"matchLabels": {"c": "d"}}}}}
    release = render(hook)
    webhook = release.one("ValidatingWebhookConfiguration")["webhooks"][0]
    assert webhook["failurePolicy"] == "Ignore" and webhook["timeoutSeconds"] == 3 and webhook["sideEffects"] == "None"
    assert webhook["namespaceSelector"] == {"matchLabels": {"a": "b"}} and webhook["objectSelector"] == {"matchLabels": {"c": "d"}}
    service = release.one("Service", webhook["clientConfig"]["service"]["name"])
    assert service["spec"]["ports"][0]["port"] == webhook["clientConfig"]["service"]["port"]
    # The chart's own certificate: what is served is what the API server is told to believe.
    secret = release.one("Secret", "ringway-admission-tls")["data"]
    assert webhook["clientConfig"]["caBundle"] == secret["ca.crt"]
    served = x509(secret["tls.crt"])
    assert "DNS:ringway-admission.edge.svc" in served and "CN = ringway-admission authority" in served
    assert release.flag("controller", "validating-webhook-certificate") == ["/etc/ringway/admission/tls.crt"]
    given = render({"controller": {"admissionWebhooks": {"enabled": True, "existingSecret": "s", "caBundle": "eA=="}}})
    assert given.one("ValidatingWebhookConfiguration")["webhooks"][0]["clientConfig"]["caBundle"] == "eA=="
    assert not given.of("Secret")


def x509(encoded: str) -> str:
    return subprocess.run(["openssl", "x509", "-noout", "-text"], input=base64.b64decode(encoded), capture_output=True, check=True).stdout.decode()


def test_two_programs_of_one_pod_do_not_share_a_port(render):
    webhook = {"enabled": True, "port": 8443}
    assert "8443/TCP" in render.refusal({"topology": "single", "controller": {"admissionWebhooks": webhook}})
    assert render({"controller": {"admissionWebhooks": webhook}}).flag("controller", "validating-webhook") == ["0.0.0.0:8443"]
    assert "9000/TCP" in render.refusal({"controller": {"metrics": {"port": 9000}}, "tcp": {"9000": "a/b:1"}})


def test_monitoring(render):
    metrics = {"enabled": True, "serviceMonitor": {"enabled": True, "namespace": "mon", "scrapeInterval": "5s", "additionalLabels": {"a": "b"}, "sampleLimit": 9},
               "prometheusRule": {"enabled": True, "rules": [{"alert": "Mine", "expr": "x > 1"}]}, "dashboards": {"enabled": True}}
    release = render({"controller": {"metrics": metrics}})
    monitors = release.of("ServiceMonitor")
    assert {o["metadata"]["name"] for o in monitors} == {"ringway-proxy", "ringway-controller"}
    for monitor in monitors:
        assert monitor["metadata"]["namespace"] == "mon" and monitor["metadata"]["labels"]["a"] == "b"
        assert monitor["spec"]["endpoints"][0]["interval"] == "5s" and monitor["spec"]["endpoints"][0]["honorLabels"] is True
        assert monitor["spec"]["sampleLimit"] == 9 and monitor["spec"]["namespaceSelector"] == {"matchNames": ["edge"]}
    rules = release.one("PrometheusRule")["spec"]["groups"][0]["rules"]
    assert rules[-1] == {"alert": "Mine", "expr": "x > 1"} and len(rules) > 5


def test_unnatural_values_are_refused_with_their_name(render):
    for values, name in (({"topology": "double"}, "topology"), ({"controller": {"kind": "StatefulSet"}}, "kind"), ({"controller": {"replicaCount": "two"}}, "replicaCount"),
                         ({"tcp": {"x": "a/b:1"}}, "tcp"), ({"tcp": {"1": "nonsense"}}, "tcp"), ({"controller": {"containerPort": {"http": 70000}}}, "http"),
                         ({"proxy": {"accessLog": True}}, "accessLog"), ({"controller": {"ingressClassResource": {"controllerValue": "ringway"}}}, "controllerValue"), ({"image": {"digest": "latest"}}, "digest")):
        assert name in render.refusal(values)


def test_nodes_are_read_only_where_they_are_shown(render):
    def may(controller) -> bool:
        rules = [rule for role in render({"controller": controller}).of("ClusterRole") for rule in role["rules"]]
        return any("nodes" in rule["resources"] for rule in rules)

    node_port = {"type": "NodePort"}
    for controller, want in (({}, False), ({"service": node_port}, True), ({"service": {"type": "ClusterIP"}}, False),
                             ({"service": {"type": "ClusterIP", "clusterIP": "None"}}, True), ({"publishService": {"enabled": False}}, True),
                             ({"publishService": {"pathOverride": "a/b"}}, True), ({"extraArgs": {"publish-service": "a/b"}}, True),
                             ({"service": {"enabled": False}}, True), ({"service": {"external": {"enabled": False}, "internal": {"enabled": True, **node_port}}}, True),
                             ({"service": {"external": {"enabled": False}, "internal": {"enabled": True}}}, False),
                             ({"service": node_port, "extraArgs": {"publish-status-address": "192.0.2.1"}}, False)):
        assert may(controller) is want, controller
