"""
The packaged trace is small, real, and thinned without favour.
"""

import csv
import gzip
import runpy
from collections import Counter
from importlib.resources import files
from pathlib import Path

from outlay.demo.tenants import TENANTS
from outlay.demo.trace import DAY_S, load_trace, thinned

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "make_demo_extract.py"


def test_the_extract_is_small_and_carries_its_licence() -> None:
    """The packaged data stays under 200 kB and names source and licence."""
    folder = files("outlay.demo").joinpath("data")
    assert len(folder.joinpath("trace.csv.gz").read_bytes()) < 200_000
    note = folder.joinpath("LICENCE.md").read_text("utf-8")
    assert "ServeGen" in note
    assert "Apache License 2.0" in note


def test_the_trace_is_a_day_of_the_six_callers_in_order() -> None:
    """Rows stand in order of time within one day, and belong to the callers that tenants play."""
    rows = load_trace()
    times = [row.at_s for row in rows]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < DAY_S
    assert {row.caller for row in rows} == {spec.caller for spec in TENANTS}
    assert all(row.input_tokens > 0 and row.output_tokens > 0 for row in rows)


def test_thinning_takes_of_every_caller_the_same_share() -> None:
    """A third of the trace holds a third of each caller's calls, spread over the day."""
    rows = load_trace()
    all_of, third = Counter(row.caller for row in rows), thinned(rows, len(rows) // 3)
    for caller, count in Counter(row.caller for row in third).items():
        assert count == all_of[caller] // 3
    assert third[0].at_s < DAY_S / 24
    assert third[-1].at_s > DAY_S * 23 / 24


def test_thinning_to_more_than_there_is_changes_nothing() -> None:
    """No row is invented."""
    rows = load_trace()
    assert thinned(rows, len(rows) + 1) == rows


def test_the_script_takes_rows_as_they_are(tmp_path: Path) -> None:
    """The script that made the extract leaves out rows of other days and callers, and changes no value."""
    source, target = tmp_path / "days.csv.gz", tmp_path / "trace.csv.gz"
    with gzip.open(source, "wt", newline="") as file:
        file.write("t_s,day,tenant,input_tokens,output_tokens,prompt_id\n")
        file.write("7.5,2,t014,11,3,a\n8.0,3,t014,12,4,b\n6.5,2,t030,13,5,c\n9.0,2,t999,14,6,d\n")
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([str(source), str(target)]) == 0
    with gzip.open(target, "rt", newline="") as file:
        assert list(csv.reader(file)) == [
            ["t_s", "tenant", "input_tokens", "output_tokens"],
            ["6.5", "t030", "13", "5"],
            ["7.5", "t014", "11", "3"],
        ]
    once = target.read_bytes()
    main([str(source), str(target)])
    assert target.read_bytes() == once
