"""Verdicts from values made by hand: no training, and symptoms as the tests say."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import CauseName
from studies.readings import DataProbe, EpochReadings, Telemetry
from studies.records import Outcome, StudyRecord, TrialRecord
from tests.tuner.proving.made_findings import finding, fixing
from tuner.proving import judging
from tuner.proving.contest import BASELINE, REFERENCE, Contest
from tuner.proving.proof import Proof, Verdict
from tuner.proving.yardstick import Yardstick

FAULTY = (0.5, 0.52, 0.48, 0.51, 0.49)
MENDED = (0.9, 0.93, 0.88, 0.92, 0.9)
HEALTHY = (0.91, 0.92, 0.9, 0.93, 0.89)
RATE = "learning_rate=0.01"
DATA = DataProbe(
    n_train=800, n_validation=200, n_test=0, input_min=0, input_max=1, input_mean=0, input_std=1,
    validation_class_counts=(20,) * 10,
)  # fmt: skip

Values = Sequence[float | None]
Judge = Callable[..., Proof]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Judge values by label, with the symptoms that each label's replicates show; by default only the faulty's do."""

    def judged(
        remedies: Mapping[str, Values],
        *,
        baseline: Values = FAULTY,
        reference: Values | None = HEALTHY,
        symptoms: Mapping[str, Sequence[str]] | None = None,
        symptom: str = "divergence",
        consequences: tuple[str, ...] = (),
        losses: Mapping[str, Sequence[float]] | None = None,
    ) -> Proof:
        edits = [fixing(*_parsed(label)) for label in remedies]
        found = finding(*edits, symptom=symptom, consequences=consequences)
        healthy = None if reference is None else {"width": 8}
        contest = Contest.of(found, {"learning_rate": 3.0}, reference=healthy)
        values = {BASELINE: baseline, **remedies, **({} if reference is None else {REFERENCE: reference})}
        shown = {BASELINE: ["divergence"], **(symptoms or {})}
        trials = _trials({label: values[label] for label in contest.configs}, losses)
        names = {trial.number: shown.get(label, []) for label, row in trials.items() for trial in row}
        monkeypatch.setattr(
            judging,
            "diagnose_record",
            lambda _record, number, **_: [finding(symptom=name, trial=number) for name in names[number]],
        )
        record = StudyRecord(
            name="r", direction="maximize", trials=tuple(trial for row in trials.values() for trial in row)
        )
        cause = CauseName.LEARNING_RATE_TOO_HIGH if losses is None else CauseName.OVERCONFIDENCE
        judged_as = finding(cause=cause)
        yardstick = Yardstick.of(judged_as, metric="validation_accuracy", direction="maximize")
        return judging.judged(contest, trials, record, yardstick, seeds=range(1000, 1000 + len(baseline)))

    return judged


def _parsed(label: str) -> tuple[str, Any]:
    lever, _, value = label.partition("=")
    return lever, float(value)


def _trials(
    values: Mapping[str, Values], losses: Mapping[str, Sequence[float]] | None
) -> dict[str, list[TrialRecord]]:
    rows, number = {}, 0
    for label, own in values.items():
        rows[label] = [
            TrialRecord(
                number=number + place,
                state="pruned" if value is None else "complete",
                outcome=Outcome.DIVERGED if value is None else Outcome.COMPLETED,
                value=value,
                telemetry=Telemetry(data=DATA, epochs=_epochs(value, losses and losses[label][place])),
            )
            for place, value in enumerate(own)
        ]
        number += len(own)
    return rows


def _epochs(accuracy: float | None, loss: float | None) -> tuple[EpochReadings, ...]:
    """The untrained network and one trained epoch where a loss is said; none else."""
    if loss is None or accuracy is None:
        return ()
    untrained = EpochReadings(epoch=0, train_loss=math.log(10), validation_loss=math.log(10))
    return (
        untrained,
        EpochReadings(epoch=1, train_loss=loss, validation_loss=loss, validation_accuracy=accuracy),
    )


def test_a_remedy_that_closes_the_gap_without_a_symptom_is_proven(judge: Judge) -> None:
    """With its numbers, and its config ready to use."""
    proof = judge({RATE: MENDED})
    tried = proof.remedies[0]
    assert tried.verdict is Verdict.PROVEN
    assert tried.gain.mean == pytest.approx(np.mean(np.subtract(MENDED, FAULTY)))
    assert tried.recovered == pytest.approx(0.406 / 0.41)
    assert tried.p_better == pytest.approx(6 / 7)
    assert proof.config is not None
    assert (proof.config["learning_rate"], proof.config["seed"]) == (0.01, 0)
    assert "99% (95% to 103%) of the gap to the healthy reference" in tried.why
    assert proof.sentence.startswith("Proven against divergence: learning_rate=0.01.")


