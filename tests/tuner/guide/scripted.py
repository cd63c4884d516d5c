"""A guide's session whose rounds are scored by a function instead of being trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.recorded import create_study
from studies.records import StudyRecord
from tests.problems import images
from tests.tuner.guide.made_rounds import made_trial
from tuner.guide.checklist import Notes
from tuner.guide.ledger import Ledger
from tuner.guide.preparation import checked_request, plan_of_guide, rounds_of, split_of
from tuner.guide.rounds import INCUMBENT, Candidate, Round, Tried, whole_groups
from tuner.guide.session import Session

Score = Callable[[Mapping[str, Any]], float | None]


class ScriptedSession(Session):
    """``score`` gives each whole config its value; ``n_allowed`` rivals are what each round's budget allows."""

    score: Score = staticmethod(lambda _config: 0.9)
    n_allowed = 100
    names: list[str]

    def round(self, notes: Notes, name: str, candidates: Sequence[Candidate]) -> Round | None:
        kept = whole_groups(candidates, self.n_allowed)
        self.names.append(name)
        if not kept:
            return None
        tried = []
        for each in (Candidate(label=INCUMBENT), *kept):
            config = self.config({**self.incumbent, **each.changes}, epochs=self.epochs).to_mapping()
            trial = made_trial(self.score(config))
            tried.append(Tried(label=each.label, changes=each.changes, config=config, trials=(trial,)))
        record = StudyRecord(name=name, direction="maximize", trials=(), metric="validation_accuracy")
        round_ = Round(study=name, tried=tuple(tried), record=record)
        notes.rounds.append(round_)
        return round_


def scripted(
    folder: Path,
    *,
    score: Score = lambda _config: 0.9,
    n_allowed: int = 100,
    epochs: int = 5,
    noise_floor: float = 0.001,
    **asked: Any,
) -> ScriptedSession:
    """After a baseline whose epochs and noise floor are known."""
    dataset = images(200)
    request = checked_request("own", dataset, epochs=epochs, storage=f"sqlite:///{folder / 'g.db'}", **asked)
    recorded = create_study("g", plan_of_guide(request, dataset), request.storage)
    session = ScriptedSession(
        request, split_of(request, dataset), rounds_of(request, dataset), recorded, Ledger(recorded)
    )
    session.ledger.decide("baseline.epochs", lambda: {"epochs": epochs, "seconds_per_epoch": 0.001})
    session.score, session.n_allowed, session.names = score, n_allowed, []
    session.noise_floor = noise_floor
    return session
