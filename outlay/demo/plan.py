"""
What the demo asks, of whom, when, and with what money: worked out before anything starts.

Pure but for the packaged files it reads: the same trace, number of calls and instant give the same plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from importlib.resources import files
from zoneinfo import ZoneInfo

from outlay.demo.tenants import OPUS, SONNET, TENANTS, TenantSpec
from outlay.demo.trace import DAY_S, TraceRow, thinned
from pricing.cost import cost_nanos
from pricing.money import ceil_div, format_usd
from pricing.table import PriceTable
from pricing.usage import Usage

CENT_NANOS = 10_000_000
PLAY_S_MAX, PLAY_S_MIN = 24.0, 10.0
CALLS_A_SECOND = 100
OUTAGE_START, OUTAGE_S = 0.3, 2.0
"""When the preferred model of the upper tier is overloaded (share of the play), and for how long."""
LOOP = (0.55, 0.75)
"""When the runaway agent repeats its call."""
_MIDNIGHT = timedelta(minutes=5)
_MAX_TOKENS_LEAST, _MAX_TOKENS_MOST = 512, 16_384
_FAULTS = ("error_500", "timeout_504", "rate_limit_429")
_FAULT_EVERY = 45
_LEAVE_EVERY, _LEAVE_TOKENS = 9, 40


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """
    One call of an application.

    Attributes:
        due_s: Seconds after the start of the play.
        fault: What the provider does to the first attempt.
        leaves: The client closes the connection in the middle of the stream.
    """

    due_s: float
    tenant: str
    model: str
    input_tokens: int
    output_tokens: int
    max_tokens: int
    stream: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    fault: str | None = None
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """
    A tenant as it is created; money in USD as text, no budget is None, no own policy is "".
    """

    name: str
    timezone: str
    credit_usd: str
    budget_usd: str | None
    policy: str
    story: str


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The whole demo, before it starts.
    """

    tenants: tuple[TenantPlan, ...]
    calls: tuple[PlannedCall, ...]
    policy: str
    scenario: str
    play_s: float


