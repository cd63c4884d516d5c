"""When a proof goes on along a lever, on trials and diagnoses made by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import CauseName, Finding, Remedy
from studies.records import Outcome, StudyRecord, TrialRecord
from tests.tuner.proving.made_findings import finding, fixing
from tuner.proving import judging, stepping
from tuner.proving.contest import BASELINE, REFERENCE, Contest
from tuner.proving.stepping import Settled, Trials, trained_in_steps
from tuner.proving.yardstick import Yardstick
from tuner.replication import Config

EMPTY = StudyRecord(name="r", direction="maximize", metric="validation_accuracy", trials=())
FAULT = finding(fixing("learning_rate", 3.0))
CONFIG = {"learning_rate": 30.0}

Rule = Callable[[TrialRecord], list[Finding]]


def tenth(trial: TrialRecord) -> list[Finding]:
    """Every rate above 0.2 is too high, and a tenth of it advised."""
    rate = trial.config["learning_rate"]
    return [finding(fixing("learning_rate", round(rate / 10, 4)), trial=trial.number)] if rate > 0.2 else []


class Trainer:
    """Trains nothing: three trials of each config, and what was asked for at each step."""

    def __init__(self) -> None:
        self.asked: dict[int, list[str]] = {}

    def __call__(self, configs: Mapping[str, Config], step: int) -> Trials:
        self.asked[step] = list(configs)
        return {
            label: [
                TrialRecord(
                    number=0,  # each step's study counts from 0
                    state="complete",
                    outcome=Outcome.COMPLETED,
                    value=0.9 + 0.01 * seed if config["learning_rate"] < 0.5 else 0.1 + 0.012 * seed,
                    config={**config, "seed": seed},
                )
                for seed in range(3)
            ]
            for label, config in configs.items()
        }


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, ...]]:
    """The contest after its steps, what was asked of the trainer, the trials and their record."""

    def run(
        rule: Rule = tenth,
        *,
        found: Finding = FAULT,
        config: Config = CONFIG,
        reference: Any = None,
        is_settled: Settled = lambda *_so_far: False,
    ) -> tuple[Any, ...]:
        def diagnose(record: StudyRecord, number: int, **_: bool) -> list[Finding]:
            return rule(record.trials[number])

        for module in (stepping, judging):
            monkeypatch.setattr(module, "diagnose_record", diagnose)
        train = Trainer()
        contest = Contest.of(found, config, reference=reference)
        return *trained_in_steps(contest, train, EMPTY, is_settled=is_settled), train.asked

    return run


def test_a_remedy_that_leaves_the_cause_goes_on(stepped: Callable[..., tuple[Any, ...]]) -> None:
    """30, 3, 0.3, 0.03: two more steps at most; only what is new is trained, and numbers stay apart."""
    contest, trials, record, asked = stepped()
    assert asked == {
        1: [BASELINE, "learning_rate=3"],
        2: ["learning_rate=0.3"],
        3: ["learning_rate=0.03"],
    }
    assert list(contest.remedies) == ["learning_rate=0.03"]
    assert contest.steps_of_remedies == {"learning_rate=0.03": ("learning_rate=3", "learning_rate=0.3")}
    assert [trial.number for trial in record.trials] == list(range(12))
    assert [trial.number for trial in trials["learning_rate=0.3"]] == [6, 7, 8]


def test_only_the_last_step_is_judged_and_all_of_them_count(stepped: Callable[..., tuple[Any, ...]]) -> None:
    """The interval is as wide as three remedies', the sentence names the steps, and the JSON has their values."""
    contest, trials, record, _ = stepped()
    yardstick = Yardstick.own("validation_accuracy", "maximize")
    proof = judging.judged(contest, trials, record, yardstick, seeds=(1, 2, 3))
    (tried,) = proof.remedies
    assert proof.confidence == pytest.approx(1 - 0.05 / 3)
    assert "in 3 steps (learning_rate=3 and learning_rate=0.3 left the same cause) over 3 seeds" in tried.why
    assert tried.remedy.sentence == "Set learning_rate=0.03, since learning_rate=0.3 left the same cause."
    assert proof.changes == {"learning_rate": 0.03}
    assert tried.to_json()["steps"][0] == {"label": "learning_rate=3", "values": [0.1, 0.112, 0.124]}


def test_a_step_that_comes_to_the_healthy_reference_is_not_trained_again(
    stepped: Callable[..., tuple[Any, ...]],
) -> None:
    """Its trials are the reference's."""
    contest, trials, record, asked = stepped(reference={"learning_rate": 0.3})
    assert asked == {1: [BASELINE, "learning_rate=3", REFERENCE], 3: ["learning_rate=0.03"]}
    assert contest.reference == "learning_rate=0.3"
    assert REFERENCE not in trials
    assert [trial.number for trial in record.trials] == list(range(12))


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (lambda _trial: [], "nothing is wrong any more"),
        (lambda trial: tenth(trial) if trial.config["seed"] == 0 else [], "one replicate of three is not most"),
        (lambda _trial: [finding(fixing("learning_rate", 9.0))], "that is the way back"),
        (lambda _trial: [finding(fixing("dropout", 0.1))], "another lever"),
        (
            lambda trial: [finding(*tenth(trial)[0].remedies, cause=CauseName.OVERFITTING)] if tenth(trial) else [],
            "another cause",
        ),
    ],
)  # fmt: skip
def test_a_proof_stops_where(stepped: Callable[..., tuple[Any, ...]], rule: Rule, why: str) -> None:
    """Nothing is trained beyond the first step, and the contest is as it was."""
    contest, _, _, asked = stepped(rule)
    assert list(asked) == [1], why
    assert list(contest.remedies) == ["learning_rate=3"]


def test_nothing_goes_on_once_a_remedy_is_proven(stepped: Callable[..., tuple[Any, ...]]) -> None:
    """Asked before each step: proven after the second, there is no third."""
    _, _, _, asked = stepped(is_settled=lambda contest, *_so_far: "learning_rate=0.3" in contest.remedies)
    assert list(asked) == [1, 2]
    _, _, _, asked = stepped(is_settled=lambda *_so_far: True)
    assert list(asked) == [1]


def test_longer_training_is_no_lever_to_go_on_along(stepped: Callable[..., tuple[Any, ...]]) -> None:
    """Four times the epochs, three times over, would be 64 trainings."""

    def longer(trial: TrialRecord) -> list[Finding]:
        return [finding(fixing("epochs", 4 * trial.config["epochs"]))]

    _, _, _, asked = stepped(
        longer, found=finding(fixing("epochs", 8)), config={"epochs": 2, "learning_rate": 1.0}
    )
    assert list(asked) == [1]


def test_a_switch_stays_on_from_step_to_step(stepped: Callable[..., tuple[Any, ...]]) -> None:
    """Clipping that was off is turned on once; the step's edits are all that make it of the faulty config."""
    switch = Remedy(
        sentence="Clip.",
        edits=(
            Edit(kind=EditKind.FIX, lever="clipping", value=True),
            Edit(kind=EditKind.FIX, lever="clip_norm", value=1.0),
        ),
    )
    config = {"learning_rate": 1.0, "clipping": False, "clip_norm": 4.0}

    def tighter(trial: TrialRecord) -> list[Finding]:
        return [finding(fixing("clip_norm", 0.1))] if trial.config["clip_norm"] == 1.0 else []

    contest, *_ = stepped(tighter, found=finding(switch), config=config)
    assert list(contest.remedies) == ["clipping=true, clip_norm=0.1"]
    assert contest.changes("clipping=true, clip_norm=0.1") == {"clipping": True, "clip_norm": 0.1}
