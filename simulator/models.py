"""
The models on offer and what each of them accepts, read from `data/models.toml`.

Decides which id names which model; the rules themselves are applied in `rules.py`.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_DATED = re.compile(r"-\d{8}$")


@dataclass(frozen=True, slots=True)
class Model:
    """
    One model: its limits and the settings that it accepts.
    """

    id: str
    aliases: tuple[str, ...]
    display_name: str
    line: str
    created_at: str
    context_tokens: int
    max_output_tokens: int
    tokenizer: str
    efforts: tuple[str, ...]
    default_effort: str
    thinking: tuple[str, ...]
    disabled_thinking_efforts: tuple[str, ...]
    thinks_by_default: bool
    forced_tool_choice: bool
    sampling: bool
    prefill: bool
    thinking_binding: str
    min_cacheable_tokens: int
    fast: bool
    fast_beta: bool
    geo: bool
    system_messages: bool
    restricted: bool

    def info(self) -> dict[str, object]:
        """
        Return the body of `GET /v1/models/ID`.
        """
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": self.created_at,
            "line": self.line,
            "lifecycle": "active",
            "deprecated_at": None,
            "retires_at": None,
            "max_input_tokens": self.context_tokens,
            "max_tokens": self.max_output_tokens,
            "capabilities": _capabilities(self),
        }


def _supported(yes: bool) -> dict[str, bool]:
    return {"supported": yes}


def _capabilities(model: Model) -> dict[str, object]:
    yes, no = _supported(True), _supported(False)
    levels = ("low", "medium", "high", "xhigh", "max")
    kinds = ("adaptive", "between_tools", "disabled", "enabled")
    return {
        "batch": no,
        "citations": no,
        "code_execution": no,
        "context_management": {"supported": False},
        "effort": {
            "supported": bool(model.efforts),
            **{level: _supported(level in model.efforts) for level in levels},
        },
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "code_execution": no, "web_search": yes},
        "structured_outputs": yes,
        "thinking": {
            "supported": True,
            "types": {kind: _supported(kind in model.thinking) for kind in kinds},
        },
    }


@cache
def catalogue() -> tuple[Model, ...]:
    """
    Return every model of the table, in its order.
    """
    table = tomllib.loads(files("simulator").joinpath("data/models.toml").read_text("utf-8"))
    return tuple(_model({**table["defaults"], **row}) for row in table["models"])


def _model(row: Mapping[str, object]) -> Model:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Model(**values)  # type: ignore[arg-type]  # the table is checked by tests, field by field


@cache
def _names() -> dict[str, Model]:
    return {name: model for model in catalogue() for name in (model.id, *model.aliases)}


def find(name: str, *, restricted: bool) -> Model | None:
    """
    Return the model that *name* stands for, or None for a name that the provider does not know.

    Args:
        restricted: Whether the account may use models of limited availability.
    """
    model = _names().get(name) or _names().get(_DATED.sub("", name))
    if model is None or (model.restricted and not restricted):
        return None
    return model
