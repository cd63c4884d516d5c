"""What is wrong with code, data and untrained networks, and what is only odd about them."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from search_spaces.edits import EditKind
from studies.diagnosis import CauseName, Severity, diagnose_record, missing_evidence
from studies.diagnosis.actions import ACTIONS
from studies.diagnosis.alternatives import DISCRIMINATIONS
from studies.diagnosis.finding import Finding
from studies.diagnosis.remedies import REMEDIES
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptoms import TRIAL_SYMPTOMS
from studies.diagnosis.symptoms.abnormal_start import growth_per_layer
from studies.diagnosis.symptoms.saturating_loss import lowest_of_probabilities
from studies.diagnosis.symptoms.skewed_classes import class_drift
from studies.readings import NAN, CodeProbe, LayerProbe
from studies.records import Outcome, TrialRecord
from tests import cases
from tests.cases import LN10, good_trial, step_zero, study_of, trial_of
from tests.early_cases import (
    CONTROLS,
    EARLY_CASES,
    layers,
    stuck_trial,
    with_class_accuracy,
    with_code,
    with_data,
    with_start,
)


def the_finding(trial: TrialRecord) -> Finding:
    (finding,) = diagnose_record(study_of(trial), trial.number)
    return finding


def faults(trial: TrialRecord) -> list[str]:
    findings = diagnose_record(study_of(trial), trial.number)
    return [finding.symptom for finding in findings if finding.severity is not Severity.NOTE]


@pytest.mark.parametrize("symptom", EARLY_CASES)
def test_each_case_shows_exactly_its_symptom(symptom: str) -> None:
    """A study made to show one early symptom gets that finding, of its stage, and no other."""
    (finding,) = diagnose_record(EARLY_CASES[symptom]())
    stages = {known.name: known.stage for known in TRIAL_SYMPTOMS}
    assert (finding.symptom, finding.stage) == (symptom, stages[symptom])
    assert finding.severity is not Severity.NOTE
    assert finding.stage in {Stage.CODE, Stage.DATA, Stage.UNTRAINED}


@pytest.mark.parametrize("symptom", EARLY_CASES)
def test_each_finding_is_complete(symptom: str) -> None:
    """It has a cause, evidence beyond its threshold with a source, a remedy, and strict JSON."""
    (finding,) = diagnose_record(EARLY_CASES[symptom]())
    assert finding.causes
    assert finding.evidence
    assert all(row.source and row.value != row.threshold for row in finding.evidence)
    assert finding.remedies
    assert all(remedy.sentence.endswith(".") for remedy in finding.remedies)
    assert finding.sentence.endswith(".")
    shown = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert shown["stage"] == finding.stage.label


@pytest.mark.parametrize("control", CONTROLS)
def test_an_anomaly_without_harm_is_no_fault(control: str) -> None:
    """Odd trainings that are as good as any get notes at most."""
    assert {f.severity for f in diagnose_record(CONTROLS[control]())} <= {Severity.NOTE}


@pytest.mark.parametrize("cause", CauseName)
def test_every_cause_has_something_to_do_and_to_tell_it_by(cause: CauseName) -> None:
    """Each public cause has a line in the tables of remedies (or of actions) and of discriminations."""
    assert REMEDIES[cause] or cause is CauseName.SEED_NOISE
    assert cause in DISCRIMINATIONS


@pytest.mark.parametrize("name", [name for name in ACTIONS if name is not CauseName.DYING_RELU])
def test_a_loop_of_ones_own_gets_the_line_to_write(name: CauseName) -> None:
    """Where the config names no lever at all, the remedy is an action, in which code is marked as such."""
    from studies.diagnosis.situation import Situation

    foreign = Situation(trial=dataclasses.replace(good_trial(), config={}))
    found = [remedy for rule in ACTIONS[name] if (remedy := rule(foreign)) is not None]
    assert found
    assert all(remedy.action and not remedy.edits for remedy in found)


@pytest.mark.parametrize(
    ("case", "config", "lever", "value"),
    [
        ("skewed_classes", {"class_weights": "none"}, "class_weights", "balanced"),
        ("input_scale", {"input_scaling": "none"}, "input_scaling", "standardize"),
        ("input_shift", {"augmentation": 0.8}, "augmentation", 0.2),
    ],
)
def test_where_a_lever_mends_it_the_remedy_is_an_edit(
    case: str, config: dict[str, Any], lever: str, value: object
) -> None:
    """The toolkit's own levers are set, not talked about."""
    trial = EARLY_CASES[case]().trials[0]
    finding = the_finding(dataclasses.replace(trial, config={**trial.config, **config}))
    edit = finding.remedies[0].edits[0]
    assert (edit.kind, edit.lever, edit.value) == (EditKind.FIX, lever, value)


