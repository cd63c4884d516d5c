"""Findings made by hand, whose remedies are known."""

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Cause, CauseName, Finding, Remedy, Severity


def fixing(lever: str, value: bool | float | str, *, sentence: str = "") -> Remedy:
    return Remedy(
        sentence=sentence or f"Set {lever} to {value}.",
        edits=(Edit(kind=EditKind.FIX, lever=lever, value=value),),
    )


ACTION = Remedy(sentence="Clean the data.", action="Drop the rows.")


def finding(
    *remedies: Remedy,
    symptom: str = "divergence",
    cause: CauseName = CauseName.LEARNING_RATE_TOO_HIGH,
    trial: int | None = 0,
    consequences: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        trial=trial,
        symptom=symptom,
        severity=Severity.BLOCKER,
        sentence="It is wrong.",
        causes=(Cause(name=cause, confidence=0.9),),
        consequences=consequences,
        remedies=remedies,
    )
