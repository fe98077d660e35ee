"""The image under test: made once for all tests, from the programs of --bin. `./dev image --check` runs the suite."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "image/build.py"
EPOCH = "1767225600"


def pytest_addoption(parser):
    parser.addoption("--bin", default=str(ROOT / "build/release/bin"), help="folder of the built programs")


@pytest.fixture(scope="session")
def bins(request) -> Path:
    return Path(request.config.getoption("--bin")).resolve()


def build(*arguments, **environment) -> str:
    """Runs the script as a user does; its output."""
    done = subprocess.run([sys.executable, str(BUILD), *map(str, arguments)], capture_output=True, text=True, check=False,
                          env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@dataclass
class Member:
    info: tarfile.TarInfo
    data: bytes


class Archive:
    """What a container engine sees in the file."""

    def __init__(self, path: Path):
        self.path = path
        with tarfile.open(path) as tar:
            self.files = {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}
        self.index = json.loads(self.files["index.json"])
        self.manifest = json.loads(self.blob(self.index["manifests"][0]))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor: dict) -> bytes:
        kind, _, digest = descriptor["digest"].partition(":")
        data = self.files[f"blobs/{kind}/{digest}"]
        assert len(data) == descriptor["size"] and hashlib.sha256(data).hexdigest() == digest, descriptor
        return data

    def layers(self) -> list[list[Member]]:
        out = []
        for descriptor in self.manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.blob(descriptor))) as tar:
                out.append([Member(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar])
        return out

    def members(self) -> dict[str, Member]:
        return {m.info.name: m for layer in self.layers() for m in layer}

    @property
    def bill(self) -> dict:
        return json.loads(self.path.with_name(self.path.name.removesuffix(".tar") + ".spdx.json").read_text())


@pytest.fixture(scope="session")
def archive(bins, tmp_path_factory) -> Archive:
    out = tmp_path_factory.mktemp("image") / "ringway.tar"
    print(build("--bin", bins, "--out", out))
    return Archive(out)


@pytest.fixture(scope="session")
def rootfs(bins, tmp_path_factory) -> Path:
    """The files as the Dockerfile's first stage makes them."""
    folder = tmp_path_factory.mktemp("rootfs") / "image"
    build("--bin", bins, "--rootfs", folder)
    return folder


@pytest.fixture(scope="session")
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: enters the image's root folder as its user")
