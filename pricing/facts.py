"""
What each model accepts and how it counts tokens, read once from the packaged `data/models.toml`.

Facts are data with a date; this module only reads and looks them up. A name that is not in the file is
unknown: it is never matched by likeness.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from pricing.money import PPM

_SNAPSHOT = re.compile(r"(.+)-20[0-9]{6}")
_NO_GEO = (None, "global", "not_available")


class UnknownModel(LookupError):  # noqa: N818 reads better without a suffix
    """
    The model is not among the packaged facts, so nothing about it may be assumed.
    """


class UnknownGeo(LookupError):  # noqa: N818 reads better without a suffix
    """
    The inference geography has no known multiplier, so its price is unknown.
    """


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """
    How one tokenizer generation counts: typical text, and the most that an image can take.
    """

    name: str
    bytes_per_100_tokens: int
    image_tokens_max: int
    pdf_page_tokens_expected: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """
    What one model accepts, as of the date in the data file.

    Args:
        efforts: Effort levels, lowest first; empty when the model takes no effort.
        disabled_thinking_efforts: Efforts at which thinking "disabled" is accepted; None is no restriction.
        thinking_binding: Whom thinking blocks in the history are bound to: model, account or none.
        geo_ppm: Multiplier on token prices per inference geography; empty when the model takes none.
    """

    id: str
    line: str
    tokenizer: str
    context_tokens: int
    max_output_tokens: int
    efforts: tuple[str, ...]
    default_effort: str | None
    thinking: frozenset[str]
    disabled_thinking_efforts: tuple[str, ...] | None
    forced_tool_choice: bool
    sampling: bool
    prefill: bool
    thinking_binding: str
    min_cacheable_tokens: int
    fast: bool
    geo_ppm: Mapping[str, int] = field(hash=False)
    aliases: tuple[str, ...]


def model_facts(model: str) -> ModelFacts:
    """
    Look up a model by id, alias, or id with a snapshot date (`-20YYMMDD`).

    Raises:
        UnknownModel: no such model in the packaged facts.
    """
    facts = _by_name().get(model)
    if facts is None:
        snapshot = _SNAPSHOT.fullmatch(model)
        facts = _by_name().get(snapshot.group(1)) if snapshot is not None else None
    if facts is None:
        raise UnknownModel(f'model "{model}" is unknown; known models: {", ".join(known_models())}')
    return facts


def known_models() -> tuple[str, ...]:
    """
    Return the ids of all known models, in the order of the data file (dearest line first).
    """
    return tuple(_data()["models"])


def facts_version() -> str:
    """
    Return the date of the packaged facts.
    """
    return str(_data()["checked"])


def tokenizer(name: str) -> Tokenizer:
    """
    Return the counting facts of a tokenizer generation.
    """
    return _tokenizers()[name]


def known_geos() -> frozenset[str]:
    """
    Return the inference geographies that have a known multiplier.
    """
    return frozenset(_data()["geo_ppm"])


def geo_ppm(model: str, geo: str | None) -> int:
    """
    Return the multiplier on a model's token prices for a billed geography.

    A model that takes no geography is not multiplied: the provider rejects the field, and a default of the
    workspace does not apply to it.

    Raises:
        UnknownGeo: the geography is not in the packaged facts.
        UnknownModel: the geography is multiplied and the model is unknown.
    """
    if geo in _NO_GEO:
        return PPM
    if geo not in known_geos():
        raise UnknownGeo(f'inference geography "{geo}" has no known multiplier')
    return model_facts(model).geo_ppm.get(str(geo), PPM)


def dearest_geo_ppm(model: str) -> int:
    """
    Return the largest multiplier that a model's token prices can have, wherever it runs.

    Raises:
        UnknownModel: no such model in the packaged facts.
    """
    return max((PPM, *model_facts(model).geo_ppm.values()))


@cache
def _data() -> dict[str, Any]:
    """Read the packaged file once."""
    return tomllib.loads(files("pricing").joinpath("data/models.toml").read_text("utf-8"))


@cache
def _tokenizers() -> dict[str, Tokenizer]:
    return {name: Tokenizer(name=name, **raw) for name, raw in _data()["tokenizers"].items()}


@cache
def _by_name() -> dict[str, ModelFacts]:
    by_name: dict[str, ModelFacts] = {}
    for name, raw in _data()["models"].items():
        facts = _parse(name, raw)
        for key in (name, *facts.aliases):
            assert key not in by_name, f"{key} is listed twice in models.toml"
            by_name[key] = facts
    return by_name


def _parse(name: str, raw: Mapping[str, Any]) -> ModelFacts:
    values = dict(raw)
    for key in ("efforts", "aliases", "disabled_thinking_efforts"):
        if key in values:
            values[key] = tuple(values[key])
    values["thinking"] = frozenset(values["thinking"])
    values.setdefault("aliases", ())
    values.setdefault("default_effort", None)
    values.setdefault("disabled_thinking_efforts", None)
    values["geo_ppm"] = dict(_data()["geo_ppm"]) if values.pop("geo") else {}
    return ModelFacts(id=name, **values)
