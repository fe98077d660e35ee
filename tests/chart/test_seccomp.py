"""The shipped profile in a container: runc takes it, io_uring is allowed, and what the runtimes forbid stays forbidden."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import CHART

# Each call with arguments that do nothing: EPERM says that the profile forbids it, anything else that the kernel was asked.
PROBE = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
arm = os.uname().machine == "aarch64"
calls = {"io_uring_setup": (425, 8, None), "io_uring_enter": (426, -1, 0, 0, 0, None, 0), "io_uring_register": (427, -1, 0, None, 0),
         "bpf": (280 if arm else 321, 0, None, 0), "keyctl": (219 if arm else 250, 0, 0, 0, 0, 0), "unshare": (97 if arm else 272, 0x10000000)}
for name, call in calls.items():
    ctypes.set_errno(0)
    print(name, "ok" if libc.syscall(*call) >= 0 else errno.errorcode[ctypes.get_errno()])
"""


def bundle(folder, profile):
    """An OCI bundle that runs the probe with this machine's Python, as nobody, without capabilities."""
    for name in ("usr", "probe", "proc", "dev"):
        (folder / "rootfs" / name).mkdir(parents=True)
    for link, target in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")):
        (folder / "rootfs" / link).symlink_to(target)
    (folder / "probe.py").write_text(PROBE)
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config.pop("hostname", None)
    config["root"] = {"path": "rootfs", "readonly": True}
    config["process"] = {"args": ["/usr/bin/python3", "/probe/probe.py"], "cwd": "/", "env": ["PATH=/usr/bin"], "noNewPrivileges": True,
                         "user": {"uid": 10001, "gid": 10001}, "capabilities": {}}
    config["mounts"] = [m for m in config["mounts"] if m["destination"] in ("/proc", "/dev")] + [
        {"destination": to, "type": "bind", "source": source, "options": ["rbind", "ro"]} for to, source in (("/usr", "/usr"), ("/probe", str(folder)))]
    config["linux"] = {"namespaces": [{"type": "mount"}, {"type": "pid"}], "seccomp": profile}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("shipped", [True, False], ids=["with_the_profile", "without_any"])
def test_what_the_profile_allows(tmp_path, shipped):
    if os.geteuid() != 0 or shutil.which("runc") is None:
        pytest.skip("needs root and runc")
    if "io_uring_setup EPERM" in subprocess.run(["/usr/bin/python3", "-c", PROBE], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this machine forbids io_uring to everybody")
    profile = json.loads((CHART / "files/seccomp/ringway-proxy.json").read_text()) if shipped else None
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:  # pytest's folders are its user's only.
        parent.chmod(parent.stat().st_mode | 0o011)
    bundle(tmp_path, profile)
    got = subprocess.run(["runc", "--root", str(tmp_path / "state"), "run", f"ringway-profile-{os.getpid()}"], cwd=tmp_path,
                         capture_output=True, text=True, check=False)
    assert got.returncode == 0, got.stderr
    answers = dict(line.split() for line in got.stdout.splitlines())
    assert len(answers) == 6
    assert "EPERM" not in (answers["io_uring_setup"], answers["io_uring_enter"], answers["io_uring_register"])
    if shipped:
        assert answers["bpf"] == answers["keyctl"] == answers["unshare"] == "EPERM"
    else:
        assert answers["unshare"] == "ok"  # It is the profile that forbids it.
