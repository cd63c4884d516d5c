"""The order of the remedies is the one that the benchmark's repairs prove, wherever they can tell."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.diagnosis.remedy_order import (
    Count,
    counts_of,
    hands_of,
    levers_of,
    main,
    must_precede,
    own_levers,
    p_oftener,
    proposed,
    read_table,
)
from benchmarks.diagnosis.repaired import FOLDER, Attempt, ByHand, Repair, write
from studies.diagnosis import lever_rules
from studies.diagnosis.benchmarked import TABLE, Benchmarked, benchmarked
from studies.diagnosis.finding import Cause, CauseName, Remedy
from studies.diagnosis.remedies import REMEDIES, remedies_for
from studies.diagnosis.situation import Situation
from tests.made_trials import good_trial

GOOD = Attempt(
    change="learning_rate=0.1", levers=("learning_rate",), recovered=0.9, p_better=0.8, symptom_gone=True
)
BAD = replace(GOOD, change="clip_norm=1", levers=("clip_norm",), recovered=0.1)


def _repair(case: str, *ours: Attempt, named: str = "missing_warmup") -> Repair:
    return Repair(case=case, gap=0.1, named=named, ours=ours, random=(), rate=(), tpe=(), seconds=1.0)


def _count(*repaired: bool) -> Count:
    return Count(cases={str(place): each for place, each in enumerate(repaired)}, recovered=0.5)


def test_the_order_of_the_remedies_is_the_proven_one() -> None:
    """Closure: no pair of a cause's own levers stands against what the committed table proves."""
    counts = read_table()
    n_proven = sum(len(must_precede(levers)) for levers in counts.values())
    assert n_proven >= 5
    for cause, levers in counts.items():
        present = own_levers(CauseName(cause))
        assert proposed(present, levers) == present, cause


def test_a_lower_rate_comes_before_a_warmup() -> None:
    """The case that the table decides against the playbook: three of three against none of three."""
    levers = read_table()["missing_warmup"]
    assert (levers["learning_rate"].n_repaired, levers["warmup_fraction"].n_repaired) == (3, 0)
    assert own_levers(CauseName.MISSING_WARMUP)[:2] == ["learning_rate", "warmup_fraction"]


def test_the_committed_counts_are_those_of_their_cases() -> None:
    """Counts, interval and cases say the same, and every cause and lever is one of ours."""
    read = json.loads(TABLE.read_text(encoding="utf-8"))
    for cause, rows in read["causes"].items():
        for lever, row in rows.items():
            assert (row["repaired"], row["tried"]) == (sum(row["cases"].values()), len(row["cases"]))
            assert 0.0 <= row["low"] <= row["repaired"] / row["tried"] <= row["high"] <= 1.0
            assert lever in own_levers(CauseName(cause))
    assert (
        len({case for rows in read["causes"].values() for row in rows.values() for case in row["cases"]}) > 40
    )


@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [
        (_count(True, True, True), _count(False, False, False), 1 - 1 / 70),
        (_count(True, True), _count(False, False), 1 - 1 / 20),
        (_count(True, False), _count(True, False), 0.5),
        (_count(False, False), _count(True, True), 1 / 20),
    ],
)
def test_the_chance_of_an_order_is_exact(one: Count, other: Count, chance: float) -> None:
    """All of n against none: the one's n + 1 uniform numbers would all have to lie below the other's."""
    assert p_oftener(one, other) == pytest.approx(chance)


def test_the_chance_of_an_order_is_that_of_its_slow_twin() -> None:
    """Draws from both posteriors."""
    one, other = _count(True, True, False, True), _count(True, False, False, False)
    draw = random.Random(0).betavariate  # noqa: S311 - no secret
    wins = sum(draw(4, 2) > draw(2, 4) for _ in range(40_000)) / 40_000
    assert p_oftener(one, other) == pytest.approx(wins, abs=0.01)


def test_only_cases_in_which_both_were_trained_decide() -> None:
    """Three easy cases that only the one was tried on prove nothing against the other's three hard ones."""
    easy = Count(cases={"a": True, "b": True, "c": True}, recovered=1.0)
    hard = Count(cases={"d": False, "e": False, "f": False}, recovered=0.0)
    assert p_oftener(easy, hard) == pytest.approx(0.5)
    assert must_precede({"dropout": easy, "width": hard}) == []


def test_two_cases_prove_no_order_and_three_do() -> None:
    """More than 95% is asked for, and two against none are 95% exactly."""
    for n, pairs in ((2, []), (3, [("b", "a")])):
        levers = {"a": _count(*[False] * n), "b": _count(*[True] * n)}
        assert must_precede(levers) == pairs


