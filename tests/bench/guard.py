#!/usr/bin/env python3
"""./dev guard: what a request costs, in numbers that do not depend on what else the machine does, against those kept in guard.json.

Per trace of bench_guard: instructions of the proxy's own code (callgrind), calls of the allocator, submissions to the ring. Per ring of
bench_guard_calls: system calls at a fixed batch. A figure that rose by more than is allowed fails; one that fell by more is told, so that the
new one is kept: `./dev guard --write`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = Path(__file__).with_name("guard.json")
REQUESTS = 512
# Of the figure kept, in percent. Another build of the C library or of the compiler moves instructions a little; the rest are whole events.
ALLOWED = {"instructions": 2.0, "allocations": 0.0, "submissions": 0.0, "calls": 0.0}
# The C library chooses its memcpy by the processor; these choices every x86-64 has.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS"}


def counted(bins: Path) -> dict:
    """Trace -> figure -> per request."""
    found: dict[str, dict[str, float]] = {}
    text = subprocess.run([bins / "bench_guard", str(REQUESTS)], capture_output=True, text=True, check=True).stdout
    for name, trace in json.loads(text).items():
        found[name] = {figure: trace[figure] / trace["requests"] for figure in ("allocations", "submissions")}
    return found


def instructions(bins: Path) -> dict[str, float]:
    """Trace -> instructions per request; empty without valgrind."""
    if shutil.which("valgrind") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={folder}/out",
                               bins / "bench_guard", str(REQUESTS)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
        if done.returncode != 0:
            raise SystemExit(f"guard: valgrind ended with {done.returncode}:\n{done.stderr[-3000:]}")
        found = {}
        for part in Path(folder).glob("out.*"):
            head = part.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+)", head, re.MULTILINE)
            total = re.search(r"^(?:summary|totals): (\d+)", head, re.MULTILINE)
            if name and total:
                found[name.group(1)] = int(total.group(1)) / REQUESTS
        return found


def calls(bins: Path) -> dict:
    text = subprocess.run([bins / "bench_guard_calls"], capture_output=True, text=True, check=True).stdout
    return {ring: {"calls": figures["calls"] / figures["batch"]} if figures else None for ring, figures in json.loads(text).items()}


def measure(bins: Path) -> tuple[dict, list[str]]:
    found, skipped = counted(bins), []
    by_trace = instructions(bins)
    if not by_trace:
        skipped.append("instructions: no valgrind")
    for name, count in by_trace.items():
        found[name]["instructions"] = count
    for ring, figures in calls(bins).items():
        if figures is None:
            skipped.append(f"{ring}: forbidden here")
        else:
            found[ring] = figures
    return found, skipped


def compare(found: dict, kept: dict) -> tuple[list[str], list[str]]:
    """What passed and what failed."""
    passed, failed = [], []
    for name, figures in kept.items():
        for figure, before in figures.items():
            now = found.get(name, {}).get(figure)
            if now is None:
                continue
            allowed = ALLOWED[figure]
            change = f"{name} {figure}: {now:g} a request, {before:g} kept"
            if now > before * (1 + allowed / 100) + 1e-9:
                failed.append(f"{change}: more than {allowed:g} % above")
            else:
                fell = now < before * (1 - allowed / 100) - 1e-9
                passed.append(change + (": less; keep it: ./dev guard --write" if fell else ""))
    failed += [f"{name} {figure}: {value:g} a request is not in {KEPT.name}: ./dev guard --write" for name, figures in found.items()
               for figure, value in figures.items() if figure not in kept.get(name, {})]
    return passed, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev guard", description=__doc__.split("\n")[0])
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--write", action="store_true", help="keep what was measured")
    arguments = parser.parse_args()
    found, skipped = measure(arguments.bin.resolve())
    for why in skipped:
        print(f"left out: guard: {why}")
    if arguments.write:
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        for name, figures in found.items():
            kept.setdefault(name, {}).update({figure: round(value, 4) for figure, value in figures.items()})
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        print(f"written: {KEPT}")
        return 0
    passed, failed = compare(found, json.loads(KEPT.read_text()))
    for line in passed:
        print(line)
    for line in failed:
        print(f"FAILED: {line}")
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
