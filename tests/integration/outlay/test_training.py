"""
Training on a small extract of public data: what comes out, that it comes out the same, and what is refused.
"""

import builtins
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outlay.errors import BadInput, Rejected
from outlay.learned import parts
from outlay.learned.examples import Example, data_hash, ranking
from outlay.learned.from_scores import Judged, table_model
from outlay.learned.mixing import MIXES, blend
from outlay.learned.reading import read_examples
from outlay.learned.train import Model, train
from router.learned_read import read_model

EXTRACT = str(Path(__file__).parents[3] / "benchmarks" / "data" / "ranking_extract.csv.gz")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    """Fewer trees: the tests are about what is done with them."""
    kept, parts.TREES = parts.TREES, 8
    yield
    parts.TREES = kept


@pytest.fixture(scope="module")
def trained(quick: Any) -> Model:
    """A model of the extract."""
    return train(read_examples(EXTRACT, "train"), seed=3)


def small(count: int = 60, **changed: Any) -> list[Example]:
    """Examples in which only the task class says anything: the large tier gains on `law`, never on `mail`."""
    rows = [
        Example(f"prompt {n}", "law" if n % 2 else "mail", 0.0 if n % 2 else 1.0, 1.0) for n in range(count)
    ]
    return [*rows[:-1], Example(**{**_fields(rows[-1]), **changed})]


def _fields(row: Example) -> dict[str, Any]:
    return {"prompt": row.prompt, "task_class": row.task_class, "weak": row.weak, "strong": row.strong}


def test_training_ranks_what_it_has_not_seen(trained: Model) -> None:
    """Better than chance by far, on a tenth of the data; the quality told is of the same kind."""
    model = read_model(trained.weights)
    rows = [row for row in read_examples(EXTRACT, "eval") if row.task_class != "gsm8k"]
    found = ranking([model.gain(row.prompt, row.task_class) for row in rows], rows)
    assert found is not None
    assert found.apgr > 0.55
    assert trained.quality["ranking"]["apgr"] > 0.52
    assert model.words is not None
    assert model.trees is not None


def test_the_same_rows_and_seed_give_the_same_text(trained: Model) -> None:
    """In whatever order the rows come."""
    rows = read_examples(EXTRACT, "train")
    again = train(rows[::-1], seed=3)
    assert (again.weights, again.version, again.data_hash) == (
        trained.weights, trained.version, trained.data_hash,
    )  # fmt: skip


def test_scores_stored_and_scored_are_those_of_the_library(trained: Model) -> None:
    """Plain Python over the stored numbers says what scikit-learn says of the same prompts."""
    from sklearn.ensemble import ExtraTreesRegressor

    rows = [parts.look(row) for row in read_examples(EXTRACT, "train")][:200]
    measures = [one.shape for one in rows]
    right = [(one.row.weak, one.row.strong) for one in rows]
    library = ExtraTreesRegressor(n_estimators=8, max_leaf_nodes=60, random_state=0).fit(measures, right)
    trees = [parts._nodes(one.tree_, 8) for one in library.estimators_]
    from router.learned import _leaf
    from router.learned_read import _tree

    ours = [sum(_leaf(_tree(tree, ""), one) for tree in trees) for one in measures]
    said = [strong - weak for weak, strong in library.predict(measures)]
    assert ours == pytest.approx(said, abs=0.02)


def test_public_traffic_of_another_kind_is_foreign(trained: Model) -> None:
    """Trained without sums in prose, the model knows none of them, whatever they call their task."""
    rows = read_examples(EXTRACT)
    own = [row for row in rows if row.task_class != "gsm8k"]
    sums = [row for row in rows if row.task_class == "gsm8k"]
    model = read_model(train(own).weights)
    assert all(model.score(row.prompt, "gsm8k").gain is None for row in sums)
    as_known = [model.score(row.prompt, "elementary_mathematics").gain is None for row in sums]
    assert sum(as_known) / len(as_known) > 0.9
    familiar = [model.score(row.prompt, row.task_class) for row in own]
    known = [one for one in familiar if "task class" not in one.why]
    assert sum(one.gain is not None for one in known) / len(known) > 0.95


def test_a_model_holds_no_words_of_a_single_prompt() -> None:
    """However often it stands in the file: what no other prompt has could be told from the model."""
    rows = [*small(260), *[Example("Marta Zielinska calls", "law", 0.0, 1.0)] * 3]
    model = train(rows)
    assert read_model(model.weights).words is not None
    assert "prompt" in model.weights
    assert "Zielinska" not in model.weights


def test_prompts_without_a_common_word_teach_by_their_shape() -> None:
    """Each stands there four times, so that rows share words; prompts do not."""
    rows = [row for n, row in enumerate(small(60)) for row in [replace(row, prompt=f"p{n}x")] * 4]
    assert read_model(train(rows).weights).words is None


