"""
The six tenants of the demo: who they are, and what is meant to happen to them.

Data only; their policies lie in `data/policies/NAME.toml`. Money stands as a share of what the tenant's
calls would cost at the models asked for, so that the same things happen with few calls as with many; `plan`
turns shares into dollars.
"""

from dataclasses import dataclass
from fractions import Fraction

OPUS, SONNET = "claude-opus-5-5", "claude-sonnet-5-5"


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """
    One tenant, and the caller of the trace that it plays.

    Attributes:
        zones: Time zone, and one to take instead while it is about midnight there.
        credit, budget: Shares of the cost as asked; no budget is None.
        models, tasks: Model or task of a call, and the share of the calls in percent; the rest has no task.
        stream_percent, session_calls: Share of streams; calls that share a session, 0 for no sessions.
        loops: One of its agents runs away.
        eventful: Some of its clients leave in the middle of a stream, some of its calls meet an error.
        story: What to watch, for the summary.
    """

    name: str
    caller: str
    zones: tuple[str, str]
    credit: Fraction
    budget: Fraction | None
    story: str
    models: tuple[tuple[str, int], ...] = ((OPUS, 100),)
    tasks: tuple[tuple[str, int], ...] = ()
    stream_percent: int = 0
    session_calls: int = 0
    loops: bool = False
    eventful: bool = False


HARBOR = TenantSpec(
    name="harbor-support",
    caller="t014",
    zones=("Europe/Berlin", "Europe/London"),
    credit=Fraction(4),
    budget=Fraction(3),
    models=((OPUS, 60), (SONNET, 25), ("outlay/auto", 15)),
    stream_percent=60,
    session_calls=4,
    eventful=True,
    story="healthy: streams, sessions, clients that leave mid-answer",
)

LUMEN = TenantSpec(
    name="lumen-content",
    caller="t005",
    zones=("America/New_York", "America/Denver"),
    credit=Fraction(3),
    budget=Fraction(30, 100),
    tasks=(("content/legal-notice", 20), ("content/blog-post", 50)),
    stream_percent=30,
    story="runs into its daily budget, step by step",
)

KIOSK = TenantSpec(
    name="kiosk-trial",
    caller="t072",
    zones=("Asia/Tokyo", "Asia/Singapore"),
    credit=Fraction(45, 100),
    budget=None,
    stream_percent=20,
    story="prepaid trial: runs out of credits",
)

ROVER = TenantSpec(
    name="rover-agents",
    caller="t060",
    zones=("Australia/Sydney", "Australia/Perth"),
    credit=Fraction(20),
    budget=None,
    loops=True,
    story="an agent loops on one call: the spend breaker halts it",
)

CLINIC = TenantSpec(
    name="clinic-triage",
    caller="t030",
    zones=("Asia/Kolkata", "Africa/Nairobi"),
    credit=Fraction(3),
    budget=Fraction(95, 100),
    tasks=(("clinic/triage", 45), ("clinic/letter", 55)),
    story="critical triage keeps its model, letters stop at their floor",
)

PILOT = TenantSpec(
    name="pilot-observe",
    caller="t066",
    zones=("America/Sao_Paulo", "Atlantic/Azores"),
    credit=Fraction(4),
    budget=Fraction(35, 100),
    story="observe mode: served as asked, would-be decisions recorded",
)

TENANTS = (HARBOR, LUMEN, KIOSK, ROVER, CLINIC, PILOT)
