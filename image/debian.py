"""What Debian's package database says about files of this machine."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str
    architecture: str
    source: str
    source_version: str

    @property
    def purl(self) -> str:
        """The package URL type `deb`. '+' and '~' of versions must be escaped."""
        version = self.version.replace("%", "%25").replace("+", "%2B").replace(":", "%3A").replace("~", "%7E")
        return f"pkg:deb/debian/{self.name.replace('+', '%2B')}@{version}?arch={self.architecture}&distro=debian-12"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def architecture() -> str:
    """As Debian and OCI spell it: amd64, arm64."""
    return run("dpkg", "--print-architecture").strip()


def owners(paths: list[str]) -> dict[str, str]:
    """The package that brought each file; a file of no package is missing from the result.

    dpkg knows files of before the /usr merge by their old names, so those are asked for too.
    """
    names: dict[str, str] = {}
    for path in paths:
        for name in (path, os.path.realpath(path)):
            names[name] = path
            names[name.removeprefix("/usr")] = path
    found: dict[str, str] = {}
    candidates = sorted(names)
    for first in range(0, len(candidates), 500):
        answer = subprocess.run(["dpkg-query", "-S", *candidates[first:first + 500]], capture_output=True, text=True, check=False,
                                env={**os.environ, "LC_ALL": "C"})
        for line in answer.stdout.splitlines():
            package, _, name = line.partition(": ")
            if name in names and not package.startswith("diversion "):
                found[names[name]] = package.split(",")[0].split(":")[0]
    return found


def package(name: str) -> Package:
    fields = run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n", name)
    return Package(*fields.splitlines()[0].split("\t"))


def stanza(name: str) -> str:
    """The package's entry in dpkg's status file, without the checksums of configuration files that are not in the image."""
    lines, skipping = [], False
    for line in run("dpkg-query", "-s", name).splitlines():
        skipping = line.startswith("Conffiles:") or (skipping and line.startswith(" "))
        if not skipping:
            lines.append(line)
    return "\n".join(lines).strip() + "\n"


def files_of(name: str) -> list[str]:
    return run("dpkg-query", "-L", name).splitlines()


def copyright_of(name: str) -> Path | None:
    path = Path(f"/usr/share/doc/{name}/copyright")
    return path if path.exists() else None
