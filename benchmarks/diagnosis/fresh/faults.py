"""All planted faults of the fresh part."""

from benchmarks.diagnosis.case import Case, Fault
from benchmarks.diagnosis.fresh.code_faults import FRESH_CODE_FAULTS
from benchmarks.diagnosis.fresh.config_faults import FRESH_CONFIG_FAULTS
from benchmarks.diagnosis.fresh.data_faults import FRESH_DATA_FAULTS

FRESH_FAULTS: tuple[Fault, ...] = (*FRESH_CONFIG_FAULTS, *FRESH_DATA_FAULTS, *FRESH_CODE_FAULTS)
"""Every cause but seed noise."""
FRESH_FAULTY: tuple[Case, ...] = tuple(case for fault in FRESH_FAULTS for case in fault.cases())
