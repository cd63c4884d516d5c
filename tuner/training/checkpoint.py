"""A training on disk: its whole state after an epoch, and what remains of it when it is done.

Files appear under a temporary name first: a reader sees a whole file or none. Nothing in them is code: torch
reads them with ``weights_only=True``.
"""

import json
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
import yaml
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from studies.encoding import to_json
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.models import ModelBuilder, build_model

CHECKPOINT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, INFO_FILE = "config.yaml", "weights.pt", "info.json"
CHECKPOINT_FILE = "checkpoint.pt"
RUN, COHORT = "run", "cohort"
"""What a checkpoint may hold."""


class TrainedModel(nn.Module):
    """A trained network with its input scaling in front: it takes inputs as the data set has them."""

    def __init__(self, scaling: InputScaling, network: nn.Module) -> None:
        super().__init__()
        self.scaling = scaling
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, n_classes], or predictions [n, n_outputs], for ``x`` [n, *input_shape]."""
        outputs: Tensor = self.network(self.scaling(x))
        return outputs


def save_checkpoint(path: Path, run: Course | Cohort) -> None:
    """Write the state of a training, or of all lanes of a cohort, at the end of its last epoch."""
    state = {"version": CHECKPOINT_VERSION, _kind_of(run): run.state_dict()}
    write_whole(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, run: Course | Cohort) -> None:
    """Let ``run``, new and of the same config and data, go on from the state in ``path``; or a cohort without lanes.

    Raises:
        ConfigurationError: when the file is missing, damaged, of another version, of another config, or holds the one
            where the other is asked for.
    """
    run.load_state_dict(_load_checkpoint(path, _kind_of(run)))


def lane_states(path: Path) -> tuple[dict[str, Any], ...]:
    """Of each lane of the cohort in ``path`` what a training alone goes on from (`Course.load_state_dict`).

    Raises:
        ConfigurationError: when the file is missing, damaged, of another version, or holds no cohort.
    """
    return tuple(_load_checkpoint(path, COHORT)["lanes"])


def save_trained(
    directory: Path, config: TrainingConfig, run: Course, info: Mapping[str, Any] | None = None
) -> None:
    """Write config.yaml, weights.pt (the best epoch's; the last ones when there is no best) and info.json."""
    weights = run.best_weights if run.best_weights is not None else run.model.state_dict()
    state = {
        "version": CHECKPOINT_VERSION,
        "input_shape": list(run.splits.input_shape),
        "n_outputs": run.splits.n_outputs,
        "scaling": {name: tensor.cpu() for name, tensor in run.scaling.state_dict().items()},
        "weights": {name: tensor.cpu() for name, tensor in weights.items()},
    }
    text = yaml.safe_dump(config.to_mapping(), sort_keys=False)
    summary = to_json(dict(info or {}), indent=2)
    write_whole(directory / CONFIG_FILE, lambda file: file.write(text.encode()))
    write_whole(directory / INFO_FILE, lambda file: file.write(f"{summary}\n".encode()))
    write_whole(directory / WEIGHTS_FILE, lambda file: torch.save(state, file))


def load_trained(
    directory: str | Path, *, model: ModelBuilder | None = None
) -> tuple[TrainingConfig, TrainedModel]:
    """The config and the network in ``directory``, on the CPU and in eval mode.

    ``model`` is needed when the network was built by a function that has no ``module:function`` name.

    Raises:
        ConfigurationError: when a file is missing or damaged, or the weights don't fit the model.
    """
    config = read_config(Path(directory) / CONFIG_FILE)
    state = _load(Path(directory) / WEIGHTS_FILE, "A weights file")
    with torch.random.fork_rng(devices=[]):
        network = build_model(config, tuple(state["input_shape"]), state["n_outputs"], builder=model)
    scaling = InputScaling(state["scaling"]["shift"], state["scaling"]["factor"])
    try:
        network.load_state_dict(state["weights"])
    except RuntimeError as error:
        raise ConfigurationError(
            f"The weights in {directory} do not fit the model that its config builds: {error}"
        ) from error
    return config, TrainedModel(scaling, network).eval()


def read_config(path: Path) -> TrainingConfig:
    """The config in a YAML file.

    Raises:
        ConfigurationError: when there is no such file, it is no mapping, or its values are wrong.
    """
    if not path.is_file():
        raise ConfigurationError(f"A config is a YAML file of config keys, but there is none at {path}.")
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from error
    if not isinstance(mapping, dict):
        raise ConfigurationError(f"A config is a mapping of config keys, but {path} holds {mapping!r}.")
    return TrainingConfig.from_mapping(mapping)


def read_info(directory: Path) -> dict[str, Any]:
    """What `save_trained` was told about the training."""
    info: dict[str, Any] = json.loads((directory / INFO_FILE).read_text(encoding="utf-8"))
    return info


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write ``path`` through a temporary file beside it, which takes its place only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _kind_of(run: Course | Cohort) -> str:
    return COHORT if isinstance(run, Cohort) else RUN


def _load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    state = _load(path, "A checkpoint")
    if kind not in state:
        other = RUN if kind == COHORT else COHORT
        raise ConfigurationError(f"The checkpoint must hold a {kind}, but {path} holds a {other}.")
    held: dict[str, Any] = state[kind]
    return held


def _load(path: Path, kind: str) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigurationError(f"{kind} must exist, but there is none at {path}.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, LookupError, OSError) as error:
        first_line = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path} is truncated or damaged ({first_line}); remove it.") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != CHECKPOINT_VERSION:
        raise ConfigurationError(
            f"{kind} must be of version {CHECKPOINT_VERSION}, but {path} has {version!r}."
        )
    return state
