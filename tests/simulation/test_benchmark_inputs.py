"""
What benchmarks read, what they may train on, and what they say of files that they cannot use.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import budget_days, cache_sessions, gate, pacing, ranking
from benchmarks.inputs import asked, read_outcomes, trainable
from outlay.errors import BadInput
from outlay.learned import parts

EXTRACT = Path(__file__).parents[2] / "benchmarks" / "data" / "ranking_extract.csv.gz"
HEADER = "prompt_id,dataset,subject,split,prompt,weak_correct,strong_correct"
DAYS = "t_s,day,tenant,input_tokens,output_tokens,prompt_id\n1,0,t,10,10,p1\n"

Command = Callable[[Sequence[str]], Any]


def outcomes(path: Path, *rows: str, header: str = HEADER) -> Path:
    """A file of outcomes, as `id,split,prompt` each."""
    lines = []
    for row in rows:
        prompt_id, split, prompt = row.split(",")
        lines.append(f'{prompt_id},mmlu,law,{split},"{prompt}",0,1')
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def prompts(path: Path, evaluation: Path) -> list[str]:
    """What of one file teaches when another is asked."""
    return [row.example.prompt for row in trainable(path, asked(read_outcomes(evaluation)))]


def test_one_file_for_both_trains_on_the_splits_that_it_does_not_ask(tmp_path: Path) -> None:
    """Split `eval` is asked, and every other row teaches."""
    both = outcomes(tmp_path / "f.csv", "p1,train,one", "p2,eval,two", "p3,spare,three")
    assert [row.prompt_id for row in asked(read_outcomes(both))] == ["p2"]
    assert prompts(both, both) == ["one", "three"]


def test_all_of_another_file_teaches_but_what_is_asked(tmp_path: Path) -> None:
    """A prompt is known by its id and by its text, however spaced; split `eval` of another file teaches."""
    training = outcomes(
        tmp_path / "f.csv", "p1,train,one", "p2,eval,two", "p3,eval,three", "p4,train,four  words", ",,five"
    )
    held_out = outcomes(tmp_path / "h.csv", "p2,held,other", "q4,held,four words", ",held,none")
    assert len(asked(read_outcomes(held_out))) == 3
    assert prompts(training, held_out) == ["one", "three", "five"]


def test_a_file_that_is_asked_entirely_teaches_nothing(tmp_path: Path) -> None:
    """Without a split, one file for both leaves no row; the message names the file."""
    both = outcomes(tmp_path / "f.csv", "p1,,one", "p2,,two")
    with pytest.raises(BadInput, match=r"f\.csv: each of its 2 prompts is asked"):
        prompts(both, both)


def test_columns_that_are_not_needed_may_be_missing(tmp_path: Path) -> None:
    """Neither an id nor a split is needed, and gzip is seen by its bytes."""
    text = "dataset,subject,prompt,weak_correct,strong_correct\nmmlu,law,one,0.5,1\n"
    path = tmp_path / "plain.csv"
    path.write_bytes(gzip.compress(text.encode()))
    (row,) = read_outcomes(path)
    assert (row.prompt_id, row.split, row.dataset, row.example.weak) == ("", "", "mmlu", 0.5)


@pytest.fixture
def few_trees() -> Iterator[None]:
    """Fewer trees: what a benchmark prints is looked at, not how good it is."""
    kept, parts.TREES = parts.TREES, 8
    yield
    parts.TREES = kept


@pytest.mark.usefixtures("few_trees")
def test_ranking_prints_the_measures_of_each_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    """One file for both: trained on what is not asked, measured by data set."""
    ranking.main(["--train", str(EXTRACT), "--eval", str(EXTRACT), "--json"])
    found = json.loads(capsys.readouterr().out)
    splits = Counter(row.split for row in read_outcomes(EXTRACT))
    assert found["training"]["examples"] == splits["train"]
    assert found["mmlu"]["prompts"] + found["gsm8k"]["prompts"] == splits["eval"]
    assert {"apgr", "cpt50", "cpt80", "saved_at_95"} <= set(found["mmlu"])


@pytest.mark.usefixtures("few_trees")
def test_gate_prints_every_data_set_and_the_way_to_foreign_traffic(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is foreign goes nowhere, whatever the promise."""
    gate.main(["--train", str(EXTRACT), "--eval", str(EXTRACT), "--times", "5", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [one["alpha"] for one in found["datasets"]["mmlu"]["alphas"]] == [0.1, 0.15, 0.2, 0.3]
    (way,) = found["transfer"]
    assert (way["trained_on"], way["served"]) == ("mmlu", "gsm8k")
    assert all(one["share_small"] == 0 for one in way["alphas"])


def commands(tmp_path: Path) -> dict[str, tuple[Command, list[str]]]:
    """Each command with usable files."""
    table = str(outcomes(tmp_path / "outcomes.csv", "p1,train,one", "p2,eval,two"))
    days = tmp_path / "days.csv"
    days.write_text(DAYS)
    return {
        "ranking": (ranking.main, ["--train", table, "--eval", table]),
        "gate": (gate.main, ["--train", table, "--eval", table]),
        "budget_days": (
            budget_days.main,
            ["--requests", str(days), "--outcomes", table, "--train", table],
        ),
        "cache_sessions": (cache_sessions.main, ["--trace", table]),
    }


BAD = {
    "missing": (None, "cannot be read"),
    "empty": ("", "has no rows"),
    "other": ("a,b\n1,2\n", r"bad\.csv: column \w+: is missing. The file has: a, b"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["ranking", "gate", "budget_days", "cache_sessions"])
def test_a_command_names_the_file_that_it_cannot_use(
    name: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is missing, empty or of other columns ends each command with status 2 and one line."""
    main, arguments = commands(tmp_path)[name]
    text, said = BAD[bad]
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    for place in range(1, len(arguments), 2):
        with pytest.raises(SystemExit) as ended:
            main([*arguments[:place], str(path), *arguments[place + 1 :]])
        assert ended.value.code == 2
        told = capsys.readouterr().err
        assert re.search(said, told), told
        assert "bad.csv" in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,0,t,10,10,p9", r"days\.csv: row 2: prompt_id: has no outcome \(found: .?p9"),
        ("1,0,t,ten,10,p1", r"days\.csv: row 2: input_tokens: is no number from 0"),
        ("1,,t,10,10,p1", r"days\.csv: row 2: day: is no number from 0"),
    ],
)
def test_a_request_that_cannot_be_used_is_named(row: str, said: str, tmp_path: Path) -> None:
    """The message says file, row and column."""
    header = DAYS.split("\n", maxsplit=1)[0]
    (tmp_path / "days.csv").write_text(f"{header}\n{row}\n")
    rows = [f"t{n},train,prompt number {n}" for n in range(60)]
    table = outcomes(tmp_path / "outcomes.csv", "p1,eval,one", *rows)
    with pytest.raises(BadInput, match=said):
        budget_days.made_bench(tmp_path / "days.csv", table, table, "opus5")


@pytest.mark.parametrize(
    "main", [ranking.main, gate.main, budget_days.main, cache_sessions.main, pacing.main]
)
def test_every_command_explains_itself(main: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows how the command is called."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "python -m benchmarks." in capsys.readouterr().out
