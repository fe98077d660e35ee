"""The programs in the image are hardened, and their debug information is kept beside it."""

import re
import subprocess

import pytest

PROGRAMS = ("ringway", "ringway-controller", "ringway-proxy")


def readelf(*arguments) -> str:
    return subprocess.run(["readelf", "--wide", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_hardened(rootfs, name):
    program = rootfs / "usr/local/bin" / name
    assert re.search(r"Type:\s+DYN", readelf("--file-header", program)), "not position independent"
    headers = readelf("--program-headers", program)
    assert "GNU_RELRO" in headers
    stack = next(line for line in headers.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack and "E" not in stack.split("GNU_STACK")[1].split()[5], "executable stack"
    for line in headers.splitlines():
        if line.strip().startswith("LOAD"):
            assert "RWE" not in line
    dynamic = readelf("--dynamic", program)
    assert "BIND_NOW" in dynamic or "NOW" in re.search(r"FLAGS_1\)\s+(.*)", dynamic).group(1), "functions are bound when called: RELRO is partial"
    runpath = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", dynamic)
    assert all(re.fullmatch(r"/usr/lib/[a-z0-9_-]+-linux-gnu/android", path) for path in runpath), runpath


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_with_checks_of_its_memory(rootfs, name):
    """-fstack-protector-strong and -D_FORTIFY_SOURCE show as calls of glibc's checking functions."""
    called = set(re.findall(r" UND (\w+)@", readelf("--dyn-syms", rootfs / "usr/local/bin" / name)))
    assert "__stack_chk_fail" in called, "no stack protector"
    assert "__snprintf_chk" in called, "no _FORTIFY_SOURCE"


@pytest.mark.parametrize("name", PROGRAMS)
def test_stripped_and_debug_information_kept(archive, rootfs, name):
    program = rootfs / "usr/local/bin" / name
    sections = readelf("--sections", program)
    assert ".debug_info" not in sections and ".symtab" not in sections and ".gnu_debuglink" in sections
    debug = archive.path.with_suffix(".debug") / f"{name}.debug"
    assert ".debug_info" in readelf("--sections", debug)
    assert re.search(r"Build ID: (\w+)", readelf("--notes", program)).group(1) == re.search(r"Build ID: (\w+)", readelf("--notes", debug)).group(1)


def test_no_folder_of_the_builder(bins, rootfs):
    """Where it was built is nobody's business, and would differ from machine to machine."""
    folder = str(bins.parents[2]).encode()
    for name in PROGRAMS:
        assert folder not in (rootfs / "usr/local/bin" / name).read_bytes(), name


def test_crash_traces_have_names(rootfs):
    """ringway-proxy exports its functions for that (docs/operations.md)."""
    assert len(re.findall(r"FUNC\s+GLOBAL\s+DEFAULT\s+\d+ _ZN7ringway", readelf("--dyn-syms", rootfs / "usr/local/bin/ringway-proxy"))) > 500
