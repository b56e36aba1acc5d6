"""
Time that `import outlay` takes, and what the first use of its main names adds; each in a Python of its own.

The start of Python itself is not counted. Files are warm: a first run is thrown away.

    python benchmarks/import_time.py --runs 15 --json
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys

CASES = {
    "import outlay": "import outlay",
    "outlay.open (with SQLAlchemy)": "import outlay; outlay.open",
    "outlay.middleware (with the SDK)": "import outlay; outlay.middleware",
}
_PROGRAM = "import time\nt = time.perf_counter()\n{}\nprint((time.perf_counter() - t) * 1000)"


def measured_ms(statement: str) -> float:
    """
    Run a statement in a fresh Python and give its time.
    """
    words = [sys.executable, "-c", _PROGRAM.format(statement)]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """
    Measure every case and print the medians.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {}
    for name, statement in CASES.items():
        times = sorted([measured_ms(statement) for _ in range(asked.runs + 1)][1:])
        found[name] = {"median_ms": round(statistics.median(times), 1), "slowest_ms": round(times[-1], 1)}
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    if asked.json:
        print(json.dumps({"machine": machine, "runs": asked.runs, "cases": found}))
        return
    print(f"{machine}; {asked.runs} runs each")
    for name, times_ms in found.items():
        print(f"{name:34} median {times_ms['median_ms']:7.1f} ms, slowest {times_ms['slowest_ms']:7.1f} ms")


if __name__ == "__main__":
    main()