# --- stages


def test_the_earliest_stage_is_the_cause_and_takes_the_worst_severity() -> None:
    """NaN in the data explains the divergence: one finding, which blocks."""
    diverged = trial_of((0.9, NAN), outcome=Outcome.DIVERGED)
    finding = the_finding(with_data(diverged, n_non_finite=3))
    assert (finding.symptom, finding.severity) == ("non_finite_data", Severity.BLOCKER)
    assert finding.consequences == ("divergence",)
    assert finding.remedies[0].action


def test_an_anomaly_becomes_the_cause_of_the_harm_it_can_do() -> None:
    """Raw pixels are a note in a good training, and the cause of one that diverges."""
    raw = {"input_max": 255.0, "input_mean": 33.0, "input_std": 78.0}
    assert the_finding(with_data(good_trial(), **raw)).severity is Severity.NOTE
    finding = the_finding(with_data(trial_of((0.9, NAN), outcome=Outcome.DIVERGED), **raw))
    assert (finding.symptom, finding.consequences) == ("input_scale", ("divergence",))
    assert finding.causes[0].name is CauseName.UNNORMALIZED_INPUT
    assert finding.remedies[0].edits[0].lever == "input_scaling"


def test_an_anomaly_is_not_blamed_for_other_harm() -> None:
    """Raw pixels do not make a network overfit."""
    overfitted = cases.CASES["overfitting"]().trials[0]
    raw = with_data(overfitted, input_max=255.0, input_mean=33.0, input_std=78.0)
    assert faults(raw) == ["overfitting"]


def test_an_anomaly_is_not_blamed_where_an_earlier_fault_explains_the_harm() -> None:
    """A missing zero_grad explains a loss that is stuck; raw pixels beside it stay a note."""
    raw = with_data(stuck_trial(), input_max=255.0, input_mean=33.0, input_std=78.0)
    assert faults(with_code(raw, stale_gradient_share=1.0)) == ["stale_gradients"]


@pytest.mark.parametrize(
    ("case", "severity"),
    [
        ("leaking_data", Severity.WARNING),
        ("evaluation_mode", Severity.WARNING),
        ("stale_gradients", Severity.NOTE),
    ],
)
def test_a_good_value_excuses_all_but_a_wrong_measurement(case: str, severity: Severity) -> None:
    """Behind the healthy gate only what falsifies the value itself stays a fault."""
    odd = EARLY_CASES[case]().trials[0]
    peers = [good_trial(n) for n in range(1, 4)]
    (finding,) = diagnose_record(study_of(odd, *peers), 0)
    assert (finding.symptom, finding.severity) == (case, severity)


# --- code


@pytest.mark.parametrize(
    "changes", [{"n_layers_without_gradient": 2}, {"n_layers_not_optimized": 1, "n_layers_not_required": 1}]
)
def test_layers_that_the_loop_forgets_are_a_fault_by_themselves(changes: dict[str, int]) -> None:
    """However good the training is: nobody leaves a layer out of the optimizer by design."""
    assert faults(with_code(**changes)) == ["frozen_layers"]


def test_random_layers_that_cannot_change_are_a_fault_where_harm_shows() -> None:
    """Frozen at their random start: a note in a good training, the cause of a poor one."""
    frozen = layers(is_trainable=(False, True, True), spectral_ratio=(1.0, NAN, NAN))
    assert faults(with_start(layers=frozen)) == []
    finding = the_finding(with_start(stuck_trial(), layers=frozen))
    assert (finding.symptom, finding.severity) == ("frozen_layers", Severity.BLOCKER)


def test_layers_trained_before_are_never_the_cause() -> None:
    """A poor training on top of a pretrained layer has another cause."""
    pretrained = layers(is_trainable=(False, True, True), spectral_ratio=(3.4, NAN, NAN))
    assert "frozen_layers" not in faults(with_start(stuck_trial(), layers=pretrained))


