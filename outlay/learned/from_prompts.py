"""
Examples from a tenant's own scored calls: the owner brings the prompts, Outlay has the scores.

A call becomes an example where answers of two tiers to it were scored: what served it and what was tried
beside it, or the attempts of a cascade. Outlay keeps no prompts, so they come in a file and leave with it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select

from outlay.errors import BadInput
from outlay.learned.examples import Example
from outlay.learned.reading import PROMPT_MAX, read_rows
from outlay.scores_sql import Score, counting
from outlay.tables import decision as decisions
from outlay.tables import score as scores
from pricing.money import PPM
from router.policy import Policy

ID_MAX: Final = 200
_AT_ONCE: Final = 400
_IDS: Final = ("decision", "decision_id", "call", "call_id")
_FIX: Final = "Give each row decision (the header outlay-decision-id of its answer) and prompt."


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The prompt of a call, which the id of any of its decisions names.
    """

    decision: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Joined:
    """
    Prompts and scores brought together.

    Attributes:
        left_out: Rows that made no example, by why: unknown_decision, no_score, no_smaller_tier,
            no_larger_tier.
    """

    rows: int
    examples: tuple[Example, ...]
    left_out: Mapping[str, int]


def read_prompts(path: str) -> list[Asked]:
    """
    Read a file of decisions and their prompts: CSV or JSON Lines, plain or gzip.

    Raises:
        BadInput: The file cannot be read, or a row is wrong; file, row and field are named.
    """
    found: dict[str, int] = {}
    asked = []
    for place, row in read_rows(path, (_IDS, ("prompt",)), _FIX):
        where = f"{path}, row {place}"
        one = _asked(row, where)
        if one.decision in found:
            said = f"stands in row {found[one.decision]} already"
            raise BadInput(f"{where}: decision", one.decision, said, "Give each decision once.")
        found[one.decision] = place
        asked.append(one)
    return asked


def _asked(row: Mapping[str, Any], where: str) -> Asked:
    decision = next((row[name] for name in _IDS if row.get(name)), None)
    if not isinstance(decision, str) or len(decision) > ID_MAX or not decision.isprintable():
        raise BadInput(f"{where}: decision", decision, "is not the id of a decision", _FIX)
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or not 0 < len(prompt) <= PROMPT_MAX:
        raise BadInput(f"{where}: prompt", prompt, "is not a text of 1 to 1,000,000 characters", _FIX)
    return Asked(decision.strip(), prompt)


def join(connection: Connection, tenant: str, policy: Policy, asked: Sequence[Asked]) -> Joined:
    """
    Make examples of the prompts whose calls have scores for two tiers.

    Args:
        policy: The tenant's: its tiers, and those that `[routing.learned]` names, which alone count then.
    """
    examples, left_out = [], Counter[str]()
    for one, judged in _judged(connection, tenant, asked):
        made = "unknown_decision" if judged is None else _example(one.prompt, judged, policy)
        if isinstance(made, str):
            left_out[made] += 1
        else:
            examples.append(made)
    return Joined(len(asked), tuple(examples), dict(left_out))


def _judged(
    connection: Connection, tenant: str, asked: Sequence[Asked]
) -> Iterator[tuple[Asked, Sequence[Score] | None]]:
    """Give with each prompt the scores of all decisions of its call; None where there is no such decision."""
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        calls = _calls(connection, tenant, [one.decision for one in some])
        found = _scores(connection, tenant, set(calls.values()))
        for one in some:
            call = calls.get(one.decision)
            yield one, None if call is None else found.get(call, ())


_CALL: Final = func.coalesce(decisions.c.parent, decisions.c.id)
"""The attempts of a call belong to its first decision."""


def _calls(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    query = select(decisions.c.id, _CALL).where(decisions.c.tenant == tenant, decisions.c.id.in_(ids))
    return {row[0]: row[1] for row in connection.execute(query)}


def _scores(connection: Connection, tenant: str, calls: set[str]) -> dict[str, list[Score]]:
    """Read the scores of calls, the oldest first."""
    query = (
        select(_CALL.label("call"), scores)
        .join(decisions, decisions.c.id == scores.c.decision_id)
        .where(scores.c.tenant == tenant, or_(decisions.c.id.in_(calls), decisions.c.parent.in_(calls)))
        .order_by(scores.c.at_us, scores.c.id)
    )
    found: dict[str, list[Score]] = defaultdict(list)
    for row in connection.execute(query):
        fields = dict(row._mapping)
        found[fields.pop("call")].append(Score(**fields))
    return found


def _example(prompt: str, judged: Sequence[Score], policy: Policy) -> Example | str:
    """Compare the highest and the lowest tier that were scored, or those that the policy names."""
    ranked: dict[int, list[Score]] = defaultdict(list)
    for score in counting(tuple(judged)):
        by_model = policy.model_ranks.get(score.served_model or "")  # where its tier has another name now
        rank = policy.tier_ranks.get(score.served_tier or "", by_model)
        if rank is not None:
            ranked[rank].append(score)
    if not ranked:
        return "no_score"
    rule, ranks = policy.routing.learned, policy.tier_ranks
    larger = min(ranked) if rule.larger is None else ranks[rule.larger]
    smaller = max(ranked) if rule.smaller is None else ranks[rule.smaller]
    if larger not in ranked or larger == smaller == len(ranks) - 1:
        return "no_larger_tier"
    if smaller not in ranked or smaller <= larger:
        return "no_smaller_tier"
    return Example(prompt, judged[0].task_class, _mean(ranked[smaller]), _mean(ranked[larger]))


def _mean(judged: Sequence[Score]) -> float:
    """Weigh what several judges say."""
    weight = sum(score.weight_ppm for score in judged)
    return sum(score.score_ppm * score.weight_ppm for score in judged) / (weight * PPM)
