"""What the benchmark and the guard decide, without a proxy."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import guard  # noqa: E402
import report  # noqa: E402
from proxies import Setup  # noqa: E402
from runner import LoadCase, add_ratio, summary, unequal  # noqa: E402

REPORT = {"ok": 1000, "failed": 0, "unsent": 0, "connects": 64, "body_bytes": 128_000, "handshakes": 64, "resumed": 0}
ORIGIN = {"requests": 1000, "accepted": 64, "body_bytes": 0}
CASE = LoadCase("case", "a case", {"connections": 64})
NEW = LoadCase("new", "fresh", {"connections": 16, "per_connection": 1}, Setup(tls="ecdsa"))


def test_equal_work_has_no_problem():
    assert unequal(CASE, REPORT, ORIGIN) == []


def test_each_inequality_is_named():
    assert "failed" in unequal(CASE, {**REPORT, "failed": 1}, ORIGIN)[0]
    assert "never began" in unequal(CASE, {**REPORT, "unsent": 5}, ORIGIN)[0]
    assert "fewer requests" in unequal(CASE, REPORT, {**ORIGIN, "requests": 999})[0]
    assert "connects to the origin" in unequal(CASE, REPORT, {**ORIGIN, "accepted": 1000})[0]
    assert "connects by the client" in unequal(CASE, {**REPORT, "connects": 1000}, ORIGIN)[0]
    assert "short" in unequal(CASE, {**REPORT, "body_bytes": 127_999}, ORIGIN)[0]
    upload = LoadCase("upload", "", {"connections": 64, "upload": 10})
    assert "fewer bytes" in unequal(upload, REPORT, {**ORIGIN, "body_bytes": 9_999})[0]


def test_a_resumed_handshake_is_no_full_one_and_the_other_way_round():
    fresh, origin = {**REPORT, "connects": 1000, "handshakes": 1000}, {**ORIGIN, "accepted": 16}
    assert unequal(NEW, fresh, origin) == []
    assert "handshakes resumed" in unequal(NEW, {**fresh, "resumed": 1}, origin)[0]
    resumed = LoadCase("resumed", "", {**NEW.load, "tls_resume": 1}, Setup(tls="ecdsa"))
    assert unequal(resumed, {**fresh, "resumed": 990}, origin) == []
    assert "only 10" in unequal(resumed, {**fresh, "resumed": 10}, origin)[0]


def run(figure: float, *problems: str) -> dict:
    return {"figure": figure, "rps": 1.0, "busy": 1.0, "switches": 0.0, "problems": list(problems),
            "report": {"p50_us": 1, "p99_us": 2, "p999_us": 3}}


def test_a_run_with_a_problem_does_not_count():
    row = summary([run(1.0, "another process"), run(3.0), run(2.0)])
    assert (row["min"], row["median"], row["counted"]) == (2.0, 2.5, 2)
    assert summary([run(1.0, "x"), run(3.0, "y")])["counted"] == 0


def test_ratio_is_to_the_better_of_two():
    rows = {"nginx": {"min": 20.0}, "haproxy": {"min": 16.0}, "envoy": {"min": 40.0}, "ringway": {"min": 8.0}}
    add_ratio(rows, "min")
    assert (rows["ringway"]["ratio"], rows["ringway"]["envoy_ratio"]) == (0.5, 0.2)
    result = {"case": "c", "what": "", "unit": "CPU µs per request", "rows": rows, "notes": [], "targets": {"ratio": 0.4, "envoy_ratio": 0.25, "epoll_ratio": 0.9}}
    assert ["MISSED" in line for line in report.verdict_lines(result)] == [True, False]
    assert report.overview([result])[1][-1] == "÷ best ≤ 0.40 **missed**, ÷ Envoy ≤ 0.25"


def test_publish_replaces_only_what_is_between_the_marks(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    result = {"case": "c", "what": "w", "unit": "ms", "rows": {"ringway": {"median_ms": 1.0}}, "notes": ["a note"]}
    report.publish([result], {"cpu": "x"}, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text and "a note" in text and "### c" in text


def test_the_guard_fails_on_a_rise_and_tells_a_fall():
    kept = {"get": {"instructions": 1000.0, "allocations": 0.0}}
    passed, failed = guard.compare({"get": {"instructions": 1019.0, "allocations": 0.0}}, kept)
    assert (len(passed), failed) == (2, [])
    assert "1021" in guard.compare({"get": {"instructions": 1021.0}}, kept)[1][0]
    assert "allocations" in guard.compare({"get": {"allocations": 0.002}}, kept)[1][0]
    assert "less; keep it" in guard.compare({"get": {"instructions": 900.0}}, kept)[0][0]
    assert "is not in" in guard.compare({"new": {"instructions": 1.0}}, kept)[1][0]


def test_what_is_kept_has_every_figure_of_every_trace():
    kept = json.loads(guard.KEPT.read_text())
    assert {"io_uring", "epoll"} <= kept.keys()
    for name, figures in kept.items():
        wanted = {"calls"} if name in ("io_uring", "epoll") else {"instructions", "allocations", "submissions"}
        assert figures.keys() == wanted, name