def _with_updates(trial: TrialRecord, ratios: tuple[float, ...], norm: float = 0.1) -> TrialRecord:
    assert trial.telemetry is not None
    rows = [
        dataclasses.replace(
            row,
            layers=tuple(
                dataclasses.replace(
                    layer, update_ratio=ratio, gradient_norm=layer.gradient_norm if ratio else norm
                )
                for layer, ratio in zip(row.layers, ratios, strict=True)
            ),
        )
        if row.epoch
        else row
        for row in trial.telemetry.epochs
    ]
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=tuple(rows)))


def test_a_layer_that_stands_still_while_others_move_is_frozen() -> None:
    """Updates of exactly zero with gradients; without gradients it is dead, and a rate of zero moves none."""
    assert faults(_with_updates(good_trial(), (0.0, 1e-3, 1e-3))) == ["frozen_layers"]
    assert faults(_with_updates(good_trial(), (0.0, 1e-3, 1e-3), norm=0.0)) == []
    assert faults(_with_updates(good_trial(), (0.0, 0.0, 0.0))) == []
    assert faults(_with_updates(good_trial(), (1e-9, 1e-3, 1e-3))) == []


def test_the_floor_of_a_double_softmax() -> None:
    """1.4612 for ten classes: the loss of being sure and right, computed by hand."""
    logits = np.zeros(10)
    logits[3] = 1.0
    assert lowest_of_probabilities(LN10) == pytest.approx(-math.log(math.e / np.exp(logits).sum()))
    assert lowest_of_probabilities(LN10) == pytest.approx(1.4612, abs=5e-5)


def test_a_double_softmax_that_the_loop_shows_needs_no_curve() -> None:
    """Seen in the loop it is named, whatever the losses are."""
    assert faults(with_code(loss_of_probabilities=True)) == ["saturating_loss"]


def test_an_evaluation_that_cannot_be_repeated_is_a_bug() -> None:
    """Two eval-mode passes that differ; rounding does not count."""
    assert faults(with_start(repeat_difference=0.3)) == ["evaluation_mode"]
    assert faults(with_start(repeat_difference=1e-5)) == []
    assert "F.dropout" in (the_finding(with_start(repeat_difference=0.3)).remedies[0].action or "")


def test_a_loop_that_never_returns_to_train_mode_is_told_so() -> None:
    """The remedy names the call that is missing."""
    finding = the_finding(with_code(training_in_eval_mode_share=0.9))
    assert "model.train()" in (finding.remedies[0].action or "")


# --- data


@pytest.mark.parametrize(
    ("train", "validation"),
    [((30, 40, 50), (10, 12, 18)), ((100, 0, 40), (10, 20, 30)), ((5, 5, 0), (3, 2, 0))],
)
def test_class_drift_is_the_textbooks(train: tuple[int, ...], validation: tuple[int, ...]) -> None:
    """The chi-square test of scipy, and V as the root of its statistic over the total."""
    table = np.array([train, validation])
    table = table[:, table.sum(axis=0) > 0]
    expected = chi2_contingency(table, correction=False)
    p_value, drift = class_drift(train, validation)
    assert p_value == pytest.approx(expected.pvalue)
    assert drift == pytest.approx(math.sqrt(expected.statistic / table.sum()))


def test_one_class_cannot_drift() -> None:
    """Nor can an empty split."""
    assert class_drift((5, 0), (3, 0)) == (1.0, 0.0)
    assert class_drift((5, 3), (0, 0)) == (1.0, 0.0)


def test_classes_that_train_lacks_are_an_unstratified_split() -> None:
    """Sorted by label and split at the end: validation asks for what nobody taught."""
    trial = with_data(
        good_trial(config={"split": "last"}),
        train_class_counts=(100,) * 7 + (0,) * 3,
        validation_class_counts=(0,) * 7 + (70,) * 3,
    )
    finding = the_finding(trial)
    assert (finding.symptom, finding.causes[0].name) == ("skewed_classes", CauseName.UNSTRATIFIED_SPLIT)
    assert finding.evidence[0].quantity == "unseen_class_share"
    edit = finding.remedies[0].edits[0]
    assert (edit.lever, edit.value) == ("split", "stratified")


