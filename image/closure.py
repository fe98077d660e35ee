"""Which files a program needs to run: its loader and shared libraries, by ldd; and which packages were compiled into it."""

import re
import subprocess
from pathlib import Path

import debian


class Missing(Exception):
    """A library that the loader does not find."""


def usr_merged(path: str) -> str:
    """/lib is a link to /usr/lib on Debian 12; the image has the files where the links lead."""
    return re.sub(r"^/(lib|lib64|bin|sbin)/", r"/usr/\1/", path)


def libraries(program: Path) -> dict[str, str]:
    """Path in the image → file of this machine. A library is there once, under the name that programs ask for (its soname)."""
    found: dict[str, str] = {}
    for line in debian.run("ldd", str(program)).splitlines():
        line = line.strip()
        if "not found" in line:
            raise Missing(f"{program}: {line}")
        match = re.fullmatch(r"(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)", line)
        if match:
            found[usr_merged(match.group(1))] = str(Path(match.group(1)).resolve())
    return found


def loader(program: Path) -> str:
    """The path that the kernel reads from the program (PT_INTERP)."""
    match = re.search(r"Requesting program interpreter: (\S+)\]", debian.run("readelf", "--wide", "--program-headers", str(program)))
    if match is None:
        raise Missing(f"{program}: names no loader; is it linked statically?")
    return match.group(1)


def compiled_in(build: Path, targets: list[str]) -> set[str] | None:
    """Debian packages whose headers or static libraries became part of the programs; None when the build folder does not tell."""
    if not (build / "build.ninja").exists():
        return None

    def ninja(*arguments: str) -> str | None:
        answer = subprocess.run(["ninja", "-C", str(build), *arguments], capture_output=True, text=True, check=False)
        return answer.stdout if answer.returncode == 0 else None

    inputs, dependencies = ninja("-t", "inputs", *targets), ninja("-t", "deps")
    if inputs is None or dependencies is None:
        return None
    objects = {line.strip() for line in inputs.splitlines()}
    files = {name for name in objects if name.startswith("/usr/") and name.endswith(".a")}
    wanted = False
    for line in dependencies.splitlines():
        if line and not line.startswith(" "):
            wanted = line.split(":")[0] in objects
        elif wanted and line.strip().startswith("/usr/"):
            files.add(line.strip())
    if not any(name.endswith(".h") for name in files):
        return None
    return set(debian.owners(sorted(files)).values())
