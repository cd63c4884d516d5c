"""All planted faults, and all cases by name."""

from benchmarks.diagnosis.case import Case, Fault
from benchmarks.diagnosis.code_faults import CODE_FAULTS
from benchmarks.diagnosis.config_faults import CONFIG_FAULTS
from benchmarks.diagnosis.data_faults import DATA_FAULTS
from benchmarks.diagnosis.drawn.listing import drawn_case
from benchmarks.diagnosis.drawn.names import draw_of
from benchmarks.diagnosis.fresh.faults import FRESH_FAULTY
from benchmarks.diagnosis.fresh.healthy import FRESH_HEALTHY
from benchmarks.diagnosis.healthy import HEALTHY
from search_spaces.errors import unknown_name

FAULTS: tuple[Fault, ...] = (*CONFIG_FAULTS, *DATA_FAULTS, *CODE_FAULTS)
"""Every cause but seed noise, which is no fault of one training: its cases are healthy ones, see `healthy`."""
FAULTY: tuple[Case, ...] = tuple(case for fault in FAULTS for case in fault.cases())
CASES: tuple[Case, ...] = (*FAULTY, *HEALTHY)
"""Of calibration and the blind part, which are drawn from these."""
FRESH_CASES: tuple[Case, ...] = (*FRESH_FAULTY, *FRESH_HEALTHY)

_BY_NAME = {case.name: case for case in (*CASES, *FRESH_CASES)}


def case_named(name: str) -> Case:
    """The case of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if draw_of(name) is not None:
        return drawn_case(name)
    if name not in _BY_NAME:
        raise unknown_name("A case", name, _BY_NAME)
    return _BY_NAME[name]
