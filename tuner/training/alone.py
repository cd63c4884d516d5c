"""One training as a search would do it: the only lane of a cohort, with the same kernels and so the same numbers."""

from collections.abc import Callable, Iterator

import torch

from studies.readings import EpochReadings
from studies.records import Outcome
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_by_config
from tuner.training.models import ModelBuilder


class TrainingAlone:
    """A cohort of one lane. Iterate over `epochs`; `lane` has what came of it.

    Args:
        config: what to train.
        data: a data set, which is then split as the config says, or splits that many trainings share.
        device: where to train; splits are already somewhere, and stay there.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        should_stop: asked about every 20 optimizer steps and between epochs; an outcome ends the training.
        metric: what the best epoch and early stopping go by, as in `Course`.
        direction: maximize or minimize; None is the metric's own.

    Raises:
        ConfigurationError: for a metric that the task does not have, a model that does not fit the data, or a
            precision that the device does not have.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: Dataset | Splits,
        *,
        device: str | torch.device = "auto",
        model: ModelBuilder | None = None,
        should_stop: Callable[[], Outcome | None] = lambda: None,
        metric: str | None = None,
        direction: str | None = None,
    ) -> None:
        splits = data if isinstance(data, Splits) else split_by_config(data, config, device=device)
        self._cohort = Cohort(
            splits, model=model, metric=metric, direction=direction, should_stop=should_stop
        )
        self.lane = self._cohort.admit(config)

    def epochs(self) -> Iterator[EpochReadings]:
        """Train, and yield each epoch's readings; epoch 0 is the untrained network.

        A lane whose state was loaded goes on behind the epochs it has. It ends by itself; its outcome says why.
        """
        if self.lane.n_rows:
            self.lane.settle()
        while self._cohort.advance():
            yield self.lane.last_readings
