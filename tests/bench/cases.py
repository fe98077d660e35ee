"""All cases. A file of cases has CASES: name -> function of a Bench that returns a result, and QUICK: the names that --quick runs.

A result: {"case", "what" (one line), "unit", "rows": {proxy: {column: number}}, "notes": [...], "targets": {column: at most}}; "runs" may
hold what the rows were made of, for the JSON."""

import importlib
import importlib.util

CASES, QUICK = {}, []
for name in ("http_cases", "memory_cases", "change_cases", "l4_cases"):
    if importlib.util.find_spec(name) is not None:
        module = importlib.import_module(name)
        CASES.update(module.CASES)
        QUICK += getattr(module, "QUICK", [])