def test_few_rows_teach_a_table() -> None:
    """What sixty rows cannot teach is left out; the table finds the class that gains."""
    made = train(small())
    model = read_model(made.weights)
    assert (model.words, model.trees) == (None, None)
    assert model.gain("anything", "law") > model.gain("anything", "mail") + 0.5
    assert made.quality["ranking"]["apgr"] == pytest.approx(0.75, abs=0.01)  # half of the calls hold all gain


def test_a_tier_that_is_always_right_can_be_learned_from() -> None:
    """One kind of label only is no reason to fail."""
    rows = [Example(f"prompt {n} word{n % 7}", "t", float(n % 3 == 0), 1.0) for n in range(450)]
    model = read_model(train(rows).weights)
    assert 0.4 < model.gain("prompt 5 word5", "t") < 0.9


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (small(49), "49 examples"),
        (
            [Example("same", "t", float(n % 2), 1.0) for n in range(400)],
            "too few different prompts: 1 .* at least 50",
        ),
        (small(weak=1.5), "scores are 0 to 1"),
        (small(strong=float("nan")), "scores are 0 to 1"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(rows: Sequence[Example], said: str) -> None:
    """The message says what is missing."""
    with pytest.raises(Rejected, match=said) as refused:
        train(rows)
    assert refused.value.code == "examples_refused"


def test_examples_without_a_task_serve_calls_of_any_class() -> None:
    """Words alone tell them apart; the model's one class is that of no name, and no guard on classes."""
    rows = [
        Example(f"{'prove' if n % 2 else 'greet'} number {n % 97} and {n}", "", float(n % 2 == 0), 1.0)
        for n in range(300)
    ]
    model = read_model(train(rows).weights)
    hard, plain = (model.score(f"{word} number 5 and 7", "complexity:simple") for word in ("prove", "greet"))
    assert hard.gain is not None, hard.why
    assert plain.gain is not None, plain.why
    assert hard.gain > plain.gain + 0.3
    assert model.gain("prove number 5 and 7", "complexity:simple") == model.gain("prove number 5 and 7", "")
    mixed = [*rows, *(Example(f"mail number {n}", "mail", 1.0, 1.0) for n in range(20))]
    assert "task class" in read_model(train(mixed).weights).score("prove number 5", "law").why


def test_without_the_library_training_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring needs no library, training one; who lacks it is told which."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Rejected, match=r"pip install '\.\[learned\]'") as refused:
        train(small())
    assert refused.value.code == "extra_missing"


def test_the_ranking_of_a_perfect_order_is_known() -> None:
    """Ten calls, two of which gain: half of the gain after one, all of it after two."""
    rows = [Example("p", "t", 0.0 if n < 2 else 1.0, 1.0) for n in range(10)]
    found = ranking([1.0 - n / 10 for n in range(10)], rows)
    assert found is not None
    assert (found.cpt50, found.cpt80) == (0.1, 0.2)
    assert found.apgr == pytest.approx(0.9)  # (0.25 + 0.75 + 8 x 1) / 10
    assert found.saved_at_95 == pytest.approx(0.8 * 0.8)  # 9.5 of 10 right only with both
    assert ranking([0.0] * 10, [Example("p", "t", 1.0, 1.0)] * 10) is None


def test_equal_gains_are_no_order() -> None:
    """In whatever order the rows come, a classifier that says the same of all ranks as chance does."""
    rows = [Example("p", "t", 0.0 if n < 2 else 1.0, 1.0) for n in range(10)]
    found = ranking([0.3] * 10, rows)
    assert found is not None
    assert (found.apgr, found.cpt50) == (pytest.approx(0.5), 0.5)


def test_the_gain_told_is_in_the_share_of_right_answers() -> None:
    """Where a part says twice the gain there is, its weight is a half."""
    from outlay.learned.familiar import Trial

    rows = [Example("p", "t", 0.0, float(n % 2)) for n in range(40)]
    trials = [Trial(n % 5, (2.0 * (n % 2), 0.0, 0.0), 1.0, 0.0) for n in range(40)]
    found = blend(trials, rows)
    assert len(found) == 1 + len(MIXES[0])
    assert found[1] * 2.0 + found[0] == pytest.approx(1.0)
    assert found[0] == pytest.approx(0.0)


def test_bounds_are_rounded_to_the_outside() -> None:
    """Where all prompts know 6 of 7 words, a bound of 0.857143 would make each of them foreign."""
    from outlay.learned.familiar import _quantile

    for share in (0.005, 0.02):
        assert 6 / 7 - 1e-5 < _quantile([6 / 7] * 9, share) <= 6 / 7
    assert 2 / 7 <= _quantile([2 / 7] * 9, 0.995) < 2 / 7 + 1e-5
    assert _quantile([1.0, 2.0, 3.0], 0.995) == 3.0


def test_examples_are_recognised_in_any_order() -> None:
    """The hash says what a model was trained on."""
    assert data_hash(small()) == data_hash(small()[::-1])
    assert data_hash(small()) != data_hash(small(weak=0.5))


def test_half_of_a_character_in_a_prompt_can_be_trained_on(tmp_path: Path) -> None:
    """Exports that cut texts leave such, and no database takes it; in the name of a task it is refused."""
    file = tmp_path / "examples"
    line = '{{"prompt": "{word} number {n} \\ud83d", "task": "mail", "weak": {weak}, "strong": 1}}\n'
    rows = (line.format(word="prove" if n % 2 else "greet", n=n, weak=1 - n % 2) for n in range(210))
    file.write_text("".join(rows))
    assert train(read_examples(str(file))).weights.encode()
    file.write_text('{"prompt": "hello", "task": "\\ud83d", "weak": 0, "strong": 1}')
    with pytest.raises(BadInput) as refused:
        read_examples(str(file))
    assert refused.value.field == "row 1: task"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,weak,strong\nhello,0,1\n", "has no column prompt; its columns: question, weak, strong"),
        ("prompt;weak;strong\nhello;0;1\n", "has no column prompt; its columns: prompt;weak;strong"),
        ("prompt,strong\nhello,1\n", "has no column weak; its columns: prompt, strong"),
        ('{"prompt": "hello", "weak_correct": 0}', "has no column strong; its columns: prompt, weak_correct"),
    ],
)
def test_a_file_without_a_column_names_it_and_those_that_it_has(tmp_path: Path, text: str, said: str) -> None:
    """Not its first row is wrong: the whole file is another one."""
    file = tmp_path / "examples"
    file.write_text(text)
    with pytest.raises(BadInput, match=said) as refused:
        read_examples(str(file))
    assert refused.value.field == "file"


