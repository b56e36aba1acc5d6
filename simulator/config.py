"""
How a simulated provider is set up: one value, built in Python or read from a scenario file.
"""

import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from simulator.faults import FaultKind, Phase
from simulator.limits import Limits
from simulator.prices import GEO_FACTORS


class ScenarioError(ValueError):
    """
    A scenario or a setting is not valid; the message names the field, the value and the fix.
    """


@dataclass(frozen=True, slots=True)
class Config:
    """
    The settings of one simulated provider.

    Attributes:
        bill: Where the bill goes; None keeps the sum only.
        latency_ms: Mean time before an answer or the first event of a stream.
        latency_sigma: Spread of that time (lognormal); 0 makes it constant.
        token_ms: Time per output token of a stream.
        bill_on_disconnect: `full`: a stream whose client left is generated to its end and billed so;
            `generated`: generation stops with the client.
        default_geo: Where a call runs that names no `inference_geo`.
        keys: The keys that are let in; None lets every key in.
        restricted: Whether the account may use models of limited availability.
        output_tokens_mean: Mean output of a call that does not say.
        tool_use_ratio: Share of answers that use a tool where the caller offers some.
        search_result_tokens: What the results of one web search add to the prompt.
        phases: Faults, first match wins.
        clock: Seconds since the epoch.
    """

    bill: Path | None = None
    seed: int = 0
    latency_ms: float = 0.0
    latency_sigma: float = 0.5
    token_ms: float = 0.0
    bill_on_disconnect: str = "full"
    default_geo: str = "global"
    keys: tuple[str, ...] | None = None
    restricted: bool = False
    output_tokens_mean: int = 200
    tool_use_ratio: float = 0.5
    chunk_tokens: int = 25
    search_result_tokens: int = 1_500
    retry_after_s: int = 1
    max_body_bytes: int = 32 * 1024 * 1024
    phases: tuple[Phase, ...] = ()
    limits: Limits = Limits()  # noqa: RUF009  # frozen
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        _check(
            self.bill_on_disconnect in ("full", "generated"), "bill_on_disconnect", self.bill_on_disconnect
        )
        _check(self.default_geo in ("us", "global"), "default_geo", self.default_geo)
        for name in ("latency_ms", "latency_sigma", "token_ms", "retry_after_s", "search_result_tokens"):
            _check(getattr(self, name) >= 0, name, getattr(self, name))
        for name in ("output_tokens_mean", "chunk_tokens", "max_body_bytes"):
            _check(getattr(self, name) >= 1, name, getattr(self, name))
        _check(0 <= self.tool_use_ratio <= 1, "tool_use_ratio", self.tool_use_ratio)
        assert set(GEO_FACTORS) >= {"us", "global"}


def _check(right: bool, name: str, value: object) -> None:
    if not right:
        raise ScenarioError(f"{name} = {value!r} is out of range; see docs/reference/simulator.md")


_NOT_IN_FILES = ("bill", "clock", "phases", "limits")


def load_scenario(text: str, base: Config) -> Config:
    """
    Return *base* changed by a scenario in TOML: settings, `[limits]`, `[faults]` rates and `[[phases]]`.

    Phases are asked before the rates, in the order of the file.

    Raises:
        ScenarioError: the text is not TOML, or a field is unknown or malformed.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"the scenario is not TOML: {error}") from error
    limits = _typed(Limits, _section(table, "limits", {}), "limits.")
    phases = [_phase(row, f"phases.{at}.") for at, row in enumerate(_section(table, "phases", []))]
    rates = [
        _phase({"fault": name, "rate": rate}, "faults.")
        for name, rate in _section(table, "faults", {}).items()
    ]
    settings = _typed(Config, table, "", without=_NOT_IN_FILES)
    return replace(
        base,
        **settings,
        limits=replace(base.limits, **limits),
        phases=(*base.phases, *phases, *rates),
    )


def _section(table: dict[str, Any], name: str, empty: Any) -> Any:
    found = table.pop(name, empty)
    if type(found) is not type(empty):
        written = f"[{name}]" if isinstance(empty, dict) else f"[[{name}]]"
        raise ScenarioError(f"{name} = {found!r} is out of place; write it as {written}")
    return found


def _phase(row: Mapping[str, Any], where: str) -> Phase:
    values = _typed(Phase, row, where)
    if values.get("fault") not in tuple(FaultKind):
        raise ScenarioError(f"{where}fault = {values.get('fault')!r} is none of {', '.join(FaultKind)}")
    values["fault"] = FaultKind(values["fault"])
    if not 0 <= values.get("rate", 1.0) <= 1:
        raise ScenarioError(f"{where}rate = {values['rate']!r} is not from 0 to 1")
    return Phase(**values)


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "FaultKind": (str,),
    "tuple[str, ...]": (list,),
}


def _typed(kind: type, row: Mapping[str, Any], where: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    known = {field.name: field.type for field in fields(kind) if field.name not in without}
    values: dict[str, Any] = {}
    if not isinstance(row, dict):
        raise ScenarioError(f"{where.removesuffix('.')} = {row!r} is no table")
    for name, value in row.items():
        if name not in known:
            raise ScenarioError(f"{where}{name} is unknown; there are {', '.join(sorted(known))}")
        expected = _type_name(known[name])
        if type(value) not in _TYPES[expected]:
            raise ScenarioError(f"{where}{name} = {value!r} is no {expected}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return values


def _type_name(annotation: object) -> str:
    name = (
        annotation.__name__
        if isinstance(annotation, type) and annotation in (int, float, str, bool)
        else str(annotation)
    )
    name = name.removesuffix(" | None")
    return "FaultKind" if "FaultKind" in name else name