def make_plan(trace: Sequence[TraceRow], count: int, prices: PriceTable, now_us: int) -> Plan:
    """
    Plan about *count* calls, those of the runaway included.
    """
    rows = thinned(trace, count * 10 // 11)
    play_s = min(PLAY_S_MAX, max(PLAY_S_MIN, count / CALLS_A_SECOND))
    tenants: list[TenantPlan] = []
    calls: list[PlannedCall] = []
    for spec in TENANTS:
        own = _calls(spec, [row for row in rows if row.caller == spec.caller], play_s)
        usual = sum(_asked_nanos(call, prices, now_us) for call in own)
        loop = _loop(own, max(20, count // 11), play_s, prices, now_us) if spec.loops else ()
        looped = sum(_asked_nanos(call, prices, now_us) for call in loop)
        tenants.append(_tenant(spec, usual, usual + looped // 2, now_us))
        calls += [*own, *loop]
    calls.sort(key=lambda call: (call.due_s, call.tenant))
    return Plan(tuple(tenants), tuple(calls), _policy("everybody"), _scenario(play_s), play_s)


def timezone_of(zones: tuple[str, str], now_us: int) -> str:
    """
    Take the first zone, or the second while it is about midnight in the first: the day shall last.
    """
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    dates = {(now + shift).astimezone(ZoneInfo(zones[0])).date() for shift in (-_MIDNIGHT, _MIDNIGHT)}
    return zones[0] if len(dates) == 1 else zones[1]


def _tenant(spec: TenantSpec, usual: int, brake: int, now_us: int) -> TenantPlan:
    credit = _cents(spec.credit, usual)
    money = {"credit": credit, "limit": _cents(Fraction(1), brake)}
    policy = _policy(spec.name)
    for name, amount in money.items():
        policy = policy.replace(f"{{{name}}}", amount)
    budget = None if spec.budget is None else _cents(spec.budget, usual)
    return TenantPlan(spec.name, timezone_of(spec.zones, now_us), credit, budget, policy, spec.story)


def _cents(share: Fraction, nanos: int) -> str:
    """Give a share of an amount in USD, rounded up to a cent."""
    part = ceil_div(nanos * share.numerator, share.denominator)
    return format_usd(ceil_div(part, CENT_NANOS) * CENT_NANOS)


def _policy(name: str) -> str:
    """Read a packaged policy; empty where there is none of that name."""
    path = files("outlay.demo").joinpath(f"data/policies/{name}.toml")
    return path.read_text("utf-8") if path.is_file() else ""


def _calls(spec: TenantSpec, rows: Sequence[TraceRow], play_s: float) -> list[PlannedCall]:
    return [_call(spec, number, row, play_s) for number, row in enumerate(rows)]


def _call(spec: TenantSpec, number: int, row: TraceRow, play_s: float) -> PlannedCall:
    drawn = number * 37 % 100  # 37 and 100 share no factor: each percent once in a hundred calls
    stream = drawn * 61 % 100 < spec.stream_percent
    headers = [("outlay-tags", f"app={spec.name}")]
    task = _drawn(spec.tasks, drawn)
    if task is not None:
        headers.append(("outlay-task", task))
    if spec.session_calls > 0:
        headers.append(("outlay-session", f"{spec.name}-{number // spec.session_calls}"))
    struck = spec.eventful and number % _FAULT_EVERY == _FAULT_EVERY // 2
    return PlannedCall(
        due_s=row.at_s / DAY_S * play_s,
        tenant=spec.name,
        model=_drawn(spec.models, drawn) or OPUS,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        max_tokens=_max_tokens(row.output_tokens),
        stream=stream,
        headers=tuple(headers),
        fault=_FAULTS[number // _FAULT_EVERY % len(_FAULTS)] if struck else None,
        leaves=spec.eventful and stream and number % _LEAVE_EVERY == 0 and row.output_tokens >= _LEAVE_TOKENS,
    )


def _drawn(choices: Sequence[tuple[str, int]], drawn: int) -> str | None:
    """Find the choice that a number under 100 falls to; None behind the last."""
    end = 0
    for name, percent in choices:
        end += percent
        if drawn < end:
            return name
    return None


def _max_tokens(output_tokens: int) -> int:
    """Give what an application would set: a power of two with room for twice the answer."""
    wanted = 1 << (2 * output_tokens - 1).bit_length()
    return min(_MAX_TOKENS_MOST, max(_MAX_TOKENS_LEAST, wanted))


def _loop(
    calls: Sequence[PlannedCall], count: int, play_s: float, prices: PriceTable, now_us: int
) -> tuple[PlannedCall, ...]:
    """Repeat one of the dearer calls of an agent, quickly."""
    by_cost = sorted(calls, key=lambda call: _asked_nanos(call, prices, now_us))
    dear = by_cost[len(by_cost) * 95 // 100]
    start, step = LOOP[0] * play_s, (LOOP[1] - LOOP[0]) * play_s / count
    headers = (*dear.headers, ("outlay-session", "runaway"))
    return tuple(
        PlannedCall(
            due_s=start + place * step,
            tenant=dear.tenant,
            model=dear.model,
            input_tokens=dear.input_tokens,
            output_tokens=dear.output_tokens,
            max_tokens=dear.max_tokens,
            headers=headers,
        )
        for place in range(count)
    )


def _asked_nanos(call: PlannedCall, prices: PriceTable, now_us: int) -> int:
    """Price a call at the model that it asks for."""
    model = SONNET if call.model == "outlay/auto" else call.model
    usage = Usage(input_tokens=call.input_tokens, output_tokens=call.output_tokens)
    return cost_nanos(usage, prices.price(model, now_us))


def _scenario(play_s: float) -> str:
    """Write the provider's scenario: some latency, and an outage of one model."""
    settings: Mapping[str, object] = {"seed": 7, "latency_ms": 40, "token_ms": 0.2}
    lines = [f"{name} = {value}" for name, value in settings.items()]
    lines += ["[[phases]]", 'fault = "overload_529"', f'model = "{OPUS}"', "rate = 0.9"]
    start_s = OUTAGE_START * play_s
    lines += [f"from_s = {start_s:.2f}", f"to_s = {start_s + OUTAGE_S:.2f}"]
    return "\n".join(lines) + "\n"
