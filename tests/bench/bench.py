#!/usr/bin/env python3
"""./dev bench: Ringway against nginx and HAProxy on this machine, in one run.

Method: each proxy has one worker and one core of its own; client, origin, controller and this program share the others. Proxies take turns
(A B C A B C …). CPU per request is the run time of all of a proxy's threads from schedstat, plus its core's ksoftirqd, over the requests
the client completed. A run counts only when no request failed, both sides kept their connections, and others used at most 1 % of the
proxy's core. Reported are minimum and median; wall-clock figures on a small machine are weather and are kept in the JSON only.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, Bench  # noqa: E402

TARGETS = {  # What the project promises; shown beside what was measured.
    "keepalive-64": ("ratio", 0.85), "keepalive-256": ("ratio", 0.85), "idle": ("bytes", 600), "allocations": ("per_request", 0.01),
    "scale": ("live_seconds", 2.0),
}


def table(rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in rows)


def markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def show(value) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) and abs(value) < 100 else f"{value:.0f}" if isinstance(value, float) else str(value)


def rows_of(result: dict) -> list[list[str]]:
    columns = [c for c in next(iter(result["rows"].values()), {}) if c != "why"]
    return [[result["case"], *columns]] + [[name, *(show(row.get(c)) for c in columns)] for name, row in result["rows"].items()]


def verdict(result: dict) -> str:
    target = TARGETS.get(result["case"])
    row = result["rows"].get("ringway")
    if target is None or row is None or row.get(target[0]) is None:
        return ""
    met = row[target[0]] <= target[1]
    doubt = " (no run counted: a look, not a claim)" if row.get("counted") == 0 else ""
    return f"ringway {target[0]} {show(float(row[target[0]]))}, target {target[1]}: {'met' if met else 'MISSED'}{doubt}"


def machine() -> dict:
    def first_line(*command):
        try:
            return (subprocess.run(command, capture_output=True, text=True, check=False).stdout or "").splitlines()[0]
        except (OSError, IndexError):
            return "not there"

    version = subprocess.run([shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-v"], capture_output=True, text=True, check=False).stderr \
        if shutil.which("nginx", path="/usr/sbin:/usr/bin") else "not there"
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    return {"kernel": platform.release(), "cpu": cpu, "nginx": version.strip(), "haproxy": first_line("haproxy", "-v"),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help=f"any of: {' '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1.5 s: for a look")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    unknown = [c for c in arguments.cases if c not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]}; there are: {' '.join(CASES)}")
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 1.5
    shutil.rmtree(arguments.out / "work", ignore_errors=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.bin.resolve(), arguments.out.resolve(), arguments.rounds, arguments.seconds)
    for why in bench.missing:
        print(f"left out: {why}")
    results, text, marked = [], [], [f"# Benchmark\n\n{json.dumps(machine(), ensure_ascii=False)}\n"]
    for name in arguments.cases or CASES:
        print(f"{name}:", flush=True)
        result = CASES[name](bench)
        results.append(result)
        if result["rows"]:
            text.append(table(rows_of(result)))
            marked.append(markdown(rows_of(result)))
        for line in filter(None, [*result["notes"], verdict(result)]):
            text.append(f"  {line}")
            marked.append(f"\n{line}")
        text.append("")
        marked.append("")
    print("\n" + "\n".join(text))
    (arguments.out / "results.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1, ensure_ascii=False))
    (arguments.out / "results.md").write_text("\n".join(marked))
    (arguments.out / "results.txt").write_text("\n".join(text))
    print(f"written: {arguments.out}/results.txt .md .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
