"""
The policy file: what it accepts, and how it explains what it does not.
"""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from outlay.errors import PolicyInvalid
from pricing.facts import known_models, model_facts
from router.lint import lint
from router.policy import Policy, PolicyError, default_policy_text, load_policy, policy_schema
from router.policy_model import fields_at
from router.types import Priority

SMALL = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
"""


def test_the_smallest_policy_has_safe_defaults() -> None:
    """Two tiers and a default tier are enough; what is absent limits nothing and enforces."""
    policy = load_policy(SMALL)
    assert policy.enforcement.mode == "enforce"
    assert policy.budget.daily_nanos is None
    assert policy.limits.unbounded_nanos is None
    assert policy.routing.unlisted_models == "refuse"
    assert policy.degradation.exempt == (Priority.CRITICAL,)
    assert policy.tier_names == ("large", "small")


def test_the_default_policy_lists_every_known_model() -> None:
    """A new user can ask for any current model; the order of the tiers is that of the lines."""
    policy = load_policy(default_policy_text())
    ranks = policy.model_ranks
    assert set(ranks) == set(known_models())
    rank_of_line = {"mythos": 0, "fable": 0, "opus": 0, "sonnet": 1, "haiku": 2}
    assert all(ranks[model] == rank_of_line[model_facts(model).line] for model in ranks)
    assert lint(policy) == ()


def test_a_budget_of_zero_is_not_no_budget() -> None:
    """ "0" lets nothing be spent."""
    assert load_policy(SMALL + '[budget]\ndaily_usd = "0"').budget.daily_nanos == 0


@pytest.mark.parametrize(
    ("text", "field", "message", "fix"),
    [
        ("[budget]\ndaily_usd = 5.0", "budget.daily_usd", "decimal text", 'Write "5.00" in quotes'),
        ("[budget]\ndaily_usd = 5", "budget.daily_usd", "decimal text", 'Write "5.00" in quotes'),
        ("[budget]\ndaily_usd = nan", "budget.daily_usd", "decimal text", "in quotes"),
        ("[budget]\ndaily_usd = true", "budget.daily_usd", "decimal text", '"5.00" in quotes'),
        ('[budget]\ndaily_usd = "-5"', "budget.daily_usd", "never negative", "5.00"),
        ('[budget]\ndaily_usd = "1e3"', "budget.daily_usd", "1e3", "5.00"),
        ('[budget]\ndaily_usd = "99999999999"', "budget.daily_usd", "largest", "5.00"),
        ('[budget]\ntimezone = "Europe/Berln"', "budget.timezone", "unknown time zone", "Europe/Berlin"),
        ('[budget]\ntimezone = ""', "budget.timezone", "unknown time zone", "IANA"),
        ('[budget]\ntimezone = "../../etc/passwd"', "budget.timezone", "unknown time zone", ""),
        ('[budget]\ndaily_us = "5"', "budget.daily_us", "unknown field", "'daily_usd'"),
        ("[bugdet]\n", "bugdet", "unknown field", "'budget'"),
        ('[enforcement]\nmode = "obsrve"', "enforcement.mode", "not one of", "'observe'"),
        ('[degradation]\nmode = "smooth"', "degradation.mode", "not one of", "steps"),
        ("[degradation]\nhysteresis = -0.1", "degradation.hysteresis", "greater than or equal to 0", ""),
        ("[degradation]\nhysteresis = inf", "degradation.hysteresis", "finite", ""),
        ('[degradation]\nexempt = ["critcal"]', "degradation.exempt[0]", "not one of", "'critical'"),
        (
            "[[degradation.steps]]\nbelow = 0\neffort='low'",
            "degradation.steps[0].below",
            "greater than 0",
            "such as 0.5 for one half",
        ),
        (
            "[[degradation.steps]]\nbelow = 1.5\neffort='low'",
            "degradation.steps[0].below",
            "less than",
            "such as 0.5 for one half",
        ),
        (
            "[[degradation.steps]]\nbelow = '0.5'\neffort='low'",
            "degradation.steps[0].below",
            "number",
            "quotes",
        ),
        ("[[degradation.steps]]\nbelow = 0.5", "degradation.steps[0]", "changes nothing", "Add map"),
        ("[[degradation.steps]]\neffort = 'low'", "degradation.steps[0].below", "required", "Add 'below'"),
        (
            "[[degradation.steps]]\nbelow=0.2\neffort='low'\n[[degradation.steps]]\nbelow=0.5\neffort='low'",
            "degradation.steps[1].below",
            "not under the threshold",
            "Order the steps",
        ),
        (
            "[[degradation.steps]]\nbelow = 0.2\nmap = { small = 'large' }",
            "degradation.steps[0].map.small",
            "only lead down",
            "below it",
        ),
        (
            "[[degradation.steps]]\nbelow = 0.2\nmap = { larg = 'small' }",
            "degradation.steps[0].map.larg",
            "unknown tier",
            "'large'",
        ),
        (
            "[[degradation.steps]]\nbelow = 0.2\nmax_tier = 'smal'",
            "degradation.steps[0].max_tier",
            "unknown tier",
            "'small'",
        ),
        ("[limits]\nhold_ttl_s = 0", "limits.hold_ttl_s", "greater than or equal to 1", ""),
        ("[limits]\nmin_max_tokens = true", "limits.min_max_tokens", "integer", "without quotes"),
        ("[breaker.spend]\nwindow_s = 60", "breaker.spend.max_usd", "required", "max_usd"),
        ("[breaker.provider]\nfailure_ratio = 2", "breaker.provider.failure_ratio", "less than", ""),
        ('[upstreams.eu]\nurl = "ftp://x"\nkey_env = "K"', "upstreams.eu.url", "http", "https://"),
        ('[upstreams.eu]\nurl = "http://["\nkey_env = "K"', "upstreams.eu.url", "http", "https://"),
        ('[upstreams.eu]\nurl = "http://u:p@x"\nkey_env = "K"', "upstreams.eu.url", "user", "https://"),
        (
            '[upstreams.eu]\nurl = "http://x"\nkey_env = "sk-1 2"',
            "upstreams.eu.key_env",
            "variable",
            "never the key",
        ),
        (
            '[upstreams.eu]\nurl = "http://x"\nkey_env = "K"\ngeo = "uss"',
            "upstreams.eu.geo",
            "region",
            "'us'",
        ),
        ('[privacy.x]\nmodels = ["claude-opus-5"]', "privacy.x.models[0]", "no tier lists", "Add it"),
        ("[privacy.x]\nmodels = []", "privacy.x.models", "at least 1", "Name at least one"),
        (
            '[privacy.x]\nmodels = ["claude-opus-5-5"]\nupstreams = ["eu"]',
            "privacy.x.upstreams[0]",
            "unknown upstream",
            "None is defined",
        ),
        ('[tiers.auto]\nmodels = ["claude-opus-5"]', "tiers.auto", "taken", "another name"),
        ('[tiers.unlisted]\nmodels = ["claude-opus-5"]', "tiers.unlisted", "taken", "another name"),
        ('[tiers."a b"]\nmodels = ["claude-opus-5"]', 'tiers."a b"', "letters", "name such as"),
        (
            '[tiers.x]\nmodels = ["claude-opus-5.5"]',
            "tiers.x.models[0]",
            "unknown model",
            "'claude-opus-5-5'",
        ),
        ('[tiers.x]\nmodels = ["claude-opus-5", "claude-opus-5"]', "tiers.x.models[1]", "twice", "Remove"),
        ('[tiers.x]\nmodels = "claude-opus-5"', "tiers.x.models", "tuple", "list in brackets"),
        ("[tiers.x]\nmodels = [5]", "tiers.x.models[0]", "string", "quotes"),
        ('[routing.tasks]\n"a*b" = { tier = "small" }', 'routing.tasks."a*b"', "as the last one", "crm/*"),
        ('[routing.tasks]\na = { tier = "smal" }', "routing.tasks.a.tier", "unknown tier", "'small'"),
        ('[routing.tasks]\na = { teir = "small" }', "routing.tasks.a.teir", "unknown field", "'tier'"),
        (
            '[routing.tasks]\na = { tier = "small", privacy = "x" }',
            "routing.tasks.a.privacy",
            "unknown privacy class",
            "",
        ),
        ('[routing.tasks]\na = "small"', "routing.tasks.a", "", "Write a table"),
    ],
)
def test_a_problem_names_field_value_and_fix(text: str, field: str, message: str, fix: str) -> None:
    """Every mistake is found at its field, with what is wrong and how to mend it."""
    with pytest.raises(PolicyError) as caught:
        load_policy(SMALL + text)
    found = {problem.field: problem for problem in caught.value.problems}
    assert field in found, found
    assert message in found[field].message
    assert fix in found[field].fix
    assert found[field].fix


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f"{SMALL}[[degradation.steps]]\nbelow = 0.5\nonly = ['urgent']", "degradation.steps[0].only[0]"),
        ('[routing]\ndefault_tier = "a b"\n[tiers."a b"]\nmodels = ["claude-opus-5-5"]', 'tiers."a b"'),
    ],
)
def test_a_wrong_member_is_the_only_problem_of_its_list(text: str, field: str) -> None:
    """What is not empty is not called so, though nothing of it can be used."""
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_what_is_not_there_is_not_told_as_found() -> None:
    """A file that is no TOML, and a field that is missing, have no value to show."""
    for text in ("[tiers", SMALL.replace('default_tier = "large"', "")):
        with pytest.raises(PolicyError) as caught:
            load_policy(text)
        assert "found" not in str(caught.value)
        assert "found" not in str(PolicyInvalid(caught.value.problems))


def test_all_problems_are_told_at_once() -> None:
    """Problems of single fields and of references between them come together."""
    text = SMALL.replace('"claude-opus-5-5"', '"claude-opus-9"') + (
        'clasifier = "table"\n[budget]\ndaily_usd = 5.0\ntimezone = "Mars/One"\n'
        "[[degradation.steps]]\nbelow = 2\nmax_tier = 'tiny'\n"
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert {problem.field for problem in caught.value.problems} == {
        "tiers.large.models[0]",
        "routing.clasifier",
        "budget.daily_usd",
        "budget.timezone",
        "degradation.steps[0].below",
        "degradation.steps[0].max_tier",
    }


@pytest.mark.parametrize(
    "text",
    ["", "x", "[tiers", "tiers = 5", "tiers = []", "[tiers]", "a=" + "[" * 5000, "\0", "x = 1\n" * 300_000],
)
def test_malformed_files_are_problems_not_tracebacks(text: str) -> None:
    """Whatever the file holds, the answer is a PolicyError with at least one problem."""
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert caught.value.problems


def test_a_policy_is_frozen_and_can_be_sent_between_processes() -> None:
    """Nobody changes a policy in use."""
    policy = load_policy(default_policy_text())
    with pytest.raises(ValueError, match="frozen"):
        policy.budget = None  # type: ignore[assignment,misc]
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("crm/call", "crm/*"),
        ("crm/mail/x", "crm/mail/*"),
        ("crm/mail/legal", "crm/mail/legal"),
        ("crm/", "crm/*"),
        ("crm", None),
        ("crm/*", "crm/*"),
        ("", None),
    ],
)
def test_exact_beats_wildcard_and_the_longest_wildcard_wins(
    policy: Policy, task: str, name: str | None
) -> None:
    """A task finds the most particular entry of the table."""
    found = policy.routing.route(task)
    assert (found[0] if found else None) == name


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("".join(f'[tiers.t{n}]\nmodels = ["claude-opus-5"]\n' for n in range(4)), "6 tiers"),
        ('[tiers.spare]\nmodels = ["claude-haiku-4-5"]', "tiers.spare: nothing leads here"),
        ('[tiers.low]\nmodels = ["claude-opus-5-5"]', "listed in large too"),
        (
            '[routing.tasks]\n"a/*" = { tier = "small" }\n"a/b" = { tier = "small" }',
            '"a/*" already says the same',
        ),
        ('[routing.tasks]\n"*" = { tier = "small" }', "covers every task"),
        ('[routing.tasks]\na = { tier = "small", floor = "large" }', "under its floor"),
        ("[[degradation.steps]]\nbelow = 0.2\nmax_tier = 'small'", "nothing lowers tier large until 20%"),
        ("[[degradation.steps]]\nbelow = 0.2\neffort = 'low'", "until the money is gone"),
        ("[[degradation.steps]]\nbelow = 0.2\nmax_tier = 'large'", "caps nothing"),
        (
            "[[degradation.steps]]\nbelow=0.5\nmax_tokens=9\n[[degradation.steps]]\nbelow=0.2\nmax_tokens=9",
            "already allows only 9",
        ),
        (
            (
                "[[degradation.steps]]\nbelow=0.5\nmax_tier='small'\n"
                "[[degradation.steps]]\nbelow=0.2\nmap={large='small'}"
            ),
            "no call is in tier large any more",
        ),
        ("[[degradation.steps]]\nbelow=0.5\nonly=['critical','high','normal','low']", "nothing is refused"),
        ("[degradation]\nexempt=['critical','high','normal','low']", "no step ever applies"),
        (
            '[routing.roles]\na = { tier = "small", floor = "large" }',
            "routing.roles.a: small is under its floor",
        ),
        ('[routing.complexity]\nsimple = { tier = "small" }', 'classifier is "table" and uses none'),
        (
            'classifier = "complexity"\n[routing.complexity]\nsimple = { tier = "small" }',
            "no entry for trivial, standard, complex, expert",
        ),
        (
            'classifier = "complexity"\n[routing.complexity]\nexpert = { model = "claude-haiku-5-5" }',
            "routing.complexity.expert: goes to small, while the easier complex goes to large",
        ),
        ('classifier = "learned"\n[routing.learned]\nlarger = "small"', "nothing to choose"),
        (
            'classifier = "complexity"\n[routing.tasks]\n"*" = { tier = "small" }',
            "so the classifier only serves calls that name none",
        ),
    ],
)
def test_lint_finds_what_is_valid_but_not_meant(text: str, warning: str) -> None:
    """Each likely mistake has its own warning."""
    assert any(warning in found for found in lint(load_policy(SMALL + text))), lint(load_policy(SMALL + text))


def test_lint_names_tasks_of_the_traffic_without_a_route(policy: Policy) -> None:
    """Names that calls use and the table lacks are listed."""
    found = [text for text in lint(policy, ["crm/x", "billing", "billing"]) if "no route" in text]
    assert len(found) == 1
    assert "'billing'" in found[0]


def test_lint_names_entries_that_no_call_uses(policy: Policy) -> None:
    """An entry counts as used when it routed a call; without traffic nothing is said."""
    found = [text for text in lint(policy, ["crm/mail/x", "research"]) if "unused" in text]
    assert len(found) == len(policy.routing.tasks) - 2
    assert any('"crm/*": unused' in text for text in found)
    assert not any('"crm/mail/*"' in text for text in found)
    assert not [text for text in lint(policy) if "unused" in text]


def test_lint_says_which_entry_a_name_is_close_to(policy: Policy) -> None:
    """A misspelt task is the usual reason for an unrouted one."""
    assert any('close to "safety-check"' in text for text in lint(policy, ["safety_check"]))


def test_tiers_that_classes_and_roles_lead_to_are_reached() -> None:
    """They are no spare tiers."""
    spare = '[tiers.spare]\nmodels = ["claude-haiku-4-5"]'
    mapped = 'classifier = "complexity"\n[routing.complexity]\nsimple = { model = "claude-haiku-4-5" }\n'
    for more in (mapped, '[routing.roles]\na = { tier = "spare" }\n', 'classifier = "llm"\n'):
        assert not [text for text in lint(load_policy(SMALL + more + spare)) if "tiers.spare" in text]


def test_pacing_leads_to_every_tier() -> None:
    """Under pace no tier is spare and none waits for a step: pacing lowers tier by tier."""
    spare = '[tiers.spare]\nmodels = ["claude-haiku-4-5"]\n'
    late = "[[degradation.steps]]\nbelow = 0.2\nmax_tier = 'small'\n"
    untrue = ("nothing leads here", "nothing lowers")
    for mode, count in (("steps", 3), ("pace", 0)):
        text = SMALL + spare + f"[degradation]\nmode = '{mode}'\n" + late
        found = [one for one in lint(load_policy(text)) if any(word in one for word in untrue)]
        assert len(found) == count, found


PROBLEMS = [
    ('[routing.roles]\na = { tier = "tiny" }', "routing.roles.a.tier", "unknown tier"),
    ('[routing.roles]\na = { tier = "small", model = "claude-opus-5-5" }', "routing.roles.a.model", "both"),
    ("[routing.roles]\na = {}", "routing.roles.a", "says nothing"),
    ('[routing.roles]\n"a *" = { tier = "small" }', 'routing.roles."a *"', "no blanks"),
    ('[routing.roles]\na = { model = "claude-opus-4-5" }', "routing.roles.a.model", "no tier lists"),
    (
        '[routing.complexity]\nsimple = { model = "claude-opus-9" }',
        "routing.complexity.simple.model",
        "unknown",
    ),
    ("[routing.complexity]\nsimple = {}", "routing.complexity.simple", "says nothing"),
    ('[routing.complexity]\nhard = { tier = "small" }', "routing.complexity.hard", "unknown field"),
    ("[routing.complexity.starts_at]\nexpert = 5", "routing.complexity.starts_at.expert", "begins at 5"),
    ("[routing.complexity.weights]\ncode = -1", "routing.complexity.weights.code", "greater than"),
    ('[routing.learned]\nlarger = "small"\nsmaller = "large"', "routing.learned.smaller", "not under"),
    ('[routing.learned]\nsmaller = "tiny"', "routing.learned.smaller", "unknown tier"),
    ("[routing.learned]\nthreshold = 0.1\nmax_risk = 0.2", "routing.learned.max_risk", "beside threshold"),
    ("[routing.learned]\nmax_risk = 1.5", "routing.learned.max_risk", "less than"),
    ("[routing.tasks]\na = { max_latency_ms = 0 }", "routing.tasks.a.max_latency_ms", "greater than"),
    ('classifier = "learnt"', "routing.classifier", "not one of"),
]


@pytest.mark.parametrize(("text", "field", "message"), PROBLEMS)
def test_routing_tables_are_checked(text: str, field: str, message: str) -> None:
    """Names must exist, a place is named once, classes begin one after the other."""
    with pytest.raises(PolicyError) as caught:
        load_policy(SMALL + text)
    found = {problem.field: problem for problem in caught.value.problems}
    assert field in found, found
    assert message in found[field].message
    assert found[field].fix


def test_the_schema_describes_every_field() -> None:
    """Editors get a description of each field, and unknown fields are closed out."""
    schema = policy_schema()
    json.dumps(schema)
    for definition in (schema, *schema["$defs"].values()):
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False
            properties = definition["properties"].items()
            bare = [name for name, field in properties if not field.keys() & {"description", "$ref"}]
            assert not bare, definition["title"]


def _fields(table: Any, seen: set[str]) -> set[str]:
    for name, field in table.model_fields.items():
        seen.add(name)
        for part in _inner(field.annotation):
            _fields(part, seen)
    return seen


def _inner(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _inner(part)]


def test_the_reference_names_every_field() -> None:
    """docs/reference/policy.md cannot fall behind the model."""
    text = Path(__file__).parents[3].joinpath("docs/reference/policy.md").read_text(encoding="utf-8")
    missing = {name for name in _fields(Policy, set()) if f"`{name}`" not in text and f"[{name}" not in text}
    assert not missing


def test_example_in_the_reference_is_a_policy() -> None:
    """The example of the reference loads."""
    text = Path(__file__).parents[3].joinpath("docs/reference/policy.md").read_text(encoding="utf-8")
    load_policy(text.split("```toml\n")[1].split("```")[0])


def test_fields_are_found_below_names_of_the_owner() -> None:
    """A task or tier that is named like a field does not lead astray."""
    assert "tier" in fields_at(("routing", "tasks", "tier"))
    assert "below" in fields_at(("degradation", "steps", 0))
    assert "key_env" in fields_at(("upstreams", "url"))
