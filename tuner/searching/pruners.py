"""Pruners for trials in lockstep: all lanes report an epoch, then one decision is made over them and all that is known.

Optuna's own decide a trial at a time, as it reports. In a cohort they misbehave: the median prunes nothing before
five trials are complete, and successive halving keeps whichever lane was asked first. Ours look at all lanes and the
study's history at once, so that no order matters. Each is also an Optuna pruner, for trials that run alone.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from tuner.searching.curves import Curve, curve_of, trials_with_curves

FIRST_RUNG = 1
"""The first epoch after which a trial may be pruned. Epoch 0 is the untrained network: it says nothing."""


class CohortPruner(BasePruner):
    """Says which lanes end now. A trial that has nothing finite to show for its last epoch always does."""

    def condemned(self, lanes: Sequence[Curve], others: Sequence[Curve]) -> frozenset[int]:
        """The numbers of the trials that end.

        Args:
            lanes: the trials to be judged, each after its own last epoch.
            others: all else that is known: trials that have ended, and those of other workers.
        """
        known = [*lanes, *others]
        return frozenset(
            lane.number
            for lane in lanes
            if math.isinf(lane.losses[lane.epoch]) or self._is_condemned(lane, known)
        )

    @abstractmethod
    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:
        """Whether a lane ends, given all curves, its own among them."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Optuna's question about one trial."""
        if not trial.intermediate_values:
            return False
        lane = curve_of(trial, study.direction)
        others = [
            curve_of(other, study.direction)
            for other in trials_with_curves(study)
            if other.number != trial.number
        ]
        return lane.number in self.condemned([lane], others)


@dataclass(frozen=True, kw_only=True)
class NoPruner(CohortPruner):
    """Ends nothing, whatever it shows: what has diverged ends by itself."""

    def condemned(self, lanes: Sequence[Curve], others: Sequence[Curve]) -> frozenset[int]:  # noqa: ARG002
        return frozenset()

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:  # noqa: ARG002
        return False


@dataclass(frozen=True, kw_only=True)
class QuantilePruner(CohortPruner):
    """Ends a trial whose best value so far does not belong to the best share of all trials at the same epoch.

    A trial that was pruned earlier counts on, with the best it had: else the survivors would be halved at every
    epoch, and of eight lanes one would be left after three. Such values grow old, so the share narrows with the epochs.
    """

    share: float
    """Of all trials that may go on after epoch 1; 0.5 is the median."""
    narrowing: float = 1 / 3
    """The share falls with this power of the epoch. Of the powers tried on learning curves of `digits`, 0 to 1/2, the
    one that saved most while it kept the best trial 95 times of 100 (benchmarks/cohort_pruning.py)."""
    n_known: int = 5
    """How many trials must have reached an epoch before it decides anything, as in Optuna's."""

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:
        epoch = lane.epoch
        if epoch < FIRST_RUNG or sum(epoch in curve.losses for curve in known) < self.n_known:
            return False
        bests = sorted(curve.best_until(epoch) for curve in known)
        n_kept = max(1, math.ceil(self.share / math.pow(epoch, self.narrowing) * len(bests)))
        return lane.best_until(epoch) > bests[n_kept - 1]


@dataclass(frozen=True, kw_only=True)
class HalvingPruner(CohortPruner):
    """Successive halving: at each rung the best third of all trials that ever stood there goes on.

    Rungs are epochs ``first_rung * factor ** k``. Whoever stands on a rung is compared by its best value so far.
    """

    first_rung: int = FIRST_RUNG
    factor: int = 3

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:
        epoch = lane.epoch
        if not self._is_rung(epoch):
            return False
        bests = sorted(curve.best_until(epoch) for curve in known if epoch in curve.losses)
        last = bests[max(1, len(bests) // self.factor) - 1]
        return lane.best_until(epoch) > last

    def _is_rung(self, epoch: int) -> bool:
        rung = self.first_rung
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


@dataclass(frozen=True, kw_only=True)
class HyperbandPruner(CohortPruner):
    """Successive halving in brackets that differ in their first rung, in case the first epochs say little.

    Trials are dealt to the brackets by number, so that each bracket gets about the same epochs; a trial is compared
    only with those of its bracket. Unlike Optuna's it hides no trials from the sampler.
    """

    epochs: int
    """Of a whole training."""
    factor: int = 3

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:
        bracket = self._bracket(lane.number)
        halving = HalvingPruner(first_rung=FIRST_RUNG * self.factor**bracket, factor=self.factor)
        peers = [curve for curve in known if self._bracket(curve.number) == bracket]
        return lane.number in halving.condemned([lane], [peer for peer in peers if peer is not lane])

    def _bracket(self, number: int) -> int:
        """Of every ``factor ** (n - 1) + ... + 1`` trials, bracket b gets ``factor ** (n - 1 - b)``."""
        sizes = [self.factor**exponent for exponent in reversed(range(self._n_brackets))]
        place = number % sum(sizes)
        for bracket, size in enumerate(sizes):
            if place < size:
                return bracket
            place -= size
        raise AssertionError("A place lies below the sum of all sizes.")

    @property
    def _n_brackets(self) -> int:
        """So many as have a rung before the last epoch, the last bracket's being the last epoch itself."""
        return 1 + math.floor(math.log(max(self.epochs, FIRST_RUNG + 1), self.factor) + 1e-9)


@dataclass(frozen=True, kw_only=True)
class PatientPruner(CohortPruner):
    """Ends what another pruner would end, once it has not improved for some epochs."""

    wrapped: CohortPruner
    patience: int
    """Epochs without a new best of its own that are forgiven."""

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:
        epoch = lane.epoch
        recent = epoch - self.patience
        if recent < FIRST_RUNG or lane.best_until(epoch) < lane.best_until(recent):
            return False
        return lane.number in self.wrapped.condemned([lane], [curve for curve in known if curve is not lane])