def test_symptom_clearance_alone_is_no_proof(judge: Judge) -> None:
    """Of four fifths of the gap half is too little, however clean the curves."""
    proof = judge({RATE: [value + 0.2 for value in FAULTY]})
    tried = proof.remedies[0]
    assert (tried.verdict, tried.symptom_gone) == (Verdict.NOT_PROVEN, True)
    assert tried.why.endswith("but a repair recovers 80%.")
    assert proof.config is None
    assert proof.sentence.startswith("No remedy is proven against divergence.")


def test_a_gain_with_the_symptom_is_no_proof(judge: Judge) -> None:
    """Three replicates of five that still show it are most."""
    proof = judge({RATE: MENDED}, symptoms={RATE: ["divergence"]})
    assert proof.remedies[0].why.endswith("but the symptom remains in 5 of 5.")
    assert not proof.is_proven


def test_a_new_symptom_is_no_proof(judge: Judge) -> None:
    """A fault for a fault; what the first one explained is not new."""
    proof = judge({RATE: MENDED}, symptoms={RATE: ["overfitting"]})
    assert proof.remedies[0].new_symptoms == ("overfitting",)
    assert proof.remedies[0].why.endswith("but overfitting is new.")
    explained = judge({RATE: MENDED}, symptoms={RATE: ["overfitting"]}, consequences=("overfitting",))
    assert explained.remedies[0].new_symptoms == ()
    assert "the symptom remains in 5 of 5" in explained.remedies[0].why


def test_being_behind_the_luckiest_replicate_is_no_new_symptom(judge: Judge) -> None:
    """The paired gain has measured it; where it is what is to be mended it must be gone."""
    proof = judge({RATE: MENDED}, symptoms={RATE: ["falls_behind"]})
    assert proof.remedies[0].new_symptoms == ()
    assert proof.is_proven
    itself = judge({RATE: MENDED}, symptom="falls_behind", symptoms={RATE: ["falls_behind"]})
    assert itself.remedies[0].why.endswith("but the symptom remains in 5 of 5.")


def test_the_same_fault_under_another_name_has_not_gone(judge: Judge) -> None:
    """With fresh seeds most faulty replicates show a plateau instead: that is a sign of the fault, too."""
    proof = judge({RATE: MENDED}, symptoms={BASELINE: ["plateau"], RATE: ["plateau"]})
    assert proof.n_with_symptom == 5
    assert proof.remedies[0].n_with_symptom == 5
    assert proof.remedies[0].new_symptoms == ()


def test_what_makes_it_worse_is_said_to(judge: Judge) -> None:
    """The interval lies below zero: a loss, in percent points, with the interval's own confidence."""
    proof = judge({RATE: [value - 0.2 for value in (0.5, 0.53, 0.48, 0.52, 0.49)]})
    assert proof.remedies[0].verdict is Verdict.MADE_WORSE
    assert re.fullmatch(
        r"It loses 19.6 points \(95% interval 18.\d to 20.\d\) over 5 seeds.", proof.remedies[0].why
    )
    several = judge({RATE: MENDED, "dropout=0.5": FAULTY, "momentum=0.5": FAULTY, "depth=2": FAULTY})
    assert several.remedies[0].why.startswith("It gains 40.6 points (98.75% interval ")


def test_noise_is_no_proof(judge: Judge) -> None:
    """The same values in another order."""
    proof = judge({RATE: FAULTY[::-1]}, reference=None)
    assert proof.remedies[0].verdict is Verdict.NOT_PROVEN
    assert "that can be noise" in proof.remedies[0].why


def test_a_remedy_of_overconfidence_may_not_cost_accuracy(judge: Judge) -> None:
    """Judged by the validation loss, of which less is better; the study's own metric must not be worse."""
    losses = {BASELINE: (0.5, 0.52, 0.48, 0.51, 0.49), RATE: (0.3, 0.33, 0.28, 0.3, 0.29)}
    same = judge({RATE: HEALTHY}, baseline=HEALTHY, reference=None, losses=losses)
    assert same.metric == "validation_loss"
    assert same.remedies[0].gain.mean == pytest.approx(0.2)
    assert same.is_proven
    paid = [value - 0.1 for value in (0.91, 0.93, 0.9, 0.92, 0.89)]
    dearer = judge({RATE: paid}, baseline=HEALTHY, reference=None, losses=losses)
    assert dearer.remedies[0].verdict is Verdict.NOT_PROVEN
    assert dearer.remedies[0].why.endswith("but it costs validation accuracy.")


def test_a_loss_that_blew_up_hides_no_remedy(judge: Judge) -> None:
    """Losses of 40 to 2e9 all say that nothing was learned: their spread is no doubt about what mends them."""
    losses = {BASELINE: (1e7, 40.0, 2e9, 3e6, 5e8), RATE: (0.3, 0.33, 0.28, 0.3, 0.29)}
    proof = judge({RATE: HEALTHY}, baseline=FAULTY, reference=None, losses=losses)
    assert proof.remedies[0].gain.mean == pytest.approx(10 * math.log(10) - 0.3)
    assert proof.is_proven
    assert proof.baseline == losses[BASELINE]
    overfit = {BASELINE: (9.0, 9.5, 8.5, 9.1, 8.9), RATE: (5.0, 5.4, 4.8, 5.2, 4.9)}
    kept = judge({RATE: HEALTHY}, baseline=HEALTHY, reference=None, losses=overfit)
    assert kept.remedies[0].gain.mean == pytest.approx(3.94)


