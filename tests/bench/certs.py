"""Self-signed certificates for what a proxy serves, made by openssl once a run."""

import subprocess
from pathlib import Path

KINDS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["-newkey", "rsa:2048"]}


class Certificate:
    """Files in PEM: certificate, key, and both in one."""

    def __init__(self, folder: Path, kind: str, host: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key, self.both = (folder / f"{kind}-{part}.pem" for part in ("cert", "key", "both"))
        if not self.both.exists():
            subprocess.run(["openssl", "req", "-x509", *KINDS[kind], "-nodes", "-days", "30", "-subj", f"/CN={host}", "-addext",
                            f"subjectAltName=DNS:{host},DNS:*.{host}", "-keyout", self.key, "-out", self.certificate],
                           check=True, capture_output=True)
            self.both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
