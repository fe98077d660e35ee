"""What is in the image and what must not be."""

import gzip
import hashlib
import json
import re
import shlex
import stat
from pathlib import Path

from conftest import ROOT, Archive, build

MIB = 1 << 20


def test_equal_input_gives_equal_bytes(bins, archive, tmp_path):
    """Whatever the folder, language, time zone and umask of who builds it."""
    again = tmp_path / "elsewhere" / "again.tar"
    build("--bin", bins, "--out", again, TZ="Asia/Kathmandu", LC_ALL="C.UTF-8", PYTHONHASHSEED="7")
    assert hashlib.sha256(again.read_bytes()).hexdigest() == hashlib.sha256(archive.path.read_bytes()).hexdigest()
    assert Archive(again).bill == archive.bill


def test_date_changes_nothing_but_the_configuration(bins, archive, tmp_path):
    later = tmp_path / "later.tar"
    build("--bin", bins, "--out", later, SOURCE_DATE_EPOCH="1800000000")
    ours, theirs = archive.config["rootfs"]["diff_ids"], Archive(later).config["rootfs"]["diff_ids"]
    assert Archive(later).config["created"] == "2027-01-15T08:00:00Z"
    assert ours[0] == theirs[0], "the layer of libraries must stay what a node has already"


def test_digests_and_both_indexes_agree(archive):
    assert archive.files["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'
    diff_ids = [f"sha256:{hashlib.sha256(gzip.decompress(archive.blob(d))).hexdigest()}" for d in archive.manifest["layers"]]
    assert diff_ids == archive.config["rootfs"]["diff_ids"]
    docker = json.loads(archive.files["manifest.json"])[0]
    assert docker["Config"] == "blobs/sha256/" + archive.manifest["config"]["digest"].removeprefix("sha256:")
    assert docker["Layers"] == ["blobs/sha256/" + d["digest"].removeprefix("sha256:") for d in archive.manifest["layers"]]
    assert docker["RepoTags"] == [m["annotations"]["io.containerd.image.name"] for m in archive.index["manifests"]]


def test_members_are_sorted_owned_by_root_and_undated(archive):
    seen = set()
    for layer in archive.layers():
        names = [m.info.name for m in layer]
        assert names == sorted(names, key=lambda n: "/" + n)
        for m in layer:
            assert (m.info.uid, m.info.gid, m.info.mtime) == (0, 0, 0), m.info.name
            assert m.info.name not in seen, "twice"
            parent = str(Path(m.info.name).parent)
            assert parent == "." or parent in seen, f"{m.info.name} comes before its folder"
            seen.add(m.info.name)


def test_under_60_mib(archive):
    unpacked = sum(len(m.data) for m in archive.members().values())
    print(f"{archive.path.stat().st_size / MIB:.1f} MiB compressed, {unpacked / MIB:.1f} MiB unpacked")
    assert archive.path.stat().st_size < 60 * MIB and unpacked < 60 * MIB


def test_nothing_to_break_in_with(archive):
    members = archive.members()
    programs = {name for name, m in members.items() if m.info.isreg() and m.info.mode & 0o111 and not name.startswith("usr/lib/")}
    assert programs == {"usr/local/bin/ringway", "usr/local/bin/ringway-controller", "usr/local/bin/ringway-proxy"}
    for name, m in members.items():
        assert not m.info.mode & (stat.S_ISUID | stat.S_ISGID), f"{name} is set-id"
        assert m.info.issym() or not m.info.mode & 0o022 or name == "tmp", f"{name} may be written"
        assert "PRIVATE KEY-----" not in m.data[:1 << 16].decode("latin-1"), name
    assert members["tmp"].info.mode == 0o1777


def test_user_is_nobody_of_the_node(archive):
    uid, gid = archive.config["config"]["User"].split(":")
    assert int(uid) >= 10000 and int(gid) >= 10000
    accounts = [line.split(":") for line in archive.members()["etc/passwd"].data.decode().splitlines()]
    assert [a[0] for a in accounts if a[2] == uid] == ["ringway"]
    assert all(a[6] == "/sbin/nologin" for a in accounts)


def test_every_link_leads_somewhere(archive):
    members = archive.members()

    def resolve(path: str) -> str:
        parts, done, hops = path.strip("/").split("/"), [], 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                done.pop()
                continue
            name = "/".join([*done, part])
            assert name in members, f"{path}: {name} is not there"
            if members[name].info.issym():
                hops += 1
                assert hops < 10, path
                target = members[name].info.linkname
                if target.startswith("/"):
                    done = []
                parts = target.strip("/").split("/") + parts
            else:
                done.append(part)
        return "/".join(done)

    for name, m in members.items():
        if m.info.issym():
            resolve(name)
    assert members[resolve("etc/ssl/certs/ca-certificates.crt")].data == members[resolve("usr/lib/ssl/cert.pem")].data


def test_authorities_are_mozillas_not_this_machines(archive):
    bundle = archive.members()["etc/ssl/certs/ca-certificates.crt"].data
    packaged = sorted(Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
    count = bundle.count(b"BEGIN CERTIFICATE")
    assert count == len(packaged) > 100
    for local in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        body = b"".join(local.read_bytes().split(b"-----")[2].split())
        assert body and body not in b"".join(bundle.split()), f"{local} is in the image"


def test_labels(archive):
    labels = archive.config["config"]["Labels"]
    for name in ("title", "description", "version", "revision", "created", "licenses", "vendor"):
        assert labels[f"org.opencontainers.image.{name}"], name
    assert archive.config["created"] == labels["org.opencontainers.image.created"] == "2026-01-01T00:00:00Z"
    assert archive.manifest["annotations"] == labels


def test_tags_and_labels_of_the_caller(bins, tmp_path):
    out = tmp_path / "tagged.tar"
    build("--bin", bins, "--out", out, "--tag", "localhost/a:1", "--tag", "localhost/b:2", "--label", "org.opencontainers.image.source=here")
    made = Archive(out)
    assert [m["annotations"]["io.containerd.image.name"] for m in made.index["manifests"]] == ["localhost/a:1", "localhost/b:2"]
    assert made.config["config"]["Labels"]["org.opencontainers.image.source"] == "here"


def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the last stage, and every RUN."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")))
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    last = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return [(w, rest) for i, (w, rest) in enumerate(found) if i > last or w == "RUN"]


