"""
At which effort a model works on a request; a switch of models or a shortage of money never raises it.
"""

from functools import lru_cache
from typing import Final

from pricing.facts import ModelFacts
from router.types import EFFORTS


def fit_effort(
    served: ModelFacts,
    *,
    asked: ModelFacts | None,
    asked_effort: str | None,
    tier_effort: str | None,
    cap: str | None,
) -> str | None:
    """
    Give the effort of a call.

    Args:
        asked: Model that the caller named, None when the router chose it.
        asked_effort: Effort in the body.
        tier_effort: Highest effort of the serving tier; the setting for calls that name neither model nor
            effort.
        cap: Highest effort that degradation allows.
    Returns:
        A level of the served model, the lowest it has when all are above what is wanted; None when it has
        none. A caller's own level stands, known or not, at the model the caller named and under no cap.
    """
    if not served.efforts:
        return None
    wanted = asked_effort or _default(served, asked, tier_effort)
    limits = [limit for limit in (tier_effort, cap) if limit is not None]
    level = min((wanted, *limits), key=_rank) if wanted is not None else None
    if level is None or (asked is not None and asked.id == served.id and level == wanted):
        return level
    return clamp(level, served.efforts)


@lru_cache(maxsize=1_000)
def clamp(level: str, efforts: tuple[str, ...]) -> str:
    """
    Give the highest of the known levels that is not above the wanted one, else the lowest.
    """
    ordered = sorted(efforts, key=_rank)
    fitting = [effort for effort in ordered if _rank(effort) <= _rank(level)]
    return fitting[-1] if fitting else ordered[0]


def least_effort(wanted: str | None, limit: str | None) -> str | None:
    """
    Give the lower of a wanted effort and a limit; None is no limit.
    """
    if wanted is None or limit is None:
        return wanted
    return min(wanted, limit, key=_rank)


def _default(served: ModelFacts, asked: ModelFacts | None, tier_effort: str | None) -> str | None:
    """Give the effort that an unset one means."""
    if asked is None:
        return tier_effort or served.default_effort
    return asked.default_effort or served.default_effort


_RANKS: Final = {level: rank for rank, level in enumerate(EFFORTS)}


def _rank(level: str) -> int:
    """Order the levels; one that is not known here counts as the highest."""
    return _RANKS.get(level, len(EFFORTS))
