"""The file of a drawn part: every training in full, and what was reached when its soundness was shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.case import Case, Loop, Metric, Planted, Setup
from benchmarks.diagnosis.drawn.names import draw_of, part_of
from benchmarks.diagnosis.drawn.ranges import Training
from search_spaces.errors import ConfigurationError, unknown_name
from studies.diagnosis import CauseName

FOLDER = Path(__file__).parent.parent / "lists"
METRICS: Mapping[CauseName, Metric] = {
    CauseName.TRAIN_VALIDATION_OVERLAP: "inflation",
    CauseName.TARGET_LEAKAGE: "inflation",
    CauseName.OVERCONFIDENCE: "loss",
    CauseName.EVALUATION_MODE_BUG: "misreport",
}
"""By what a fault must hurt, where it is not the accuracy."""


@dataclass(frozen=True, kw_only=True)
class DrawnList:
    """All cases of a drawn part."""

    draw: int
    bases: tuple[Case, ...]
    """Sound trainings: the healthy list, and twins that are on no list because they are no ordinary trainings."""
    faulty: tuple[Case, ...]
    reached: Mapping[str, Mapping[str, float]]
    """By the name of a base, what showed that it is sound: see `soundness`."""

    @property
    def healthy(self) -> tuple[Case, ...]:
        """The ordinary sound trainings, which must raise no alarm."""
        return tuple(case for case in self.bases if case.name.split("/")[1] == "healthy")

    @property
    def by_name(self) -> dict[str, Case]:
        return {case.name: case for case in (*self.bases, *self.faulty)}


def base_case(name: str, training: Training) -> Case:
    """A sound training, which is its own twin."""
    return Case(
        name=name,
        cause=None,
        architecture=training.architecture,
        setup=training.setup,
        healthy=training.setup,
        twin=name,
    )


def faulty_case(name: str, cause: CauseName, base: Case, setup: Setup) -> Case:
    """``base`` with a fault in it."""
    return Case(
        name=name,
        cause=cause,
        architecture=base.architecture,
        severity="drawn",
        setup=setup,
        healthy=base.setup,
        twin=base.name,
        twin_reached=base.reached,
        metric=METRICS.get(cause, "accuracy"),
    )


def path_of(draw: int, folder: Path = FOLDER) -> Path:
    return folder / f"{part_of(draw)}.json"


def read_drawn(draw: int, folder: Path = FOLDER) -> DrawnList:
    """The list of a draw.

    Raises:
        ConfigurationError: it was not drawn yet.
    """
    path = path_of(draw, folder)
    if not path.exists():
        raise ConfigurationError(
            f"A drawn part must have its list, but there is no {path.name}; python -m benchmarks.diagnosis.drawn "
            f"--draw {draw} draws it."
        )
    read = json.loads(path.read_text(encoding="utf-8"))
    bases = {each["name"]: _base_of(each) for each in read["bases"]}
    return DrawnList(
        draw=read["draw"],
        bases=tuple(bases.values()),
        faulty=tuple(
            faulty_case(
                each["name"], CauseName(each["cause"]), bases[each["base"]], setup_from_json(each["setup"])
            )
            for each in read["faulty"]
        ),
        reached={each["name"]: each["reached"] for each in read["bases"]},
    )


def drawn_case(name: str) -> Case:
    """The case of that name.

    Raises:
        ConfigurationError: there is none.
    """
    draw = draw_of(name)
    cases = _cases(draw) if draw is not None else {}
    if name not in cases:
        raise unknown_name("A case", name, cases)
    return cases[name]


@cache
def _cases(draw: int) -> dict[str, Case]:
    return read_drawn(draw).by_name


def write_drawn(drawn: DrawnList, folder: Path = FOLDER) -> Path:
    """One line for each training."""
    lines = {
        "bases": [
            {
                "name": case.name,
                "architecture": case.architecture,
                "setup": setup_to_json(case.setup),
                "reached": drawn.reached[case.name],
            }
            for case in drawn.bases
        ],
        "faulty": [
            {
                "name": case.name,
                "cause": str(case.cause),
                "base": case.twin,
                "setup": setup_to_json(case.setup),
            }
            for case in drawn.faulty
        ],
    }
    parts = ",\n".join(f' "{key}": [\n{_rows(rows)}\n ]' for key, rows in lines.items())
    path = path_of(drawn.draw, folder)
    path.write_text(f'{{\n "draw": {drawn.draw},\n{parts}\n}}\n', encoding="utf-8")
    return path


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    return ",\n".join(f"  {json.dumps(row)}" for row in rows)


def setup_to_json(setup: Setup) -> dict[str, Any]:
    """Of a loop only what is not as in a sound one."""
    body: dict[str, Any] = {"config": dict(setup.config)}
    if setup.data:
        body["data"] = [[each.name, each.strength] for each in setup.data]
    if setup.network is not None:
        body["network"] = [setup.network.name, setup.network.strength]
    if setup.loop is not None:
        sound = asdict(Loop())
        body["loop"] = {key: value for key, value in asdict(setup.loop).items() if value != sound[key]}
    return body


def setup_from_json(body: Mapping[str, Any]) -> Setup:
    """The inverse of `setup_to_json`."""
    return Setup(
        config={
            key: tuple(value) if isinstance(value, list) else value for key, value in body["config"].items()
        },
        data=tuple(Planted(name=name, strength=strength) for name, strength in body.get("data", [])),
        network=Planted(name=body["network"][0], strength=body["network"][1]) if "network" in body else None,
        loop=Loop(**body["loop"]) if "loop" in body else None,
    )


def _base_of(read: Mapping[str, Any]) -> Case:
    training = Training(architecture=read["architecture"], setup=setup_from_json(read["setup"]))
    return replace(base_case(read["name"], training), reached=read["reached"]["x1"])
