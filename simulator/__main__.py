"""
`python -m simulator`: serve the simulated provider on the loopback address.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from simulator.config import Config, ScenarioError, load_scenario
from simulator.run import serve


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--bill", type=Path, required=True, metavar="FILE.jsonl", help="appended to")
    parser.add_argument("--seed", type=int, help="of lengths, latencies and faults")
    parser.add_argument("--latency-ms", type=float, metavar="MEAN", help="mean time before an answer")
    parser.add_argument("--bill-on-disconnect", choices=("full", "generated"))
    parser.add_argument("--scenario", type=Path, metavar="FILE.toml", help="faults, phases, limits")
    return parser


def _config(arguments: argparse.Namespace) -> Config:
    config = Config(bill=arguments.bill)
    if arguments.scenario is not None:
        config = load_scenario(arguments.scenario.read_text("utf-8"), config)
    given = {name: getattr(arguments, name) for name in ("seed", "latency_ms", "bill_on_disconnect")}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def main() -> int:
    """
    Run until stopped; 2 is a mistake in the arguments, 1 a port or file that cannot be had.
    """
    try:
        arguments = _arguments().parse_args()
        config = _config(arguments)
    except (ScenarioError, UnicodeDecodeError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    try:
        serve(config, arguments.port)
    except (OSError, OverflowError) as error:
        print(f"simulator: cannot serve on port {arguments.port}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