def test_a_random_split_is_not_called_unstratified() -> None:
    """Twenty random splits of 4,000 samples in ten classes."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 10, 4000)
        train, validation = np.bincount(labels[:3000]), np.bincount(labels[3000:])
        trial = with_data(train_class_counts=tuple(train), validation_class_counts=tuple(validation))
        assert faults(trial) == []


def test_rare_classes_nobody_can_judge_are_a_note() -> None:
    """With two validation samples of the rare class no accuracy can be read."""
    trial = with_data(train_class_counts=(4_800,) * 9 + (8,), validation_class_counts=(1_200,) * 9 + (2,))
    assert the_finding(with_class_accuracy(trial, (0.97,) * 9 + (0.0,))).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"leak_accuracy": 0.999, "n_leak_features": 1}, True),
        ({"leak_accuracy": 0.97, "n_leak_features": 10}, True),
        ({"leak_accuracy": 0.7, "n_leak_features": 10}, False),
        ({"leak_accuracy": NAN}, False),
    ],
)
def test_features_that_tell_the_class_are_a_leak(changes: dict[str, Any], found: bool) -> None:
    """One pixel or ten that give the answer away; ten that help are none."""
    assert faults(with_data(**changes)) == (["leaking_data"] if found else [])


def test_copies_and_a_leak_are_told_together() -> None:
    """One finding with both causes, and what tells them apart."""
    finding = the_finding(with_data(overlap_fraction=0.3, leak_accuracy=1.0, n_leak_features=1))
    assert {cause.name for cause in finding.causes} == {
        CauseName.TRAIN_VALIDATION_OVERLAP,
        CauseName.TARGET_LEAKAGE,
    }
    assert finding.alternatives.startswith("It is train_validation_overlap if ")
    assert len(finding.evidence) == 2


# --- the untrained network


def _deep(stds: list[float], **changes: Any) -> tuple[LayerProbe, ...]:
    return tuple(
        LayerProbe(name=str(n), gradient_norm=0.1, output_std=std, **changes) for n, std in enumerate(stds)
    )


def test_growth_per_layer_is_the_ratio_of_a_geometric_series() -> None:
    """Twofold at each of six hidden layers; the output layer does not count, four are too few."""
    assert growth_per_layer(_deep([2.0**n for n in range(6)] + [1e9])) == pytest.approx(2.0)
    assert math.isnan(growth_per_layer(_deep([2.0**n for n in range(4)] + [1e9])))


def test_outputs_that_grow_at_every_layer_are_exploding_gradients() -> None:
    """Named before the initialization, which is the other name of the same thing."""
    finding = the_finding(with_start(train_loss=500.0, layers=_deep([2.0**n for n in range(9)])))
    assert [cause.name for cause in finding.causes] == [
        CauseName.EXPLODING_GRADIENTS,
        CauseName.BAD_INITIALIZATION,
    ]


def test_a_loss_far_from_guessing_before_any_update_is_a_bad_initialization() -> None:
    """A step-0 loss of 40 where 2.3 is due names the initialization; what follows is its consequence."""
    diverged = trial_of((0.9, NAN), outcome=Outcome.DIVERGED, probe=step_zero(train_loss=40.0))
    finding = the_finding(diverged)
    assert finding.causes[0].name is CauseName.BAD_INITIALIZATION
    assert finding.consequences == ("divergence",)


def test_a_bad_start_that_training_makes_up_for_is_a_note() -> None:
    """An anomaly that does no harm is no fault."""
    assert faults(with_start(train_loss=60.0)) == []
    assert the_finding(with_start(train_loss=60.0)).severity is Severity.NOTE


def test_twins_in_a_hidden_layer_harm_where_little_is_learned() -> None:
    """All weights alike: the units of a layer never part. In the output layer alone they do."""
    assert faults(with_start(stuck_trial(), layers=layers(twin_fraction=(1.0, 1.0, 1.0)))) == [
        "abnormal_start"
    ]
    assert "abnormal_start" not in faults(
        with_start(stuck_trial(), layers=layers(twin_fraction=(0.0, 0.0, 1.0)))
    )


def _dead(trial: TrialRecord, fraction: float) -> TrialRecord:
    dead = (fraction,) * 3
    return with_start(trial, layers=layers(dead_fraction=dead))


def test_units_dead_before_training_are_no_fault_of_the_rate() -> None:
    """Biases far below zero: the cause is the units' own, and it is found at the start."""
    trial = trial_of(*((2.303,) * 8, (0.11,) * 8) * 2, dead=1.0)
    finding = the_finding(_dead(trial, 1.0))
    assert (finding.symptom, finding.stage) == ("dead_units", Stage.UNTRAINED)
    assert [cause.name for cause in finding.causes] == [CauseName.DYING_RELU, CauseName.BAD_INITIALIZATION]
    assert "zeros_" in " ".join(remedy.sentence for remedy in finding.remedies)


