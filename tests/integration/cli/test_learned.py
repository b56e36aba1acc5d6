"""
`outlay train` and `outlay classifier`: from a file to a stored classifier, and what is refused.
"""

from pathlib import Path
from typing import Any

HEAD = "prompt,task,weak,strong,split\n"
ROWS = "".join(f"question {n},{'law' if n % 2 else 'mail'},{1 - n % 2},1,train\n" for n in range(60))

ROWS_MANY = "".join(f"question {n},{'law' if n % 2 else 'mail'},{1 - n % 2},1,train\n" for n in range(400))


def examples(tmp_path: Path, text: str = HEAD + ROWS) -> str:
    """A file of examples."""
    file = tmp_path / "judged.csv"
    file.write_text(text)
    return str(file)


def test_a_file_becomes_a_classifier_of_the_tenant(outlay: Any, tmp_path: Path) -> None:
    """Trained, stored once, listed and shown; the same file again is the same classifier."""
    made = outlay("train", "--file", examples(tmp_path), "--tenant", "acme", "--json").data
    assert made["tenant"] == "acme"
    assert made["version"].startswith("acme-")
    assert len(made["data_hash"]) == 64
    assert made["quality"]["examples"] == 60
    assert made["quality"]["ranking"]["apgr"] > 0.7
    again = outlay("train", "--file", examples(tmp_path), "--tenant", "acme", "--json").data
    assert (again["version"], again["replayed"]) == (made["version"], True)
    listed = outlay("classifier", "list", "--json").data["classifiers"]
    assert [row["version"] for row in listed] == [made["version"]]
    shown = outlay("classifier", "show", made["version"], "--json").data
    assert shown["classes"]["law"]["weak"] < shown["classes"]["mail"]["weak"]
    assert made["version"] in outlay("classifier", "list").out
    assert "law" in outlay("classifier", "show", made["version"]).out


def test_a_classifier_that_is_of_no_use_is_warned_of(outlay: Any, tmp_path: Path) -> None:
    """It is stored, but the answer says that it ranks as chance does, or that there is nothing to gain."""
    same = "".join(f"prompt {n},mail,1,1,train\n" for n in range(60))
    nothing = outlay("train", "--file", examples(tmp_path, HEAD + same))
    assert "warning: on these examples the larger tier is no better" in nothing.out
    luck = "".join(f"prompt {n},mail,{n % 3 % 2},1,train\n" for n in range(60))
    chance = outlay("train", "--file", examples(tmp_path, HEAD + luck), "--json").data
    assert "hardly better than chance: apgr 0." in chance["warnings"][0]
    useful = outlay("train", "--file", examples(tmp_path), "--json").data
    assert useful["warnings"] == []


def test_an_owner_is_told_what_a_policy_may_promise(outlay: Any, tmp_path: Path) -> None:
    """As a table in words and as JSON; and what to write to use it, or that nothing is proven."""
    made = outlay("train", "--file", examples(tmp_path, HEAD + ROWS_MANY))
    assert "(only the larger would have been right); 95% sure" in made.out
    assert "For at most 5%: [routing.learned] max_risk = 0." in made.out
    version = outlay("classifier", "list", "--json").data["classifiers"][0]["version"]
    shown = outlay("classifier", "show", version, "--json").data["quality"]["proposals"]
    assert [one["promise"] for one in shown] == [0.05, 0.1, 0.15, 0.2, 0.3]
    assert (shown[0]["state"], shown[0]["failed"]) == ("proven", 0)
    assert 0.4 < shown[0]["share"] < 0.6
    assert f"max_risk = {shown[0]['max_risk']}" in outlay("classifier", "show", version).out
    few = outlay("train", "--file", examples(tmp_path)).out
    assert "not enough evidence" in few


def test_prompts_of_the_tenants_own_calls_are_joined_with_its_scores(
    outlay: Any, tmp_path: Path, decision: str
) -> None:
    """Too few are refused, with what became of each row, and a decision that is not there is one of them."""
    prompts = examples(tmp_path, f"decision,prompt\n{decision},hello\nnothing,hello\n")
    few = outlay("train", "--tenant", "acme", "--prompts", prompts, "--json")
    assert (few.status, few.error["code"]) == (1, "examples_refused")
    assert "0 of 2 rows with scores for both tiers; 1 without a score; 1 without a de" in few.error["message"]
    outlay("score", decision, "pass", "--json")
    scored = outlay("train", "--tenant", "acme", "--prompts", prompts, "--json").error["message"]
    assert "1 without a score of a larger tier's answer (outlay score ID SCORE --model MODEL)" in scored


def test_a_split_of_the_file_can_be_kept_back(outlay: Any, tmp_path: Path) -> None:
    """Only the rows of the split are trained on."""
    more = HEAD + ROWS + "kept back,mail,0,1,eval\n"
    made = outlay("train", "--file", examples(tmp_path, more), "--split", "train", "--json").data
    assert (made["tenant"], made["quality"]["examples"]) == (None, 60)


def test_what_cannot_be_trained_on_is_refused(outlay: Any, tmp_path: Path) -> None:
    """With status 1 for what is refused, 2 for a mistake, and the row named."""
    few = outlay("train", "--file", examples(tmp_path, HEAD + ROWS[:200]), "--json")
    assert (few.status, few.error["code"]) == (1, "examples_refused")
    scores = outlay("train", "--tenant", "acme", "--json")
    assert (scores.status, scores.error["code"]) == (1, "examples_refused")
    assert "outlay score" in scores.error["message"]
    bad = outlay("train", "--file", examples(tmp_path, HEAD + "hello,mail,7,1,train\n"), "--json")
    assert (bad.status, bad.error["field"]) == (2, "row 2: weak")
    assert outlay("train", "--json").status == 2
    assert outlay("train", "--tenant", "nobody", "--json").error["code"] == "unknown_tenant"
    assert outlay("classifier", "show", "nothing", "--json").error["code"] == "unknown_classifier"
