"""
Conversations from call to call, on both engines: what is recalled, kept, raised, and reported.
"""

from collections.abc import Callable
from typing import Any

import pytest

from outlay import effects, reports_routing
from outlay.admin.breakers import halt
from outlay.admin.money import set_budget
from outlay.admin.policies import apply_policy
from outlay.admin.quality import score
from outlay.calls import Broken, CallRequest, Completed, Done, Link
from outlay.client import Calls
from outlay.reports_sessions import Suppressed
from outlay.sessions import state_of, turn_of
from outlay.wiring import App
from router.policy import default_policy_text
from router.types import Hints

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
Select = Callable[..., list[dict[str, Any]]]
Message = dict[str, Any]

pytestmark = pytest.mark.usefixtures("acme")


def said(text: str) -> Message:
    """What the user says, marked for the cache."""
    return {
        "role": "user",
        "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}],
    }


class Conversation:
    """
    A conversation with Outlay's calls; its provider caches every prompt.
    """

    def __init__(self, calls: Calls, clock: Any, *, asked: str = OPUS) -> None:
        self.calls, self.clock, self.asked = calls, clock, asked
        self.messages = [said("x" * 154_000)]
        self.role: str | None = None
        self.task: str | None = None

    def request(self) -> CallRequest:
        """The next call."""
        body = {"model": self.asked, "max_tokens": 1_000, "messages": self.messages}
        return CallRequest("acme", body, hints=Hints(role=self.role, task=self.task))

    def turn(self, *, again: bool = False) -> Any:
        """Ask, be answered, and go on; gives what was sent."""
        self.clock.sleep(1)
        call = self.calls.start(self.request())
        sending = call.sending
        assert sending is not None, call.result
        usage = {"input_tokens": 5, "cache_creation_input_tokens": 50_000, "output_tokens": 50}
        done = call.resume(Completed(sending.model, usage))
        assert isinstance(done, Done)
        if not again:
            answer = {"role": "assistant", "content": "Yes."}
            self.messages = [*self.messages, answer, said(f"Go on {len(self.messages)}.")]
        return sending


def codes(sending: Any) -> list[str]:
    """Why it was routed so."""
    return [str(reason.code) for reason in sending.reasons]


def lowered(app: App, talk: Conversation) -> None:
    """Let a spent budget lead a conversation that begins to Haiku, then raise the budget again."""
    set_budget(app, "acme", "0.62", actor="t")
    assert talk.turn().model == HAIKU
    set_budget(app, "acme", "100", actor="t")


@pytest.fixture
def talk(app: App, calls: Calls, clock: Any) -> Conversation:
    """A conversation for which something was spent before, so that a budget can be short."""
    for _ in range(2):
        Conversation(calls, clock).turn()
    begun = Conversation(calls, clock)
    begun.messages = [said("y" * 154_000)]
    return begun


def test_a_conversation_stays_where_a_step_has_led_it(app: App, talk: Conversation) -> None:
    """
    The budget recovers: the next turns stay at Haiku, each says what Opus would have cost more, and the
    routing page counts them; five minutes later the conversation is at Opus again.
    """
    lowered(app, talk)
    kept = [talk.turn(), talk.turn()]
    assert [sending.model for sending in kept] == [HAIKU, HAIKU]
    assert all("switch_suppressed_cache" in codes(sending) for sending in kept)
    seen = reports_routing.routing(app, "acme", now_us=talk.clock())
    assert seen is not None
    assert seen.suppressed.calls == 2
    told = [r.numbers["cost_nanos"] for s in kept for r in s.reasons if r.code == "switch_suppressed_cache"]
    assert seen.suppressed.cost_nanos == sum(told) > 400_000_000
    assert seen.suppressed.saving_calls == 0
    talk.clock.sleep(301)
    assert talk.turn().model == OPUS


def test_a_harder_turn_climbs_and_stays(app: App, calls: Calls, clock: Any) -> None:
    """A conversation begins small, then the planner asks: Opus serves, and keeps it while warm."""
    roles = '[routing.tasks]\n[routing.roles]\nplanner = { tier = "large" }\nwriter = { tier = "small" }\n'
    text = default_policy_text().replace("[routing.tasks]", roles, 1)
    text = text.replace('default_tier = "medium"', 'default_tier = "small"')
    apply_policy(app, text, actor="t")
    talk = Conversation(calls, clock, asked="outlay/auto")
    models = []
    for role in ("writer", "planner", "writer"):
        talk.role = role
        models.append(talk.turn().model)
    assert models == [HAIKU, OPUS, OPUS]


def test_changes_that_had_saved_a_little_are_counted_apart(app: App, talk: Conversation) -> None:
    """A cheap task in a warm conversation stays for little money: that is no cost it was spared."""
    lowered(app, talk)
    talk.turn()
    before = _suppressed(app, talk)
    tasks = '[routing.tasks]\n"code/review" = { tier = "large" }\n"crm/*" = { tier = "small" }\n'
    apply_policy(app, default_policy_text().replace("[routing.tasks]", tasks, 1), actor="t")
    cheap = Conversation(talk.calls, talk.clock, asked="outlay/auto")
    cheap.messages = [said("z" * 154_000)]
    for task in ("code/review", "crm/x"):
        cheap.task = task
        sending = cheap.turn()
    assert sending.model == OPUS
    (reason,) = [one for one in sending.reasons if one.code == "switch_suppressed_cache"]
    assert reason.numbers["cost_nanos"] < 0
    after = _suppressed(app, talk)
    assert (after.calls, after.cost_nanos) == (before.calls, before.cost_nanos)
    assert (before.saving_calls, after.saving_calls) == (0, 1)


