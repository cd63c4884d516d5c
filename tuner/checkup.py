"""What this machine is, whether everything is in its place, and how a search would be spread over it."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from search_spaces.errors import ConfigurationError, DataError
from studies.recorded import list_studies
from studies.storage import resolve_url, shown_url, sqlite_path
from tuner.launchers.cores import available_cores
from tuner.searching.objective import Objective
from tuner.searching.parallelism import Parallelism, choose_parallelism, data_bytes
from tuner.searching.planning import versions as own_versions
from tuner.second_core import SecondCore, SecondProcess, SecondProcessError, time_second_core
from tuner.training.batching.memory import memory_meter
from tuner.training.data import load_dataset
from tuner.training.datasets.image_sets import UnavailableDataError
from tuner.training.devices import available_devices, resolve_device

SPACE = "quick"
N_TRIALS = 1000
"""Of the search that the choice is made for: so many that only the machine decides."""
N_UNITS, N_INPUTS, N_SAMPLES = 8 * 128, 784, 128
"""Of the product that is timed: the first layer of 8 lanes of 128 units on a minibatch of MNIST."""
ACCELERATOR_SIZE = 4096
"""Rows and columns of the product on an accelerator, which smaller ones leave idle."""
SECONDS_PER_RATE = 0.15


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that keeps a search from working here."""

    sentence: str
    """What is wrong, and what to do."""
    error: type[Exception]
    """What a search would end with: DataError or ConfigurationError."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a kernel multiplies matrices here."""

    kernel: str
    precision: str
    gflops: float | None
    """None where this build of torch has no such kernel."""


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """All that was found."""

    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    data: Mapping[str, Any]
    storage: Mapping[str, Any]
    rates: tuple[Rate, ...]
    parallelism: Parallelism | None
    """None where there is no data to choose it with."""
    second_core: SecondCore | None
    """None where there is none to use, or nothing to train on it."""
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """As `tuner doctor --json` prints it."""
        return {
            "versions": self.versions,
            "machine": self.machine,
            "data": self.data,
            "storage": self.storage,
            "rates": [asdict(rate) for rate in self.rates],
            "parallelism": None if self.parallelism is None else _parallelism_json(self.parallelism),
            "second_core": None if self.second_core is None else asdict(self.second_core),
            "problems": [problem.sentence for problem in self.problems],
        }


def check_up(  # noqa: PLR0913 - one keyword per concern
    task: str | None = None,
    *,
    fixed: Mapping[str, Any] | None = None,
    storage: str | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    lanes: int | None = None,
    other: SecondProcess | None = None,
    on_stage: Callable[[str], None] = lambda _stage: None,
) -> Checkup:
    """Look at everything; nothing is downloaded, created or written.

    Args:
        task: what the choice of workers and lanes is made for; None is MNIST where it lies here, else digits.
        fixed: config keys of that choice, such as the model.
        storage: a database URL.
        data_dir: where the data lies.
        device: ``auto``, ``cpu``, ...
        workers: as asked for.
        lanes: as asked for.
        other: trains beside this process; None leaves the second core alone.
        on_stage: told what is looked at next.

    Raises:
        ConfigurationError: for names and values that cannot be.
    """
    resolved = resolve_device(device)
    problems: list[Problem] = []
    on_stage("Looking at the data and the database …")
    objective = _objective(task, fixed or {}, data_dir=data_dir, device=device, problems=problems)
    stored = _storage(storage, problems)
    on_stage("Multiplying matrices …")
    rates = tuple(_rates(resolved))
    parallelism, second_core = None, None
    if objective is not None:
        on_stage(f"Training lanes on {objective.dataset.name} …")
        parallelism = choose_parallelism(
            objective, n_trials=N_TRIALS, n_cores=available_cores(), workers=workers, lanes=lanes
        )
        second_core = _second_core(objective, parallelism, other, data_dir=data_dir, problems=problems)
    return Checkup(
        versions=_versions(),
        machine=_machine(resolved),
        data={} if objective is None else _data(objective),
        storage=stored,
        rates=rates,
        parallelism=parallelism,
        second_core=second_core,
        problems=tuple(problems),
    )


def _objective(
    task: str | None,
    fixed: Mapping[str, Any],
    *,
    data_dir: Path | None,
    device: str,
    problems: list[Problem],
) -> Objective | None:
    try:
        name = task or _name_of_what_is_here(data_dir)
        if ":" not in name:
            load_dataset(name, data_dir=data_dir, download=False)
        objective = Objective(SPACE, name, fixed=fixed, device=device, data_dir=data_dir)
        objective.splits  # noqa: B018 - loads the data
    except DataError as error:
        problems.append(Problem(sentence=str(error), error=DataError))
        return None
    return objective


def _name_of_what_is_here(data_dir: Path | None) -> str:
    try:
        load_dataset("mnist", data_dir=data_dir, download=False)
    except UnavailableDataError:
        return "digits"
    return "mnist"


