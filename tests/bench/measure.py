"""CPU time, memory and the purity of a core, read from /proc. All times are nanoseconds."""

import os
import re
import threading
import time
from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += process_tree(int(child))
        except OSError:
            continue
    return found


def _run_ns(path: Path) -> int:
    try:
        return int(path.read_text().split()[0])
    except (OSError, IndexError):
        return 0


def cpu_ns(pids: list[int]) -> int:
    """Time all threads of these processes ran; threads that ended are not in it, and a proxy in a measurement ends none."""
    return sum(_run_ns(stat) for pid in pids for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def context_switches(pids: list[int]) -> int:
    """Voluntary and not, of all threads of these processes."""
    total = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            try:
                total += sum(int(n) for n in re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE))
            except OSError:
                continue
    return total


def ksoftirqd(core: int) -> int:
    """Process id of the core's softirq thread: network work of a send that did not run in the sender's own time."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == f"ksoftirqd/{core}":
                return int(comm.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"no ksoftirqd/{core}: is /proc whole?")


class ForeignWatch(threading.Thread):
    """Adds up the run time of all threads but the named ones, as long as they are on the core. Looks several times a second, so that
    a process that comes and goes in the middle is seen too."""

    def __init__(self, core: int, own: set[int]):
        super().__init__(daemon=True)
        self.core, self.own, self.foreign_ns = core, own, 0
        self._last: dict[str, int] = {}
        self._end = threading.Event()

    def _look(self):
        now: dict[str, int] = {}
        for process in os.scandir("/proc"):
            if not process.name.isdigit() or int(process.name) in self.own:
                continue
            try:
                for task in os.scandir(f"/proc/{process.name}/task"):
                    run = _run_ns(Path(task.path, "schedstat"))
                    now[task.path] = run
                    # A thread that is new counts from nothing: it began since the last look.
                    if run > self._last.get(task.path, 0 if self._last else run):
                        fields = Path(task.path, "stat").read_text().rsplit(")", 1)[1].split()
                        if int(fields[36]) == self.core:
                            self.foreign_ns += run - self._last.get(task.path, 0 if self._last else run)
            except OSError:
                continue
        self._last = now

    def run(self):
        self._look()
        while not self._end.wait(0.25):
            self._look()
        self._look()

    def end(self) -> int:
        self._end.set()
        self.join()
        return self.foreign_ns


def rss_bytes(pids: list[int]) -> int:
    """Resident memory of a process tree, pages shared between its processes counted once (PSS)."""
    total = 0
    for pid in pids:
        try:
            match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:  # It ended.
            continue
        total += int(match.group(1)) * 1024 if match else 0
    return total


class CoreMeter:
    """What a proxy used between start() and stop(), and what others took of its core."""

    def __init__(self, pids: list[int], core: int):
        self.pids, self.core, self.softirq = pids, core, ksoftirqd(core)

    def _read(self) -> tuple[int, int, int, int]:
        return cpu_ns(self.pids), _run_ns(Path(f"/proc/{self.softirq}/schedstat")), context_switches(self.pids), time.monotonic_ns()

    def start(self):
        self._watch = ForeignWatch(self.core, {*self.pids, self.softirq})
        self._watch.start()
        self._begin = self._read()

    def stop(self) -> dict:
        proxy, softirq, switches, wall = (after - before for before, after in zip(self._begin, self._read()))
        return {"cpu_ns": proxy + softirq, "softirq_ns": softirq, "switches": switches, "wall_ns": wall, "foreign_share": self._watch.end() / wall}
