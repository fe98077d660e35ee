"""What is in the image: a list of entries, each with its package, the same on every run. No shell, no package manager, nothing that a user of
the container may write to but /tmp."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import closure
import debian

PROGRAMS = ("ringway", "ringway-controller", "ringway-proxy")
PROGRAM_FOLDER = "/usr/local/bin"
SBOM = "/usr/share/doc/ringway/sbom.spdx.json"
USER = 10001  # Above 10000: no account of a node has this number.
OURS = "ringway"  # The package of what Debian did not bring.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nringway:x:{USER}:{USER}:Ringway:/:/sbin/nologin\n"
GROUP = f"root:x:0:\nringway:x:{USER}:\n"
# glibc without this file asks DNS first, and `localhost` is then somebody else's answer.
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


@dataclass
class Entry:
    path: str  # Absolute, in the image.
    mode: int
    package: str = OURS
    content: bytes = b""
    link: str = ""  # Target of a symbolic link.
    folder: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Content:
    """Two layers: what changes with Debian, and what changes with every version of Ringway."""

    system: list[Entry] = field(default_factory=list)
    ringway: list[Entry] = field(default_factory=list)
    packages: list[debian.Package] = field(default_factory=list)  # In the image as files.
    compiled_in: list[debian.Package] = field(default_factory=list)  # Part of the programs, not files.

    def entries(self) -> list[Entry]:
        return self.system + self.ringway

    def unpacked_bytes(self) -> int:
        return sum(len(entry.content) for entry in self.entries())


def stripped(program: Path, debug: Path | None) -> bytes:
    """The program without debug information, which goes to `debug` and is named in it (.gnu_debuglink)."""
    with tempfile.TemporaryDirectory() as work:
        small, symbols = Path(work, f"{program.name}.stripped"), Path(work, f"{program.name}.debug")
        subprocess.run(["objcopy", "--only-keep-debug", "--compress-debug-sections", program, symbols], check=True)
        subprocess.run(["objcopy", "--strip-all", program, small], check=True)
        # By its name alone: a debugger looks beside the program and in its own folders.
        subprocess.run(["objcopy", f"--add-gnu-debuglink={symbols.name}", small.name], check=True, cwd=work)
        if debug is not None:
            debug.mkdir(parents=True, exist_ok=True)
            shutil.copy(symbols, debug)
        return small.read_bytes()


def certificates() -> bytes:
    """Mozilla's authorities as the package has them. Not /etc/ssl of this machine: its owner may have added authorities of his own."""
    files = sorted(name for name in debian.files_of("ca-certificates") if name.startswith("/usr/share/ca-certificates/") and name.endswith(".crt"))
    return b"".join(Path(name).read_bytes().strip() + b"\n" for name in files)


def library_entries(programs: list[Path]) -> list[Entry]:
    files: dict[str, str] = {}
    for program in programs:
        files.update(closure.libraries(program))
    owners = debian.owners(sorted(files.values()))
    entries = []
    for path, source in sorted(files.items()):
        # A library that Debian did not bring (another BoringSSL) has no package of its own.
        entries.append(Entry(path, 0o755, owners.get(source, OURS), Path(source).read_bytes()))
    for name in sorted({closure.loader(program) for program in programs}):
        real = closure.usr_merged(str(Path(name).resolve()))
        if all(entry.path != real for entry in entries):
            entries.append(Entry(real, 0o755, "libc6", Path(name).read_bytes()))
        named = closure.usr_merged(name)
        entries = [entry for entry in entries if entry.path != named or named == real]
        if named != real:
            entries.append(Entry(named, 0o777, "libc6", link=os.path.relpath(real, os.path.dirname(named))))
    return entries


def settings() -> list[Entry]:
    entries = [Entry("/etc/passwd", 0o644, content=PASSWD.encode()), Entry("/etc/group", 0o644, content=GROUP.encode()),
               Entry("/etc/nsswitch.conf", 0o644, content=NSSWITCH.encode()),
               Entry(BUNDLE, 0o644, "ca-certificates", certificates()),
               # Where OpenSSL (in libcurl and grpc++) looks: OPENSSLDIR of Debian is /usr/lib/ssl.
               Entry("/usr/lib/ssl/cert.pem", 0o777, link=BUNDLE), Entry("/usr/lib/ssl/certs", 0o777, link="/etc/ssl/certs"),
               # By this and /var/lib/dpkg/status.d scanners know whose security notices apply.
               Entry("/usr/lib/os-release", 0o644, "base-files", Path("/usr/lib/os-release").read_bytes()),
               Entry("/etc/os-release", 0o777, "base-files", link="../usr/lib/os-release"),
               Entry("/tmp", 0o1777, folder=True)]
    for name in ("lib", "lib64"):
        entries.append(Entry(f"/{name}", 0o777, "base-files", link=f"usr/{name}"))
    return entries


def package_entries(names: list[str]) -> list[Entry]:
    """For each package its licence, and its entry of dpkg's status the way images without dpkg have it."""
    entries = []
    for name in names:
        entries.append(Entry(f"/var/lib/dpkg/status.d/{name}", 0o644, name, debian.stanza(name).encode()))
        licence = debian.copyright_of(name)
        if licence is not None:
            entries.append(Entry(f"/usr/share/doc/{name}/copyright", 0o644, name, licence.read_bytes()))
    return entries


def with_folders(entries: list[Entry], seen: set[str]) -> list[Entry]:
    """Every folder before what is in it, once over all layers; sorted."""
    folders = {}
    for entry in entries:
        for parent in Path(entry.path).parents:
            if str(parent) != "/" and str(parent) not in seen:
                folders[str(parent)] = Entry(str(parent), 0o755, folder=True)
    for entry in entries:
        folders.pop(entry.path, None)
    seen.update(folders)
    return sorted([*folders.values(), *entries], key=lambda entry: entry.path)


def collect(bins: Path, root: Path, debug: Path | None) -> Content:
    programs = [bins / name for name in PROGRAMS]
    system = library_entries(programs) + settings()
    names = sorted({entry.package for entry in system} - {OURS})
    content = Content(packages=[debian.package(name) for name in names])
    inside = closure.compiled_in(bins.parent, list(PROGRAMS))
    if inside is not None:
        content.compiled_in = sorted(debian.package(name) for name in inside - set(names))
    seen: set[str] = set()
    content.system = with_folders(system + package_entries(names), seen)
    ours = [Entry(f"{PROGRAM_FOLDER}/{program.name}", 0o755, content=stripped(program, debug)) for program in programs]
    ours.append(Entry("/usr/share/doc/ringway/LICENSE", 0o644, content=(root / "LICENSE").read_bytes()))
    content.ringway = with_folders(ours, seen)
    return content


def add_sbom(content: Content, text: str):
    content.ringway = sorted([*content.ringway, Entry(SBOM, 0o644, content=text.encode())], key=lambda entry: entry.path)


def write(content: Content, folder: Path):
    """The entries as files under `folder`, which must not be there yet."""
    folder.mkdir(parents=True)
    for entry in content.entries():
        target = folder / entry.path.lstrip("/")
        if entry.folder:
            target.mkdir(exist_ok=True)
        elif entry.link:
            target.symlink_to(entry.link)
        else:
            target.write_bytes(entry.content)
        if not entry.link:
            target.chmod(stat.S_IMODE(entry.mode))
