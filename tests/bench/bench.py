#!/usr/bin/env python3
"""./dev bench: Ringway against nginx, HAProxy, Envoy, Traefik and Apache httpd on this machine, in one run.

Method: each proxy has one worker and one core of its own; client, origin, controller and this program share the others. Proxies take turns
(A B C A B C …). CPU per request is the run time of all of a proxy's threads from schedstat, plus its core's ksoftirqd, over the requests
the client completed. A run counts only when no request failed, every answer was whole and had come from the origin, both sides kept their
connections, and others used at most 1 % of the proxy's core. Reported are least and median; requests/s and latency of a closed loop on a
small machine are weather. System calls are counted in a run of their own.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report  # noqa: E402
from cases import CASES, QUICK  # noqa: E402
from runner import Bench  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"any of: {' '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"within 3 minutes, for a look: two short rounds, four proxies, of {' '.join(QUICK)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each run")
    parser.add_argument("--only", action="append", metavar="PROXY", help="this proxy, as often as needed")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    parser.add_argument("--render", type=Path, metavar="JSON", help="run nothing: write the reports of an earlier run again")
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    unknown = [c for c in arguments.cases if c not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]}; there are: {' '.join(CASES)}")
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.6
    return arguments


def run(arguments: argparse.Namespace) -> list[dict]:
    shutil.rmtree(arguments.out / "work", ignore_errors=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.bin.resolve(), arguments.out.resolve(), arguments.rounds, arguments.seconds, arguments.quick, arguments.only)
    for why in bench.missing:
        print(f"left out: {why}")
    results = []
    for name in arguments.cases or (QUICK if arguments.quick else CASES):
        print(f"{name}:", flush=True)
        try:
            results.append(CASES[name](bench))
        except Exception as error:  # One case that cannot be run must not cost the rest: a whole run takes most of an hour.
            print(f"  FAILED: {error!r}", flush=True)
            results.append({"case": name, "unit": "", "rows": {}, "notes": [f"{name}: failed: {str(error)[:300]}"], "failed": True})
        # What is done is kept, whatever becomes of the rest.
        (arguments.out / "results.json").write_text(json.dumps({"machine": {}, "results": results}, ensure_ascii=False))
    return results


def main() -> int:
    arguments = parse()
    begin = time.monotonic()
    if arguments.render:
        earlier = json.loads(arguments.render.read_text())
        results, about = earlier["results"], earlier["machine"]
    else:
        results = run(arguments)
        about = {**report.machine(), "command": "./dev bench " + " ".join(a for a in sys.argv[1:] if a not in ("--bin", "--out")
                                                                          and a not in (str(arguments.bin), str(arguments.out)))}
    report.write(results, about, arguments.out)
    if arguments.publish:
        report.publish(results, about, Path(__file__).parents[2] / "docs")
    print(f"{time.monotonic() - begin:.0f} s")
    return 1 if any(r.get("failed") for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
