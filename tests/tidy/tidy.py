#!/usr/bin/env python3
"""Rules of the repository that no compiler checks. Run by ctest; `tidy.py ROOT` prints one line per fault and exits 1 if there is one.

A line that must break a banned-call rule says why, with `tidy: allow(NAME)` in a comment on it or on the line above.
"""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
TEST_FUNCTION_LINES_MAX = 100  # Tables of cases are long and have one job.

# The order of includes: a room may include itself and the rooms it names here, all the way down. base and api are open to all.
MAY_INCLUDE = {
    "base": set(),
    "api": set(),
    "dataplane/io": set(),
    "dataplane/net": {"dataplane/io"},
    "dataplane/tls": {"dataplane/net"},
    "dataplane/http": {"dataplane/tls"},
    "dataplane/upstream": {"dataplane/http"},
    "dataplane/route": {"dataplane/http"},
    "dataplane/config": {"dataplane/upstream", "dataplane/route"},
    "dataplane/observe": {"dataplane/config"},
    "dataplane/proxy": {"dataplane/observe"},
    "dataplane/worker": {"dataplane/proxy"},
    "dataplane/process": {"dataplane/worker"},
    "dataplane/control": {"dataplane/process"},
    "dataplane": {"dataplane/control"},
    "controlplane": set(),
    "cli": {"controlplane"},  # `ringway check` translates in its own process.
}

SOURCE_SUFFIXES = {".h", ".cc", ".c"}

# name, what it looks like, rooms where it may stand, what to do instead
BANNED_CALLS = [
    ("clock", r"\b(clock_gettime|gettimeofday|(system|steady|high_resolution)_clock::now)\s*\(",
     {"base", "tests", "controlplane/serve"}, "use base/clock.h"),  # gRPC's deadlines are of the system clock.
    ("random", r"\b(s?rand|drand48|rand_r)\s*\(|\bstd::(random_device|mt19937(_64)?)\b",
     {"base", "tests", "dataplane/control"}, "use base/random.h"),  # The control thread seeds the others.
    ("getenv", r"\b(secure_)?getenv\s*\(", {"tests"}, "settings come from flags and the discovery stream"),
    ("sleep", r"\b(u|nano|clock_nano)?sleep\s*\(|\bsleep_(for|until)\s*\(", {"tests"}, "use a timer of the loop"),
    ("system", r"\b(system|popen)\s*\(", {"tests"}, "no shell"),
]
TEST_NAME = re.compile(r"(_test|_bench|_benchmark|_fuzz|_testing|_for_test)\.(cc|h|c)$|/test_[a-z_]+\.(cc|h)$|/ring_suite|/testing/")

LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# A comment that is one statement: ends with ; or { or }, and looks like a call, an assignment or a keyword.
DEAD_CODE = re.compile(
    r"^\s*//\s*(?:(?:if|for|while|switch|return|else)\b.*[;{]|[\w:.\->\[\]]+\s*(?:=|\+=|-=)\s*[^=].*;|[\w:.\->]+\(.*\);)\s*$")


def tracked_files(root: Path) -> list[str]:
    """Files of the project: git's list where there is one, else the tree without build output."""
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return [f for f in listing.stdout.splitlines() if (root / f).is_file()]
    return [str(f.relative_to(root)) for f in root.rglob("*") if f.is_file() and "build" not in f.relative_to(root).parts]


def room_of(path: str) -> str | None:
    parts = Path(path).parts
    if parts[0] == "dataplane":
        return "/".join(parts[:2]) if len(parts) > 2 else "dataplane"
    return parts[0] if parts[0] in MAY_INCLUDE else None


def reachable(room: str) -> set[str]:
    seen, todo = set(), [room]
    while todo:
        room = todo.pop()
        if room not in seen:
            seen.add(room)
            todo.extend(MAY_INCLUDE[room])
    return seen


def check_includes(path: str, lines: list[str]) -> list[str]:
    room = room_of(path)
    if room is None or room not in MAY_INCLUDE:
        return [] if room is None else [f"{path}:1: room '{room}' is not in the order of includes (tests/tidy/tidy.py)"]
    allowed = reachable(room) | {"base", "api"}
    faults = []
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#include\s+"((?:base|dataplane|controlplane|cli)/[^"]+)"', line)
        if not match:
            continue
        target = room_of(match.group(1))
        if target in allowed:
            continue
        # Tests may borrow the simulated ring and fakes of any room of their own plane.
        if TEST_NAME.search(path) and target.split("/")[0] == room.split("/")[0]:
            continue
        faults.append(f"{path}:{number}: {room} must not include {target}")
    return faults


