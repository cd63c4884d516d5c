from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.diagnosis.parts import Listed
from benchmarks.diagnosis.scoring import (
    Answer,
    Scored,
    confusions,
    is_right_enough,
    named_causes,
    scores,
    together,
    upper_bound,
)
from benchmarks.diagnosis.table import BEGIN, END, lines_of, markdown, write_between_markers
from studies.diagnosis import Cause, CauseName, Finding, Severity

RATE, BATCH, NOISE = CauseName.LEARNING_RATE_TOO_HIGH, CauseName.BATCH_TOO_SMALL, CauseName.LABEL_NOISE
FOUND = Finding(trial=0, symptom="oscillation", severity=Severity.WARNING, sentence="It swings.")


def _answer(cause: CauseName | None, *named: CauseName, alarm: bool = True) -> Answer:
    return Answer(
        case="x", seed=0, cause=cause, planted=cause, named=named, findings=(FOUND,) if alarm else ()
    )


def _scored(*answers: Answer) -> Scored:
    return Scored(part="blind", answers=answers, admissions={}, n_missing=0, seconds=0.1)


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    """0 of 59, 1 of 93 and 2 of 124 stay at 5% (reference notes, on sizes)."""
    for n_hits, n in ((0, 59), (1, 93), (2, 124)):
        assert upper_bound(n_hits, n) <= 0.05 < upper_bound(n_hits, n - 1)
    assert upper_bound(3, 3) == 1


def test_shares_by_hand() -> None:
    """Four faulty and four healthy runs."""
    figures = scores(
        _scored(
            _answer(RATE, RATE),
            _answer(RATE, BATCH, RATE),
            _answer(NOISE),
            _answer(NOISE, alarm=False),
            _answer(None, RATE),
            *[_answer(None, alarm=False)] * 3,
        )
    )
    assert (figures.recall, figures.precision, figures.false_alarm_rate) == (0.75, 0.75, 0.25)
    assert (figures.top1, figures.top3, figures.abstentions) == (0.25, 0.5, 1)
    assert (figures.top1_of_found, figures.top3_of_found) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_parts_are_scored_together_as_one() -> None:
    """Shares of all runs, not means of shares."""
    first = _scored(_answer(RATE, RATE), _answer(None, alarm=False))
    second = replace(
        _scored(*[_answer(RATE, alarm=False)] * 3, _answer(None, RATE)), part="fresh", n_missing=2
    )
    both = together([first, second])
    assert (both.part, both.n_missing, both.seconds) == ("blind + fresh", 2, 0.2)
    figures = scores(both)
    assert (figures.recall, figures.precision, figures.false_alarm_rate) == (0.25, 0.5, 0.5)


def test_a_planted_fault_without_harm_is_no_false_alarm_of_the_healthy_list() -> None:
    """Only what is sound by construction makes the false alarm rate."""
    harmless = replace(_answer(None, RATE), planted=RATE)
    figures = scores(_scored(harmless, _answer(None, alarm=False)))
    assert (figures.false_alarms, figures.n_healthy) == (0, 1)


def test_top_causes_of_all_findings_come_before_second_ones() -> None:
    """Each cause once."""
    first = replace(FOUND, causes=(Cause(name=RATE, confidence=0.9), Cause(name=BATCH, confidence=0.5)))
    second = replace(FOUND, causes=(Cause(name=NOISE, confidence=0.8), Cause(name=RATE, confidence=0.1)))
    assert named_causes([first, second]) == (RATE, NOISE, BATCH)


def test_relaxed_takes_a_lever_that_was_proven_to_mend_the_case() -> None:
    """Wrongly named, rightly mended."""
    given = replace(_answer(RATE, BATCH), levers=("batch_size", "epochs"))
    assert is_right_enough(given, {"x": frozenset({"batch_size"})})
    assert not is_right_enough(given, {"x": frozenset({"epochs"})})
    assert not is_right_enough(given, {})


def test_confusions_count_silence_and_speechless_alarms() -> None:
    """- is no alarm, ? one without a cause."""
    counted = confusions(
        _scored(_answer(RATE, BATCH), _answer(RATE, alarm=False), _answer(RATE), _answer(None, alarm=False))
    )
    assert counted["learning_rate_too_high", "batch_too_small"] == 1
    assert counted["learning_rate_too_high", "-"] == counted["learning_rate_too_high", "?"] == 1
    assert counted["healthy", "-"] == 1


def test_the_table_goes_between_its_markers(tmp_path: Path) -> None:
    """And nothing else of the document changes."""
    scored = _scored(_answer(RATE, RATE), _answer(None, alarm=False))
    document = tmp_path / "diagnosis.md"
    document.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    write_between_markers(document, markdown([("blind", scored, scores(scored))], "Two runs."))
    text = document.read_text(encoding="utf-8")
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert "| recall: harmful faults that were flagged | >= 90% | 100.0% |" in text
    assert "100.0%" in "\n".join(lines_of(scored, scores(scored)))
    with pytest.raises(ValueError, match="must have the lines"):
        write_between_markers(Path(__file__).with_name("__init__.py"), "text")


def test_a_list_counts_its_seeds_from_its_own_first() -> None:
    """Calibration from 0, blind from 100."""
    assert Listed(part="blind", faulty=(), healthy=()).seeds(2) == [100, 101]