def test_units_killed_by_raw_inputs_are_mended_at_the_input() -> None:
    """Pixels of 0 to 255 are named before the learning rate that they make too high."""
    trial = trial_of(*((2.303,) * 8, (0.11,) * 8) * 2, dead=1.0)
    finding = the_finding(with_data(trial, input_max=255.0, input_mean=33.0, input_std=78.0))
    assert finding.causes[0].name is CauseName.UNNORMALIZED_INPUT
    assert "dead_units" in finding.consequences


def test_gradients_that_fade_before_training_are_a_note_where_all_is_learned() -> None:
    """Seven layers with a tenth of the gradient at each: normalization or patience may make up for it."""
    fading = tuple(LayerProbe(name=str(n), gradient_norm=0.5 * 10.0 ** (0.5 * (n - 6))) for n in range(7))
    assert the_finding(with_start(layers=fading)).severity is Severity.NOTE
    finding = the_finding(with_start(stuck_trial(), layers=fading))
    assert (finding.symptom, finding.stage) == ("vanishing_gradients", Stage.UNTRAINED)


def _without(**parts: object) -> TrialRecord:
    trial = good_trial()
    assert trial.telemetry is not None
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, **parts))


def test_what_was_not_probed_is_said() -> None:
    """Data, validation samples and the untrained network: one sentence each, with the way to get it."""
    assert missing_evidence(study_of(good_trial())) == []
    assert ["watch.step" in text for text in missing_evidence(study_of(_without(data=None)))] == [True]
    unseen = dataclasses.replace(cases.DATA, validation_class_counts=())  # as a loop that validates by itself
    (text,) = missing_evidence(study_of(_without(data=unseen)))
    assert all(said in text for said in ("copies", "shifted inputs", "validation=(x, y)"))
    assert ["first step" in text for text in missing_evidence(study_of(_without(step_zero=None)))] == [True]


@pytest.mark.parametrize(("share", "said"), [(1.0, "100% of"), (0.123, "12.3% of"), (0.005, "0.5% of")])
def test_copies_are_told_as_a_percentage(share: float, said: str) -> None:
    """1.0 of the samples would read as one of them."""
    trial = good_trial(data=dataclasses.replace(cases.DATA, overlap_fraction=share))
    (finding,) = diagnose_record(study_of(trial))
    assert finding.sentence == f"{said} the validation samples are in the train split too, value for value."


def test_an_optimizer_of_another_model_is_a_blocker() -> None:
    """None of the layers is in it: nothing is trained, and the advice names the loop's own optimizer."""
    start = cases.step_zero()
    stuck = tuple(dataclasses.replace(layer, is_trainable=False) for layer in start.layers)
    trial = good_trial(probe=dataclasses.replace(start, layers=stuck), config={"optimizer": "NAdam"})
    assert trial.telemetry is not None
    code = CodeProbe(n_layers_not_optimized=len(stuck))
    (finding,) = diagnose_record(
        study_of(dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, code=code)))
    )
    assert (finding.symptom, finding.severity) == ("frozen_layers", Severity.BLOCKER)
    assert "none of the model's weights" in finding.sentence
    assert "torch.optim.NAdam(model.parameters(), ...)" in finding.remedies[0].sentence


@pytest.mark.parametrize("n_epochs", [4, 12])
def test_a_missing_zero_grad_is_a_blocker_however_long_it_trains(n_epochs: int) -> None:
    """By itself, and not by what follows from it in so many epochs."""
    losses = tuple(0.9**n for n in range(n_epochs))
    trial = trial_of(losses, losses, losses, losses)
    assert trial.telemetry is not None
    code = CodeProbe(stale_gradient_share=1.0)
    record = study_of(dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, code=code)))
    first = diagnose_record(record)[0]
    assert (first.symptom, first.severity) == ("stale_gradients", Severity.BLOCKER)