def test_dockerfile_says_the_same(archive):
    instructions = dockerfile()
    config = archive.config["config"]
    labels = dict(part.split("=", 1) for part in shlex.split(dict(instructions)["LABEL"]))
    assert set(labels) == set(config["Labels"])
    arguments = dict(rest.split("=", 1) for word, rest in instructions if word == "ARG")
    for key, value in labels.items():
        if "${" not in value:
            assert value == config["Labels"][key]
    assert arguments["VERSION"] == config["Labels"]["org.opencontainers.image.version"]
    assert json.loads(dict(instructions)["ENTRYPOINT"]) == config["Entrypoint"]
    assert dict(instructions)["USER"] == config["User"]
    assert [dict(instructions)["ENV"]] == config["Env"]
    assert dict(instructions)["WORKDIR"] == config["WorkingDir"]


def test_dockerfile_makes_the_same_files(archive, rootfs):
    """Its first stage runs the script with --rootfs and its second copies that folder whole."""
    assert ("RUN", "./dev image --rootfs /image") in dockerfile()
    assert ("COPY", "--from=build /image/ /") in dockerfile()
    found = {}
    for path in sorted(rootfs.rglob("*")):
        info = path.lstat()
        found[str(path.relative_to(rootfs))] = (
            str(path.readlink()) if path.is_symlink() else "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest(),
            None if path.is_symlink() else stat.S_IMODE(info.st_mode))
    wanted = {name: (m.info.linkname if m.info.issym() else "folder" if m.info.isdir() else hashlib.sha256(m.data).hexdigest(),
                     None if m.info.issym() else m.info.mode) for name, m in archive.members().items()}
    assert found == wanted
