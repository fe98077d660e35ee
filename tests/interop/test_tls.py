"""TLS termination as openssl and curl see it."""

import socket
import ssl
import subprocess

import pytest

from harness import certs, objects
from harness.http import Client
from harness.net import eventually


def served_name(stack, sni: str | None, context=None) -> str:
    with Client(stack.https_port, tls=context or certs.any_server(), sni=sni) as client:
        return certs.common_name(client.sock)


def publish_tls(stack, host, backend, secret_name, chain, key, annotations=None):
    name = host.replace(".", "-").replace("*", "any")
    stack.put(f"secret-{secret_name}", objects.tls_secret(secret_name, chain, key))
    stack.put(name, objects.ingress(name, host, [objects.path(name)], annotations, [{"hosts": [host], "secretName": secret_name}]),
              objects.service(name), objects.slice_of(name, backend.port))


@pytest.fixture
def tls_host(stack, backend, host):
    """A host with an ECDSA certificate of its own name."""
    chain, key = certs.self_signed(host[:60], host)
    publish_tls(stack, host, backend, host.split(".")[0], chain, key)
    eventually(lambda: served_name(stack, host) == host[:60])
    return host


def test_exact_name(stack, tls_host):
    with Client(stack.https_port, tls=certs.any_server(), sni=tls_host) as client:
        answer = client.request(tls_host, "/secure").json()
    fields = {k.lower(): v for k, v in answer["headers"]}
    assert fields["x-forwarded-proto"] == "https" and fields["x-forwarded-port"] == str(stack.https_port)


def test_wildcard_name(stack, backend):
    host = "*.wild.test"
    chain, key = certs.self_signed("wildcard", host)
    publish_tls(stack, host, backend, "wildcard", chain, key)
    eventually(lambda: served_name(stack, "a.wild.test") == "wildcard")
    assert served_name(stack, "a.b.wild.test") != "wildcard"  # One label only.
    with Client(stack.https_port, tls=certs.any_server(), sni="b.wild.test") as client:
        assert client.request("b.wild.test", "/").status == 200


def test_exact_wins_over_wildcard(stack, backend):
    chain, key = certs.self_signed("wide", "*.both.test")
    publish_tls(stack, "*.both.test", backend, "wide", chain, key)
    chain, key = certs.self_signed("narrow", "x.both.test")
    publish_tls(stack, "x.both.test", backend, "narrow", chain, key)
    eventually(lambda: served_name(stack, "x.both.test") == "narrow" and served_name(stack, "y.both.test") == "wide")


def test_default_certificate(stack, tls_host):
    """Unknown name and no name at all: a certificate that is nobody's."""
    assert served_name(stack, "unknown.test") not in (tls_host, "")
    assert served_name(stack, None) not in (tls_host, "")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_versions_and_keys(stack, backend, version, key_type):
    host = f"{key_type}.keys.test"
    chain, key = certs.self_signed(f"keys-{key_type}", host, key=key_type)
    publish_tls(stack, host, backend, f"keys-{key_type}", chain, key)
    eventually(lambda: served_name(stack, host).startswith("keys-"))
    context = certs.any_server(version)
    with Client(stack.https_port, tls=context, sni=host) as client:
        assert client.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        for i in range(3):
            assert client.request(host, f"/{i}").status == 200


def test_old_versions_are_refused(stack, tls_host):
    context = certs.any_server()
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        served_name(stack, tls_host, context)


def test_alpn(stack, tls_host):
    context = certs.any_server()
    context.set_alpn_protocols(["http/1.1"])
    with Client(stack.https_port, tls=context, sni=tls_host) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"


def test_openssl_s_client(stack, tls_host):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{stack.https_port}", "-servername", tls_host, "-quiet"],
                          input=f"GET / HTTP/1.1\r\nHost: {tls_host}\r\nConnection: close\r\n\r\n".encode(), capture_output=True,
                          timeout=20, check=False)
    assert b"200 OK" in done.stdout


def test_curl_with_verification(stack, backend, tmp_path):
    host = "verified.test"
    chain, key = certs.self_signed(host, host)
    publish_tls(stack, host, backend, "verified", chain, key)
    eventually(lambda: served_name(stack, host) == host)
    (tmp_path / "ca.pem").write_bytes(chain)
    shown = subprocess.run(["curl", "-sS", "--cacert", tmp_path / "ca.pem", "--resolve", f"{host}:{stack.https_port}:127.0.0.1",
                            f"https://{host}:{stack.https_port}/v"], capture_output=True, check=False)
    assert b'"/v"' in shown.stdout, shown.stderr


@pytest.mark.parametrize("size", [0, 16384, 16385, 5_000_000])
def test_bodies(stack, tls_host, size):
    with Client(stack.https_port, tls=certs.any_server(), sni=tls_host) as client:
        assert client.request(tls_host, f"/bytes/{size}").body_bytes == size
        assert client.request(tls_host, "/up", "POST", body=b"q" * min(size, 900_000)).json()["body_bytes"] == min(size, 900_000)


def test_clear_text_is_redirected(stack, tls_host):
    message = stack.get(tls_host, "/a?b=c")
    assert message.status == 308
    assert message.get("location") in (f"https://{tls_host}/a?b=c", f"https://{tls_host}:{stack.https_port}/a?b=c")
    assert stack.get(tls_host, "/.well-known/acme-challenge/token").status == 200


def test_ssl_redirect_off(stack, backend, host):
    chain, key = certs.self_signed("plain-too", host)
    publish_tls(stack, host, backend, "plain-too", chain, key, {"ssl-redirect": "false"})
    eventually(lambda: stack.get(host, "/").status == 200)


def test_certificate_exchanged_live(stack, backend, tls_host):
    """New connections get the new one; a connection that stands goes on with the old."""
    with Client(stack.https_port, tls=certs.any_server(), sni=tls_host) as old:
        assert old.request(tls_host, "/before").status == 200
        chain, key = certs.self_signed("renewed", tls_host)
        stack.put(f"secret-{tls_host.split('.')[0]}", objects.tls_secret(tls_host.split(".")[0], chain, key))
        eventually(lambda: served_name(stack, tls_host) == "renewed")
        assert old.request(tls_host, "/after").status == 200


@pytest.mark.parametrize("damage", ["garbage", "wrong-key", "empty"])
def test_broken_secret_keeps_the_last_certificate(stack, backend, host, damage):
    chain, key = certs.self_signed("good", host)
    secret = host.split(".")[0]
    publish_tls(stack, host, backend, secret, chain, key)
    eventually(lambda: served_name(stack, host) == "good")
    if damage == "garbage":
        chain = b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
    elif damage == "wrong-key":
        key = certs.self_signed("other", host)[1]
    else:
        chain = b""
    stack.put(f"secret-{secret}", objects.tls_secret(secret, chain, key))
    # A later change is live: so the broken one has been looked at.
    stack.publish(f"later-{host}", backend)
    assert served_name(stack, host) == "good"


def test_handshake_deadline(stack):
    """5 s for a client that opens and says nothing."""
    with socket.create_connection(("127.0.0.1", stack.https_port)) as silent:
        silent.settimeout(20)
        try:
            assert silent.recv(100) == b""
        except ConnectionResetError:
            pass


def test_plain_http_on_the_tls_port(stack):
    with Client(stack.https_port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.settimeout(10)
        try:
            got = client.sock.recv(1000)
        except ConnectionResetError:
            return
        assert not got.startswith(b"HTTP/1.1 200")
