"""Layers and the image file. The file is an OCI image layout and a Docker archive in one: containerd, podman and skopeo read the one, `docker
load` the other, and both name the same blobs. Equal content gives equal bytes: sorted, owned by root, dated 1970."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from content import Entry


@dataclass
class Blob:
    data: bytes

    @property
    def hex(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def path(self) -> str:
        return f"blobs/sha256/{self.hex}"

    def descriptor(self, media_type: str, **more) -> dict:
        return {"mediaType": media_type, "digest": f"sha256:{self.hex}", "size": len(self.data), **more}


@dataclass
class Layer:
    blob: Blob  # Compressed.
    diff_id: str  # Digest of the tar inside.


@dataclass
class Image:
    manifest: Blob
    config: Blob
    layers: list[Layer]
    architecture: str

    @property
    def compressed_bytes(self) -> int:
        return len(self.config.data) + sum(len(layer.blob.data) for layer in self.layers)


def as_json(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def member(name: str, mode: int, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size = mode, kind, size  # uid, gid and mtime are 0.
    return info


def make_layer(entries: list[Entry]) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in entries:
            name = entry.path.lstrip("/")
            if entry.folder:
                tar.addfile(member(name, entry.mode, tarfile.DIRTYPE))
            elif entry.link:
                info = member(name, entry.mode, tarfile.SYMTYPE)
                info.linkname = entry.link
                tar.addfile(info)
            else:
                tar.addfile(member(name, entry.mode, size=len(entry.content)), io.BytesIO(entry.content))
    plain = out.getvalue()
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(plain)
    return Layer(Blob(packed.getvalue()), f"sha256:{hashlib.sha256(plain).hexdigest()}")


def make_image(layers: list[tuple[str, list[Entry]]], settings: dict, created: str, architecture: str) -> Image:
    """`layers`: what made each, for `docker history`, and its entries. `settings`: the `config` of the OCI image configuration."""
    made = [make_layer(entries) for _, entries in layers]
    config = Blob(as_json({
        "architecture": architecture, "os": "linux", "created": created, "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
        "history": [{"created": created, "created_by": label} for label, _ in layers]}))
    manifest = Blob(as_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.blob.descriptor("application/vnd.oci.image.layer.v1.tar+gzip") for layer in made],
        "annotations": {k: v for k, v in settings["Labels"].items() if k.startswith("org.opencontainers.image.")}}))
    return Image(manifest, config, made, architecture)


def write_archive(image: Image, tags: list[str], out: Path):
    platform = {"architecture": image.architecture, "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": [image.manifest.descriptor("application/vnd.oci.image.manifest.v1+json", platform=platform,
                                                     annotations={"io.containerd.image.name": tag,
                                                                  "org.opencontainers.image.ref.name": tag.rpartition(":")[2]}) for tag in tags]}
    docker = [{"Config": image.config.path, "RepoTags": tags, "Layers": [layer.blob.path for layer in image.layers]}]
    files = {"oci-layout": as_json({"imageLayoutVersion": "1.0.0"}), "index.json": as_json(index), "manifest.json": as_json(docker)}
    for blob in (image.manifest, image.config, *(layer.blob for layer in image.layers)):
        files[blob.path] = blob.data
    part = out.with_name(out.name + ".part")
    with tarfile.open(part, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256"):
            tar.addfile(member(folder, 0o755, tarfile.DIRTYPE))
        for name, data in files.items():
            tar.addfile(member(name, 0o644, size=len(data)), io.BytesIO(data))
    part.replace(out)  # Nobody ever loads half of it.