def test_a_split_without_rows_names_those_that_there_are(tmp_path: Path) -> None:
    """Neither a misspelt split nor an empty file reads as a matter of too few rows."""
    file = tmp_path / "examples"
    file.write_text("prompt,task,weak,strong,split\nhello,mail,0,1,train\n")
    with pytest.raises(BadInput, match="Use one of: train") as refused:
        read_examples(str(file), "trian")
    assert refused.value.field == "split"
    file.write_text("prompt,task,weak,strong\n")
    with pytest.raises(BadInput, match="has no rows") as empty:
        read_examples(str(file))
    assert empty.value.field == "file"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "prompt,task,weak,strong\nhello,mail,0,1\n",
        '{"prompt": "hello", "task": "mail", "weak": 0, "strong": 1}\n\n',
        "prompt_id,prompt,subject,weak_correct,strong_correct\n1,hello,mail,0,1.0\n",
    ],
    ids=["csv", "json lines", "public data"],
)
def test_examples_are_read_from_files(tmp_path: Path, text: str, packed: bool) -> None:
    """Plain or packed."""
    file = tmp_path / "examples"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read_examples(str(file)) == [Example("hello", "mail", 0.0, 1.0)]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("prompt,task,weak,strong\n,mail,0,1\n", "row 2: prompt"),
        ("prompt,task,weak,strong\nhello,mail,2,1\n", "row 2: weak"),
        ("prompt,task,weak,strong\nhello,mail,0,\n", "row 2: strong"),
        ('{"prompt": "hello", "task": 5, "weak": 0, "strong": 1}', "row 1: task"),
        ('{"prompt": "hello"', "{file}:1"),
        ('{"prompt": "a", "weak": 0, "strong": 0}\n[1]', "{file}:2"),
        (b"\xff\xfe", "file"),
        (b"\x1f\x8bnothing", "file"),
    ],
)
def test_a_row_that_is_no_example_is_named(tmp_path: Path, text: str | bytes, field: str) -> None:
    """Nothing is skipped silently."""
    file = tmp_path / "examples"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as refused:
        read_examples(str(file))
    assert refused.value.field == field.format(file=file)


def test_scores_alone_give_a_table() -> None:
    """By class how often each tier was right; what a class has too few of is unfamiliar."""
    scores = [Judged("mail", n < 20, 1.0) for n in range(40)]
    scores += [Judged("law", n < 20, 0.0 if n < 20 else 1.0) for n in range(40)]
    scores += [Judged("rare", True, 1.0)] * 3
    made = table_model(scores)
    model = read_model(made.weights)
    assert made.quality["ranking"] is None
    mail, law = model.score("anything", "mail").gain, model.score("anything", "law").gain
    assert mail is not None
    assert law is not None
    assert law > mail
    assert "'rare' has 0 of the 10" in model.score("anything", "rare").why
    assert json.loads(made.weights)["classes"]["mail"][2] == 20
