"""An engine that is held to its contract, its cohorts, and the trainings alone that they are compared with."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.tuner.training.lanes.twins import digits, trained_alone
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.lane import Lane
from tuner.training.models import ModelBuilder


class EngineFixtures:
    """Needs a fixture ``engine_of``, the builder of the engine: pytest refuses a subclass that has none."""

    @pytest.fixture
    def model_of(self) -> ModelBuilder | None:
        """A model to train instead of the built-in mlp."""
        return None

    @pytest.fixture
    def cohort_of(self, engine_of: EngineBuilder, model_of: ModelBuilder | None) -> Any:
        """Makes a cohort with lanes of the configs."""

        def made(
            configs: Sequence[TrainingConfig], splits: Splits | None = None
        ) -> tuple[Cohort, list[Lane]]:
            cohort = Cohort(splits or digits(), model=model_of, engine=engine_of)
            return cohort, [cohort.admit(config) for config in configs]

        return made

    @pytest.fixture
    def alone(self, model_of: ModelBuilder | None) -> Any:
        """Trains a config alone."""
        return lambda config, splits=None: trained_alone(config, splits, model_of)
