"""Which of the trials that the pruner condemns run on all the same, so that its mistakes can be counted.

Who is spared depends on the study's seed and the trial's number alone: two workers, a resumed one and the same search
again agree, and no sampler's stream is touched.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces.errors import ConfigurationError

SPARED_SHARE = 0.05
"""A twentieth: the epochs it costs are few, and some hundred condemned trials tell the pruner's errors to a tenth."""
_STREAM = 0x5BA2ED
"""Keeps these draws apart from all others that are made of a study's seed."""


@dataclass(frozen=True, kw_only=True)
class Sparing:
    """A lottery among condemned trials."""

    seed: int
    """The study's."""
    share: float = SPARED_SHARE
    """Of the condemned trials; 0 spares none."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ConfigurationError(f"A share of spared trials must lie in 0..1, but got {self.share}.")

    def spares(self, number: int) -> bool:
        """Whether the trial of this number runs on when it is condemned, at whatever epoch."""
        return float(np.random.default_rng([_STREAM, self.seed, number]).random()) < self.share


NO_SPARING = Sparing(seed=0, share=0.0)
"""Every condemned trial ends."""