def strip_literals(lines: list[str]) -> list[str]:
    """The lines with strings and comments blanked, so that braces can be counted. Raw strings too."""
    text = "\n".join(lines)

    def blank(match: re.Match) -> str:
        return re.sub(r"[^\n]", " ", match.group(0))

    text = re.sub(r'R"([^()\\ ]{0,16})\((?:.|\n)*?\)\1"|//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
                  blank, text)
    return text.split("\n")


def check_functions(path: str, lines: list[str]) -> list[str]:
    """Approximate: a block whose opening line (or the lines just above) ends a parameter list is a function."""
    faults, stack = [], []
    longest = TEST_FUNCTION_LINES_MAX if TEST_NAME.search(path) or path.startswith("tests/") else FUNCTION_LINES_MAX
    code = strip_literals(lines)
    pending = ""
    for number, line in enumerate(code, 1):
        for char in line + "\n":
            if char == "{":
                head = pending.strip()
                is_function = bool(re.search(r"\)\s*(?:(?:const|noexcept|override|final|mutable|&&?)\s*|->\s*[\w:<>,&*\s\[\]]+|:\s*[\w:]+[({].*)*$",
                                             head, re.S))
                if re.match(r"(?:else\s+|\}\s*)*(?:if|for|while|switch|catch)\b", head) or "[" in head and "=" in head:
                    is_function = False
                inside = any(kind for kind, _, _ in stack)
                name = re.search(r"([\w:~]+)\s*\(", head)
                stack.append((is_function and not inside, number, name.group(1) if name else "?"))
                pending = ""
            elif char == "}":
                if stack:
                    is_function, first, name = stack.pop()
                    length = number - first + 1
                    if is_function and length > longest:
                        faults.append(f"{path}:{first}: function {name} has {length} lines, at most {longest}")
                pending = ""
            elif char == ";":
                pending = ""
            else:
                pending += char
    return faults


def check_lines(path: str, lines: list[str]) -> list[str]:
    faults = []
    is_test = bool(TEST_NAME.search(path)) or path.startswith(("tests/", "e2e/"))
    places = {room_of(path), "/".join(Path(path).parts[:2]), path.split("/")[0]}
    code = strip_literals(lines)
    for number, line in enumerate(lines, 1):
        if LEFTOVER.search(line):
            faults.append(f"{path}:{number}: leftover: {line.strip()}")
        if DEAD_CODE.match(line):
            faults.append(f"{path}:{number}: commented-out code: {line.strip()}")
        for name, pattern, rooms, instead in BANNED_CALLS:
            if is_test or places & rooms or not re.search(pattern, code[number - 1]):
                continue
            nearby = line + (lines[number - 2] if number > 1 else "")
            if f"tidy: allow({name})" not in nearby:
                faults.append(f"{path}:{number}: {name}: {instead}")
    return faults


def check_built(files: list[str], root: Path) -> list[str]:
    """Every .cc and .c is named by the CMakeLists.txt of its folder or of one above."""
    faults = []
    texts = {f: (root / f).read_text() for f in files if f.endswith("CMakeLists.txt")}
    for path in files:
        if Path(path).suffix not in {".cc", ".c"}:
            continue
        named = False
        for parent in Path(path).parents:
            text = texts.get(str(parent / "CMakeLists.txt") if str(parent) != "." else "CMakeLists.txt")
            if text is not None:
                relative = str(Path(path).relative_to(parent))
                stem = relative.removesuffix(Path(path).suffix)
                globbed = [g for call in re.findall(r"file\(GLOB\s+([^)]*)\)", text) for g in call.split()]
                named = named or any(fnmatch.fnmatch(relative, g) for g in globbed) or bool(re.search(rf"(?<![\w/]){re.escape(relative)}(?![\w.])", text)) or \
                    "${name}" in text and re.search(rf"(?<![\w/]){re.escape(Path(stem).name)}(?![\w.])", text) is not None
        if not named and "tests/fuzz/replay_main.cc" != path:
            faults.append(f"{path}:1: no CMakeLists.txt builds this file")
    return faults


def check_file(path: str, text: str) -> list[str]:
    lines = text.splitlines()
    faults = []
    if len(lines) > FILE_LINES_MAX:
        faults.append(f"{path}:1: {len(lines)} lines, at most {FILE_LINES_MAX}")
    if path.endswith(".h") and "#pragma once" not in text:
        faults.append(f"{path}:1: no #pragma once")
    faults += check_includes(path, lines)
    faults += check_lines(path, lines)
    faults += check_functions(path, lines)
    return faults


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = tracked_files(root)
    faults = check_built(files, root)
    count = 0
    for path in files:
        if Path(path).suffix in SOURCE_SUFFIXES:
            count += 1
            faults += check_file(path, (root / path).read_text())
    for fault in sorted(faults):
        print(fault)
    print(f"tidy: {count} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