def _data(objective: Objective) -> dict[str, Any]:
    return {
        "task": objective.dataset.name,
        "n_train": len(objective.splits.train_x),
        "n_validation": len(objective.splits.validation_x),
        "bytes": data_bytes(objective),
        "model": objective.base_config.model,
        "batch_size": objective.base_config.batch_size,
    }


def _storage(url: str | None, problems: list[Problem]) -> dict[str, Any]:
    resolved = resolve_url(url)
    path = sqlite_path(resolved)
    found: dict[str, Any] = {"url": shown_url(resolved), "n_studies": None, "is_writable": True}
    if path is not None:
        found["is_writable"] = _can_be_written(path)
        if not found["is_writable"]:
            problems.append(
                Problem(
                    sentence=f"A study database must be where one may write, but {path} is not; "
                    f"name another with --storage or TUNER_STORAGE.",
                    error=ConfigurationError,
                )
            )
        if not path.exists():
            return found
    try:
        found["n_studies"] = len(list_studies(resolved))
    except ConfigurationError as error:
        if "holds no Optuna studies" not in str(error):
            problems.append(Problem(sentence=str(error), error=ConfigurationError))
    return found


def _can_be_written(path: Path) -> bool:
    """Whether the file, or the nearest folder above it that exists, may be written."""
    place = path.absolute()
    if place.exists() and not os.access(place, os.W_OK):
        return False
    place = place.parent
    while not place.exists():
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK)


def _versions() -> dict[str, str]:
    others = {name: version(name) for name in ("sqlalchemy", "numpy")}
    return {**own_versions(), **others, "python": platform.python_version()}


def _machine(device: torch.device) -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "devices": available_devices(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "cores": available_cores(),
        "memory_bytes": memory.total,
        "available_bytes": memory_meter(device).available_bytes(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _rates(device: torch.device) -> Iterator[Rate]:
    """Each kernel that lanes may use, on one thread as a worker has it."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        for kernel, precision, multiply, operations in _products(device):
            yield Rate(kernel=kernel, precision=precision, gflops=_gflops(multiply, operations, device))
    finally:
        torch.set_num_threads(threads)


def _products(device: torch.device) -> Iterator[tuple[str, str, Callable[[], Any], int]]:
    """The kernel's name, its precision, the product, and its floating-point operations."""
    if device.type != "cpu":
        sizes = (ACCELERATOR_SIZE, ACCELERATOR_SIZE, ACCELERATOR_SIZE)
    else:
        sizes = (N_UNITS, N_INPUTS, N_SAMPLES)
    n_units, n_inputs, n_samples = sizes
    operations = 2 * n_units * n_inputs * n_samples
    for precision in (torch.float32, torch.bfloat16):
        weights = torch.randn(n_units, n_inputs, device=device, dtype=precision)
        samples = torch.randn(n_samples, n_inputs, device=device, dtype=precision)
        name = str(precision).removeprefix("torch.")
        yield "torch.mm", name, partial(torch.mm, weights, samples.T), operations
        # A build of torch without oneDNN has no product of this name.
        has_onednn = device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        if has_onednn and precision is torch.float32:
            yield "oneDNN linear", name, partial(_onednn, weights, samples), operations


def _onednn(weights: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - torch has no public name for it
        weights, samples, None, "none", [], ""
    )
    return product


def _gflops(multiply: Callable[[], Any], operations: int, device: torch.device) -> float | None:
    """The fastest of the repeats that go into `SECONDS_PER_RATE`."""
    try:
        multiply()
    except NotImplementedError:  # the device has no product of this precision
        return None
    fastest, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS_PER_RATE:
        before = time.perf_counter()
        multiply()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        fastest = min(fastest, time.perf_counter() - before)
    return operations / fastest / 1e9


def _second_core(
    objective: Objective,
    parallelism: Parallelism,
    other: SecondProcess | None,
    *,
    data_dir: Path | None,
    problems: list[Problem],
) -> SecondCore | None:
    """None also for a model that the probe of lanes could not train: the reason there tells it already."""
    cannot_train = parallelism.lanes.error is not None
    if other is None or objective.splits.device.type != "cpu" or cannot_train:
        return None
    try:
        return time_second_core(objective, parallelism.lanes.n_lanes, other, data_dir=data_dir)
    except SecondProcessError as error:
        problems.append(Problem(sentence=str(error), error=ConfigurationError))
        return None


def _parallelism_json(chosen: Parallelism) -> dict[str, Any]:
    return {
        "workers": chosen.workers,
        "threads": chosen.threads,
        "lanes": chosen.lanes.n_lanes,
        "refills": chosen.lanes.refills,
        "measured": [
            {"lanes": n_lanes, "seconds_per_lane_step": seconds} for n_lanes, seconds in chosen.lanes.measured
        ],
        "reason": chosen.reason,
    }