def test_without_a_reference_a_clear_gain_is_a_proof(judge: Judge) -> None:
    """There is no gap to close."""
    proof = judge({RATE: [value + 0.1 for value in (0.5, 0.53, 0.48, 0.52, 0.49)]}, reference=None)
    assert proof.remedies[0].verdict is Verdict.PROVEN
    assert proof.remedies[0].recovered is None


def test_a_reference_that_is_not_told_from_the_faulty_config_plays_no_part(judge: Judge) -> None:
    """Its one lucky trial was no reason to measure by it; that is said."""
    proof = judge({RATE: MENDED}, reference=FAULTY[::-1])
    assert proof.remedies[0].recovered is None
    assert proof.is_proven
    assert proof.sentence.endswith(
        "The healthy reference is not told from the faulty config, so it plays no part."
    )


@pytest.mark.parametrize("n", [3, 5])
def test_five_diverged_replicates_can_be_mended(judge: Judge, n: int) -> None:
    """They count as chance, 0.1 here; by ranks nothing could be proven below six seeds."""
    proof = judge({RATE: MENDED[:n]}, baseline=(None,) * n, reference=HEALTHY[:n])
    tried = proof.remedies[0]
    assert proof.baseline == (None,) * n
    assert tried.gain.mean == pytest.approx(np.mean(MENDED[:n]) - 0.1)
    assert tried.verdict is Verdict.PROVEN


def test_a_diverged_replicate_is_no_better_than_the_worst_that_did_not(judge: Judge) -> None:
    """Chance is 0.1, but one that did not diverge reached 0.05."""
    proof = judge({RATE: MENDED}, baseline=(None, 0.05, 0.1, None, 0.1))
    assert proof.remedies[0].gain.mean == pytest.approx(np.mean(MENDED) - 0.07)


def test_a_remedy_that_diverges_now_and_then_is_no_repair(judge: Judge) -> None:
    """Two of five lost: four fifths of the gap are not recovered, and the bounds say so."""
    proof = judge({RATE: (0.9, None, 0.88, None, 0.9)})
    assert proof.remedies[0].verdict is Verdict.NOT_PROVEN


def test_gains_that_are_all_the_same_have_bounds(judge: Judge) -> None:
    """A perfect remedy of a dead network: as sure as one validation sample in each replicate."""
    proof = judge({RATE: (1.0,) * 5}, baseline=(0.1,) * 5, reference=None)
    gain = proof.remedies[0].gain
    assert (gain.mean, gain.method) == (pytest.approx(0.9), "t")
    assert gain.high - gain.mean == pytest.approx(2.776 / 200 / math.sqrt(5), rel=1e-3)
    assert proof.is_proven


def test_all_intervals_hold_together(judge: Judge) -> None:
    """Of three remedies each has 98.3%, so that the whole table errs in 5%; the best of the proven is taken."""
    proof = judge({RATE: MENDED, "dropout=0.5": FAULTY, "momentum=0.5": [value + 0.02 for value in MENDED]})
    assert proof.confidence == pytest.approx(1 - 0.05 / 3)
    assert {tried.gain.confidence for tried in proof.remedies} == {proof.confidence}
    assert proof.best is not None
    assert proof.best.label == "momentum=0.5"


def test_few_remedies_without_effect_are_ever_proven(judge: Judge) -> None:
    """Of 200 findings with three idle remedies each at most 5% have one called proven, and 5% one called worse."""
    random = np.random.default_rng(0)
    n_proven = n_worse = 0
    for _ in range(200):
        seed_effect = 0.02 * random.standard_normal(5)
        draw = [tuple(0.5 + seed_effect + 0.01 * random.standard_normal(5)) for _ in range(4)]
        labels = (RATE, "dropout=0.5", "momentum=0.5")
        verdicts = [
            tried.verdict
            for tried in judge(
                dict(zip(labels, draw[1:], strict=True)), baseline=draw[0], reference=None
            ).remedies
        ]
        n_proven += Verdict.PROVEN in verdicts
        n_worse += Verdict.MADE_WORSE in verdicts
    assert n_proven <= 10
    assert n_worse <= 10


def test_json_has_the_public_names(judge: Judge) -> None:
    """DESIGN §3; additions are allowed."""
    json = judge({RATE: MENDED}).to_json()
    assert {"trial", "finding", "remedies", "config"} <= json.keys()
    assert {"sentence", "edits", "verdict", "gain", "low", "high", "n_seeds"} <= json["remedies"][0].keys()
    assert json["remedies"][0]["verdict"] == "proven"
    assert json["remedies"][0]["edits"] == [{"kind": "fix", "lever": "learning_rate", "value": 0.01}]
