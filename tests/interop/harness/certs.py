"""Certificates, made by openssl when a test needs one."""

import ssl
import subprocess
import tempfile
from pathlib import Path


def self_signed(name: str, *hosts: str, key: str = "ec", days: int = 30) -> tuple[bytes, bytes]:
    """Certificate and key in PEM; `name` is the subject's common name, by which tests tell certificates apart."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, private = Path(folder, "c.pem"), Path(folder, "k.pem")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["-newkey", "rsa:2048"]
        subprocess.run(["openssl", "req", "-x509", *kind, "-nodes", "-days", str(days), "-subj", f"/CN={name}", "-addext",
                        "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts or [name]), "-keyout", private, "-out", certificate],
                       check=True, capture_output=True)
        return certificate.read_bytes(), private.read_bytes()


def any_server(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that looks at the certificate but does not judge it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def common_name(sock: ssl.SSLSocket) -> str:
    """Subject common name of the server's certificate."""
    der = sock.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "multiline"], input=der,
                          check=True, capture_output=True).stdout.decode()
    for line in text.splitlines():
        if "commonName" in line:
            return line.partition("=")[2].strip()
    return ""
