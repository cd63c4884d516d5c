"""What can be said of a request to the batch-size finder before the data is there. Loads no torch."""

import math

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig


def check_asked(
    config: TrainingConfig,
    *,
    rule: str | None = None,
    effective: int | None = None,
    target_loss: float | None = None,
    n_seeds: int = 1,
    budget_seconds: float,
) -> None:
    """Check what does not depend on the data.

    Raises:
        ConfigurationError: for numbers out of range and an unknown rule; all at once.
    """
    faults = []
    if not 0 < budget_seconds < math.inf:
        faults.append(f"budget_seconds must be more than 0, but got {budget_seconds:g}.")
    if n_seeds < 1:
        faults.append(f"n_seeds must be at least 1, but got {n_seeds}.")
    if effective is not None and effective < 2:
        faults.append(f"effective must be 2 to the number of training samples, but got {effective}.")
    # Cross-entropy and the mean squared error are both above 0 for a network that anyone has trained.
    if target_loss is not None and not 0 < target_loss < math.inf:
        faults.append(
            f"target_loss must be more than 0, which no validation loss falls below, but got {target_loss:g}."
        )
    if rule is not None:
        try:
            TrainingConfig.from_mapping(config.to_mapping() | {"batch_lr_rule": rule})
        except ConfigurationError as error:
            faults.append(str(error))
    if faults:
        raise ConfigurationError("\n".join(faults))
