"""
Counts tool definitions: their JSON, what the provider adds to each kind, and the loops of the tools it runs
itself.

A tool that the provider runs without a limit in the body has no bound, and neither has a kind that we do
not know.
"""

from collections.abc import Mapping

from pricing.tally import RequestInvalid, Tally, as_list, as_object, note_cache_control, surface, whole

TOOL_TOKENS = 64  # frame of one tool definition
TOOL_PROMPT_TOKENS = 2_048  # the provider's system prompt for tool use; documented 159 to 804 per model
TOOL_PROMPT_TYPICAL_BYTES = 1_600
LOOP_SAMPLINGS = 11  # documented: a server tool loop pauses after 10 iterations, then answers once


def scan_tools(tally: Tally, tools: object, at: str, *, inline: bool = False) -> None:
    if tools is None:
        return
    entries = as_list(tools, at)
    if not inline:
        tally.enter("tools")
    if entries:
        tally.tokens(TOOL_PROMPT_TOKENS)
        tally.here.typical_bytes += TOOL_PROMPT_TYPICAL_BYTES
    for index, entry in enumerate(entries):
        place = at if inline else f"{at}[{index}]"
        tool = as_object(entry, place)
        note_cache_control(tally, tool, f"{place}.")
        tally.tokens(TOOL_TOKENS)
        tally.json(tool, place)
        _tool_kind(tally, tool, place)


def _tool_kind(tally: Tally, tool: Mapping[str, object], at: str) -> None:
    """Add what a tool costs beyond its JSON, by its kind."""
    kind = tool.get("type")
    if kind is None or kind == "custom":
        return
    if not isinstance(kind, str):
        raise RequestInvalid(f"{at}.type", kind, "expected the kind of the tool")
    if kind.startswith("web_search_"):
        _web_search(tally, tool, kind, at)
        return
    if kind.startswith("tool_search_tool_"):
        tally.tokens(TOOL_PROMPT_TOKENS)
        tally.samplings = LOOP_SAMPLINGS
        return
    for prefix, why in surface().unbounded_tools.items():
        if kind.startswith(prefix):
            tally.no_bound(at, why)
            return
    extra = max(
        (tokens for name, tokens in surface().client_tools.items() if kind.startswith(name)), default=None
    )
    if extra is None:
        tally.no_bound(at, f'unknown tool "{kind}", it may be billed')
    else:
        tally.tokens(extra)


def _web_search(tally: Tally, tool: Mapping[str, object], kind: str, at: str) -> None:
    """
    Count searches with `max_uses`; each may be its own sampling, and one more may ask in vain.

    From version 20260209 on, results may be filtered by code that calls the tool, with samplings of its own.
    """
    tally.tokens(TOOL_PROMPT_TOKENS)
    uses = tool.get("max_uses")
    if uses is None:
        tally.no_bound(f"{at}.max_uses", "web search without max_uses has no bound; set max_uses")
        return
    tally.searches_max += whole(uses, f"{at}.max_uses")
    direct = kind == "web_search_20250305" or tool.get("allowed_callers") == ["direct"]
    samplings = tally.searches_max + 2 if direct else LOOP_SAMPLINGS
    tally.samplings = max(tally.samplings, min(samplings, LOOP_SAMPLINGS))