def test_an_order_changes_as_little_as_the_proof_asks_for() -> None:
    """What must not come first waits until the better one has; all others keep their places."""
    levers = {"a": _count(*[False] * 3), "c": _count(*[True] * 3), "b": _count(True, False, True)}
    assert proposed(["a", "b", "c", "d"], levers) == ["b", "c", "a", "d"]
    assert proposed(["c", "b", "a"], levers) == ["c", "b", "a"]


def test_a_cause_is_counted_by_its_own_levers_where_it_was_named() -> None:
    """By the likeliest cause, whatever was planted; a rival's lever is not its evidence, and silence is nobody's."""
    foreign = replace(GOOD, change="width=64", levers=("width",))
    counts = counts_of(
        [_repair("a", GOOD, BAD, foreign), _repair("b", replace(GOOD, recovered=0.2)), _repair("c", named="")]
    )
    assert set(counts) == {"missing_warmup"}
    assert set(counts["missing_warmup"]) == {"learning_rate", "clip_norm"}
    rate = counts["missing_warmup"]["learning_rate"]
    assert dict(rate.cases) == {"a": True, "b": False}
    assert rate.recovered == pytest.approx(0.55)


def test_what_no_lever_mends_is_counted_by_its_action() -> None:
    """Named at any place, named first, and recovering once it is undone."""
    done = ByHand(
        case="dying_relu/mlp/mild", named="dying_relu", actions=("x", "y"), place=1, recovered=1.0, p_better=0.8,
        seconds=1.0,
    )  # fmt: skip
    first = replace(done, place=0, recovered=0.1)
    expected = {"dying_relu": {"cases": 2, "named": 2, "first": 1, "recovers": 1}}
    assert hands_of([done, first]) == expected


def test_every_rule_on_a_lever_is_known_by_it() -> None:
    """But for what another rule of the same cause stands for, and for actions."""
    rules = {rule for rules in REMEDIES.values() for rule in rules if rule.__module__ == lever_rules.__name__}
    silent = {rule for rule in rules if not levers_of(rule)}
    assert silent == {lever_rules.less_of_the_stronger, lever_rules.more_data}


def test_the_command_writes_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored repairs in, counts with their cases out; without any it says where they come from."""
    table = tmp_path / "table.json"
    monkeypatch.setattr("benchmarks.diagnosis.remedy_order.TABLE", table)
    with pytest.raises(SystemExit):
        main(["--repair-folder", str(tmp_path)])
    assert "--stage repair" in capsys.readouterr().err
    for case in ("a", "b", "c"):
        write(_repair(case, BAD, GOOD), tmp_path / "mnist" / "blind" / FOLDER / f"{case}.json")
    main(["--repair-folder", str(tmp_path)])
    assert read_table(table)["missing_warmup"]["learning_rate"].n_repaired == 3
    told = capsys.readouterr().out
    assert "| `missing_warmup` | `clip_norm` | 0/3 |" in told
    assert "learning_rate before clip_norm (98.6%); the order agrees" in told


def test_a_remedy_says_what_the_benchmark_says_of_it() -> None:
    """Of the likeliest cause's own levers; a rival cause's remedy was not tried against this fault."""
    trial = Situation(
        trial=good_trial(config={"learning_rate": 0.1, "warmup_fraction": 0.0, "momentum": 0.99})
    )
    causes = [
        Cause(name=name, confidence=0.5) for name in (CauseName.MISSING_WARMUP, CauseName.MOMENTUM_TOO_HIGH)
    ]
    rate, warmup, *_, momentum = remedies_for(causes, trial)
    assert rate.benchmarked == benchmarked("missing_warmup", "learning_rate")
    assert rate.told.endswith(" It repaired 3 of 3 cases in the benchmark.")
    assert warmup.to_json()["benchmark"] == {"repaired": 0, "tried": 3}
    assert momentum.edits[0].lever == "momentum"
    assert momentum.benchmarked is None
    assert momentum.told == momentum.sentence
    assert momentum.to_json()["benchmark"] is None


def test_what_was_not_trained_has_no_count() -> None:
    """None rather than none of none; an action is none of the levers."""
    assert benchmarked("missing_warmup", "dropout") is None
    assert Benchmarked(n_repaired=1, n_tried=1).text == "repaired 1 of 1 case in the benchmark"
    with pytest.raises(ValueError, match="0 to n of n cases"):
        Benchmarked(n_repaired=0, n_tried=0)
    assert Remedy(sentence="Look.", action="Look.").told == "Look."
