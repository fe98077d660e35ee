"""Autobahn's WebSocket suite through the proxy: 247 cases, all but those of message size (9) and compression (12, 13).

It is a program of Python 2.7, installed by `./dev setup test` where there is one; elsewhere these tests are skipped with the reason.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.net import eventually, free_port

TOOLS = Path(os.environ.get("RINGWAY_TOOLS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringway/tools")
SITE = TOOLS / "autobahn"
PYTHON = SITE / "python2.7"
ECHO = Path(__file__).parent / "data/websocket_echo.py"
CASES = 247

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="Autobahn's suite needs a Python 2.7, and ./dev setup test found none")


def python27(*arguments, **options) -> subprocess.Popen:
    return subprocess.Popen([PYTHON, *map(str, arguments)], env={**os.environ, "PYTHONPATH": str(SITE), "PYTHONHASHSEED": "0"}, **options)


@pytest.fixture
def echo(tmp_path):
    port = free_port()
    with (tmp_path / "echo.log").open("wb") as log:
        process = python27(ECHO, port, stdout=log, stderr=log)

        def listens():
            import socket
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True

        eventually(listens, 30)
        yield type("Endpoint", (), {"port": port})
        process.terminate()
        process.wait(20)


@pytest.mark.timeout(600)
def test_no_case_fails(stack, echo, tmp_path):
    """A relay that changed, held back or reordered a byte would not pass; nor one that closed too soon."""
    stack.publish("localhost", echo)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"outdir": str(tmp_path / "report"), "servers": [{"agent": "ringway", "url": f"ws://localhost:{stack.http_port}"}],
                                "cases": ["*"], "exclude-cases": ["9.*", "12.*", "13.*"], "exclude-agent-cases": {}}))
    run = python27("-c", "from autobahntestsuite.wstest import run; run()", "-m", "fuzzingclient", "-s", spec, cwd=tmp_path,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = run.communicate(timeout=550)[0].decode(errors="replace")
    report = tmp_path / "report/index.json"
    assert report.exists(), said[-2000:]
    cases = json.loads(report.read_text())["ringway"]
    failed = {name: case for name, case in cases.items()
              if case["behavior"] in ("FAILED", "WRONG CODE", "UNCLEAN") or case["behaviorClose"] in ("FAILED", "WRONG CODE", "UNCLEAN")}
    print(f"autobahn: {len(cases) - len(failed)} of {len(cases)} cases")
    assert len(cases) == CASES and not failed, failed