def _suppressed(app: App, talk: Conversation) -> Suppressed:
    seen = reports_routing.routing(app, "acme", now_us=talk.clock())
    assert seen is not None
    return seen.suppressed


def test_a_failed_check_raises_a_conversation_once(app: App, talk: Conversation) -> None:
    """A score under the threshold leads one tier up at the next turn, for good; a second changes nothing."""
    lowered(app, talk)
    first = talk.turn()
    assert first.model == HAIKU
    score(app, first.decision_id, "0.9", source="user", actor="t")
    assert talk.turn().model == HAIKU
    failed = talk.turn()
    score(app, failed.decision_id, "0.2", source="check", actor="t")
    raised = talk.turn()
    assert (raised.model, "session_escalated" in codes(raised)) == (SONNET, True)
    score(app, raised.decision_id, "0", source="check", actor="t")
    again = talk.turn()
    assert (again.model, "session_escalated" in codes(again)) == (SONNET, True)


def test_the_same_turn_asked_again_raises_a_conversation(app: App, talk: Conversation) -> None:
    """Who regenerates an answer was not content with it; moved cache markers do not hide that."""
    lowered(app, talk)
    assert talk.turn(again=True).model == HAIKU
    talk.messages[-1] = {"role": "user", "content": talk.messages[-1]["content"][0]["text"]}
    talk.messages[0] = said("y" * 154_000)
    assert talk.turn().model == SONNET


def test_failing_tools_raise_a_conversation(app: App, talk: Conversation) -> None:
    """Three tool results with an error among the newest messages; two are none."""
    lowered(app, talk)
    failed = {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}
    asked = talk.messages
    talk.messages = [*asked[:-1], {"role": "user", "content": [failed] * 2}, asked[1], asked[-1]]
    assert talk.turn().model == HAIKU
    talk.messages = [*asked[:-1], {"role": "user", "content": [failed] * 3}, asked[1], asked[-1]]
    assert talk.turn().model == SONNET


def test_attempts_of_one_call_are_no_retry(calls: Calls, clock: Any) -> None:
    """The further attempts of one call ask the same, on purpose."""
    talk = Conversation(calls, clock)
    talk.turn()
    talk.turn(again=True)
    session = talk.request()
    memory = calls.engine.perform(effects.Recall("acme", _session(calls)))
    assert memory.turn == turn_of(session)
    linked = CallRequest(**{**_fields(session), "link": Link(parent="d", attempt=1, strategy="cascade")})
    for request, retried in ((session, True), (linked, False)):
        state = state_of(request, memory)
        assert state is not None
        assert state.retried is retried


def _fields(request: CallRequest) -> dict[str, Any]:
    return {"tenant": request.tenant, "body": request.body}


def _session(calls: Calls) -> str:
    with calls.engine._app.reading() as conn:
        rows = conn.exec_driver_sql("SELECT session FROM outlay_decision WHERE session IS NOT NULL").all()
    return str(rows[0][0])


def test_an_answer_that_broke_off_is_asked_for_again_without_consequence(calls: Calls, clock: Any) -> None:
    """Who asks again after a broken stream has not judged the answer."""
    talk = Conversation(calls, clock)
    talk.turn()
    clock.sleep(1)
    call = calls.start(talk.request())
    assert call.sending is not None
    call.resume(Broken(OPUS, {"input_tokens": 5, "output_tokens": 1}, 10))
    memory = calls.engine.perform(effects.Recall("acme", _session(calls)))
    state = state_of(talk.request(), memory)
    assert state is not None
    assert not state.retried


def test_every_model_of_a_long_conversation_is_remembered(calls: Calls, clock: Any) -> None:
    """A model that answered thirty turns ago has left thinking that another one must not get."""
    hints = Hints(session="long")
    for model in (HAIKU, *[OPUS] * 30):
        clock.sleep(1)
        body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
        call = calls.start(CallRequest("acme", body, hints=hints))
        assert call.sending is not None
        call.resume(Completed(model, {"input_tokens": 5, "output_tokens": 5}))
    memory = calls.engine.perform(effects.Recall("acme", "id:long"))
    assert memory.models == {OPUS, HAIKU}
    assert memory.last_model == OPUS
    assert memory.turns_of_others[0] == 1
    assert len(memory.turns_of_others) >= 1


def test_a_new_session_id_escapes_no_breaker(app: App, calls: Calls, clock: Any) -> None:
    """A tenant that is halted stays so, whatever conversation its calls say they belong to."""
    halt(app, tenant="acme", reason="test", actor="t")
    for name in ("one", "two"):
        request = CallRequest(
            "acme",
            {"model": OPUS, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
            hints=Hints(session=name),
        )
        assert calls.start(request).sending is None


def test_a_long_session_costs_no_more_than_a_short_one(app: App) -> None:
    """Every model that ever answered is found by the index, one look each: no row of the session is read."""
    if app.engine.dialect.name != "sqlite":
        pytest.skip("without rows PostgreSQL plans as it likes")
    with app.reading() as connection:
        values = ("acme", "s") * 2 + ("%x%", "acme", "s")
        rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + app.sessions._newest, values).all()
    plan = "\n".join(str(row) for row in rows)
    assert plan.count("outlay_decision_session_model") == 2
    assert "outlay_score_decision" in plan
    assert "USING INDEX outlay_decision_session (" in plan
