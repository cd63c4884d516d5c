"""One training seen through scale-free signs: ratios, shares and slopes that mean the same on any data set.

Every sign is computed once, when it is first asked for, and is NaN where its readings are missing: comparisons with NaN
are false, so what was not read fires no rule. *Late* is the last quarter of the epochs.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from studies.diagnosis.curves import Curve, epoch_noise, steady_best
from studies.diagnosis.reference import trained, trained_rows, untrained_loss, validation_error
from studies.diagnosis.situation import Situation
from studies.diagnosis.summaries import least_of, mean_of, median_of, most_of, norm_of, ratio_of
from studies.readings import NAN, EpochReadings, Telemetry
from studies.records import TrialRecord

LATE = 4
"""The last n-th of the epochs is late."""
BURST_SAMPLES = 64
"""Samples a loss is averaged over before it counts as a burst: single samples are noisy by themselves."""
EARLY_STEPS = 0.2
"""Of the optimizer steps: the first updates."""
RATE_JUMP = 1.2
"""Times the rate of the step before: a schedule's jump upwards, where the rate did not rise before."""
TRAIN_LOSS_RISE = 0.03
"""Relative rise of the train loss from one epoch to the next that counts as one."""

RISE_ERRORS = 2.0
"""Standard errors of the difference that a clear rise exceeds: a few small minibatches rise by chance."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What the rules on curves read of one trial."""

    trial: TrialRecord

    @cached_property
    def situation(self) -> Situation:
        return Situation(trial=self.trial)

    @cached_property
    def worked_out(self) -> dict[str, float]:
        """What other modules make of the signs and are asked for often, by the name of their function."""
        return {}

    @cached_property
    def telemetry(self) -> Telemetry:
        return self.trial.telemetry or Telemetry()

    @cached_property
    def rows(self) -> tuple[EpochReadings, ...]:
        """The trained epochs."""
        return trained_rows(self.trial)

    @property
    def n_epochs(self) -> int:
        return len(self.rows)

    @property
    def late_epoch(self) -> int:
        """The first late epoch."""
        return self.rows[-self._n_late].epoch

    @property
    def last_epoch(self) -> int:
        return self.rows[-1].epoch

    def late(self, quantity: str) -> float:
        """The mean of an epoch quantity over the late epochs."""
        return mean_of(trained(self.trial, quantity)[-self._n_late :])

    @property
    def _n_late(self) -> int:
        return max(1, self.n_epochs // LATE)

    # --- how well it fits

    @cached_property
    def fit_ratio(self) -> float:
        """Late loss or error on the training data over that on validation: about 1 where the fit itself is poor.

        The lower of the two: label smoothing, labels of chance and a hard task keep the loss of a fit that is done
        near that of validation, and few validation samples or rare classes the error.
        """
        return least_of(self.loss_ratio, self.error_ratio) if math.isfinite(self.loss_ratio) else NAN

    @cached_property
    def loss_ratio(self) -> float:
        """Late loss on the training data over that on validation: near 0 where the training data is known by heart.

        The lower of the running train loss and the probe's: dropout, augmentation and smoothing raise the first, which
        says nothing where they may be at work and the probe was not read.
        """
        probe = self.late("probe_loss")
        if not math.isfinite(probe) and not self._is_plain:
            return NAN
        return ratio_of(least_of(self.late("train_loss"), probe), self.late("validation_loss"))

    @property
    def error_ratio(self) -> float:
        """The same of the errors, in eval mode alone: NaN where there are none or where no probe was read."""
        return ratio_of(1.0 - self.late("probe_accuracy"), self.late_error)

    @property
    def _is_plain(self) -> bool:
        """Whether the train loss is that of the network and the data as they are."""
        return all(
            self.situation.number(key) == 0.0 for key in ("dropout", "augmentation", "label_smoothing")
        )

    @cached_property
    def accuracy_gap(self) -> float:
        """Late accuracy on the training data, in eval mode where it was read, above that on validation."""
        probe = self.late("probe_accuracy")
        return (probe if math.isfinite(probe) else self.late("train_accuracy")) - self.late(
            "validation_accuracy"
        )

    @cached_property
    def train_mode_cost(self) -> float:
        """How much accuracy dropout and augmentation take away in training: eval mode less train mode, late.

        Less what the train accuracy gained with the last epoch, because its running mean lags behind.
        """
        accuracies = trained(self.trial, "train_accuracy")
        gain = max(float(accuracies[-1] - accuracies[-2]), 0.0) if len(accuracies) > 1 else NAN
        return self.late("probe_accuracy") - self.late("train_accuracy") - gain

    @cached_property
    def train_mode_loss(self) -> float:
        """The share of the late train loss that is gone in eval mode: what noise in the network adds to it."""
        return 1.0 - ratio_of(self.late("probe_loss"), self.late("train_loss"))

    @cached_property
    def late_error(self) -> float:
        """1 - the late validation accuracy."""
        return 1.0 - self.late("validation_accuracy")

    @cached_property
    def accuracy_noise(self) -> float:
        """SE_val at the late accuracy."""
        accuracy = self.late("validation_accuracy")
        return validation_error(self.telemetry, accuracy) if math.isfinite(accuracy) else NAN

    @cached_property
    def explained(self) -> float:
        """The share of the untrained loss that is gone from the train loss at the end."""
        return 1.0 - ratio_of(self.late("train_loss"), untrained_loss(self.telemetry))

    # --- which way it goes

    @cached_property
    def late_fall(self) -> float:
        """Relative fall of the validation loss (else the train loss) from the quarter before to the last one."""
        return self._fall_of_late(self._judged_loss)

    @cached_property
    def late_train_fall(self) -> float:
        """The same of the train loss."""
        return self._fall_of_late(trained(self.trial, "train_loss"))

    def _fall_of_late(self, losses: Curve) -> float:
        n = self._n_late
        return (
            1.0 - ratio_of(mean_of(losses[-n:]), mean_of(losses[-2 * n : -n]))
            if len(losses) >= 2 * n
            else NAN
        )

    @cached_property
    def doubling_fall(self) -> float:
        """Relative fall of the validation loss over the second half: what the last doubling of the epochs gave."""
        losses = self._judged_loss
        if not len(losses):
            return NAN
        start = untrained_loss(self.telemetry)
        whole = np.concatenate([[start], losses])
        half = float(np.interp(len(losses) / 2.0, np.arange(len(whole)), whole))
        return 1.0 - ratio_of(float(losses[-1]), half)

    @cached_property
    def fall_over_noise(self) -> float:
        """``late_fall`` in units of the curve's own epoch-to-epoch noise over its second half."""
        return self.late_fall / self.late_noise if self.late_noise > 0.0 else NAN

    @cached_property
    def late_noise(self) -> float:
        """Relative epoch-to-epoch noise of the validation loss (else the train loss) over its second half."""
        losses = self._judged_loss[-max(5, self.n_epochs // 2) :]
        return epoch_noise(np.log(losses)) if len(losses) and np.all(losses > 0.0) else NAN

    @cached_property
    def _judged_loss(self) -> Curve:
        losses = trained(self.trial, "validation_loss")
        return losses if np.all(np.isfinite(losses)) else trained(self.trial, "train_loss")

    @cached_property
    def n_train_rises(self) -> int:
        """Epochs in which the train loss rose noticeably."""
        losses = trained(self.trial, "train_loss")
        return int(np.sum(np.diff(losses) > TRAIN_LOSS_RISE * losses[:-1]))

    @cached_property
    def n_clear_rises(self) -> int:
        """Those of them that rose by more than the scatter of the minibatches explains."""
        losses, errors = trained(self.trial, "train_loss"), self._train_loss_errors
        limit = np.maximum(TRAIN_LOSS_RISE * losses[:-1], RISE_ERRORS * np.hypot(errors[1:], errors[:-1]))
        return int(np.sum(np.diff(losses) > limit))

    @property
    def _train_loss_errors(self) -> Curve:
        """The standard error of each epoch's train loss; 0 where its steps were not loaded.

        Of the differences between neighboring steps, so that a slope or a jump of the rate is no scatter.
        """
        errors = {
            block.epoch: math.sqrt(
                float(np.mean(np.diff(block.train_loss.astype(np.float64)) ** 2)) / 2.0 / len(block)
            )
            for block in self.telemetry.steps
            if len(block) > 1 and np.all(np.isfinite(block.train_loss))
        }
        return np.array([errors.get(row.epoch, 0.0) for row in self.rows])

    @cached_property
    def generalization_loss(self) -> float:
        """The least of the late validation losses over the steady best, minus 1 (Prechelt's GL, made persistent)."""
        losses = trained(self.trial, "validation_loss")
        if not len(losses) or not np.all(np.isfinite(losses)):
            return NAN
        late = float(losses[-max(self._n_late, 2) :].min())
        return ratio_of(late, min(late, steady_best(losses))) - 1.0

    @cached_property
    def overconfidence(self) -> float:
        """Mean late confidence of the answers above their accuracy, on validation."""
        return self.late("confidence") - self.late("validation_accuracy")

    # --- what the updates do

    @cached_property
    def update_ratio(self) -> float:
        """‖Δw‖ / ‖w‖ of a step, the median over layers, at the training's livelier epochs (80th percentile)."""
        medians = [median_of(layer.update_ratio for layer in row.layers) for row in self.rows]
        known = [median for median in medians if median > 0.0]
        return float(np.quantile(known, 0.8)) if known else NAN

    @cached_property
    def decay_share(self) -> float:
        """Weight decay's part of an update: rate x decay over the update ratio; 1 where it is all that moves them."""
        decay = self.situation.number("weight_decay")
        ratio = median_of(layer.update_ratio for row in self.rows for layer in row.layers)
        if not len(self.rates):
            return NAN
        return ratio_of(float(np.median(self.rates)) * self.situation.momentum_factor * decay, ratio)

    @cached_property
    def clip_share(self) -> float:
        """Of the steps whose gradient was clipped; NaN where clipping is off."""
        return mean_of(trained(self.trial, "clip_fraction"))

    @cached_property
    def weight_growth(self) -> float:
        """‖w‖ of all layers at the end over that before training (else after its first epoch)."""
        probe = self.telemetry.step_zero
        start = norm_of(layer.weight_norm for layer in probe.layers) if probe is not None else NAN
        norms = [norm_of(layer.weight_norm for layer in row.layers) for row in self.rows]
        first = start if start > 0.0 else norms[0] if norms else NAN
        return ratio_of(norms[-1], first) if norms else NAN

    @property
    def dead_fraction(self) -> float:
        """The worst layer's share of dead units at the end."""
        return self.rows[-1].dead_fraction if self.rows else NAN

    @cached_property
    def dead_rise(self) -> float:
        """The worst layer's share of dead units at the end, above that of the untrained network."""
        return self._above_start("dead_fraction", self.dead_fraction)

    @cached_property
    def saturated_rise(self) -> float:
        """The same of saturated units: those of sigmoids and tanh that hardly pass any gradient."""
        layers = self.rows[-1].layers if self.rows else ()
        return self._above_start("saturated_fraction", most_of(layer.saturated_fraction for layer in layers))

    def _above_start(self, quantity: str, end: float) -> float:
        probe = self.telemetry.step_zero
        before = [getattr(layer, quantity) for layer in probe.layers] if probe is not None else []
        return end - most_of((0.0, *before))

    @cached_property
    def lost_rise(self) -> float:
        """The larger of the two: the units that no longer learn, whichever their activation is."""
        return most_of((self.dead_rise, self.saturated_rise))

    # --- the steps

    @cached_property
    def rates(self) -> npt.NDArray[np.float64]:
        """The learning rate of every step, or of every epoch where the steps were not loaded."""
        steps = self.telemetry.step_series("learning_rate").astype(np.float64)
        rates = steps if len(steps) else trained(self.trial, "learning_rate")
        return rates[np.isfinite(rates)]

    @cached_property
    def rate_area(self) -> float:
        """Mean rate over peak rate: 1 is constant, 0.5 a cosine, below a fifth is mostly over."""
        return ratio_of(mean_of(self.rates), float(self.rates.max())) if len(self.rates) else NAN

    @cached_property
    def warmup_share(self) -> float:
        """Of the steps at which the rate rose from the step before; the config's warmup where steps are unknown."""
        if self.telemetry.steps:
            return mean_of(np.diff(self.rates) > 0.0)
        return self.situation.number("warmup_fraction")

    @cached_property
    def rate_jumps(self) -> npt.NDArray[np.int64]:
        """The positions in ``rates`` at which a schedule lifts the rate after it had been level or falling."""
        rates = self.rates
        jumps = (rates[2:] > RATE_JUMP * rates[1:-1]) & (rates[1:-1] <= rates[:-2])
        return np.flatnonzero(jumps) + 2

    @cached_property
    def n_steps(self) -> float:
        """Optimizer steps of the whole training; NaN where neither steps nor batch and data sizes are known."""
        if self.telemetry.steps:
            return float(sum(len(block) for block in self.telemetry.steps))
        return self.n_epochs * self.steps_per_epoch

    @cached_property
    def steps_per_epoch(self) -> float:
        if self.telemetry.steps:
            return float(max(len(block) for block in self.telemetry.steps))
        size, data = self.situation.batch_size, self.telemetry.data
        return math.ceil(data.n_train / size) if data is not None and size > 0.0 else NAN

    @cached_property
    def batch_size(self) -> float:
        """Samples of one optimizer step: the config's, else from the steps of an epoch."""
        known, data = self.situation.batch_size, self.telemetry.data
        if math.isfinite(known):
            return known
        return data.n_train / self.steps_per_epoch if data is not None and data.n_train else NAN

    @cached_property
    def step_losses(self) -> Curve:
        """Step losses averaged over at least ``BURST_SAMPLES`` samples each; empty where steps were not loaded."""
        losses = self.telemetry.step_series("train_loss").astype(np.float64)
        size = self.batch_size
        width = max(1, math.ceil(BURST_SAMPLES / size)) if size > 0.0 else 1
        n = len(losses) // width
        return losses[: n * width].reshape(n, width).mean(axis=1) if n else losses[:0]

    @cached_property
    def early_burst(self) -> float:
        """The highest loss of the first updates over the loss before them, up to a schedule's first jump."""
        n_early = max(3, round(EARLY_STEPS * len(self.step_losses)))
        if len(self.rate_jumps):  # later bursts are the schedule's
            n_early = min(n_early, int(self.rate_jumps[0] * len(self.step_losses) / len(self.rates)))
        return self._over_start(self.step_losses[:n_early])

    @cached_property
    def burst(self) -> float:
        """The highest loss of the whole training over the loss before it."""
        epochs = self._over_start(trained(self.trial, "train_loss"))
        steps = self._over_start(self.step_losses)
        return steps if steps > epochs or math.isnan(epochs) else epochs

    def _over_start(self, losses: Curve) -> float:
        losses = losses[np.isfinite(losses)]
        return ratio_of(float(losses.max()), self.start_loss) if len(losses) else NAN

    @cached_property
    def start_loss(self) -> float:
        """Of the untrained network, in train mode where it was read."""
        probe = self.telemetry.step_zero
        read = probe.train_loss if probe is not None else NAN
        known = untrained_loss(self.telemetry)
        return max(read, known) if math.isfinite(read) else known


def signs_of(trial: TrialRecord) -> Signs:
    """Its signs, worked out once for all rules: of the trial looked at, and of the one that it is compared with."""
    signs = next((each for each in _KEPT if each.trial is trial), None) or Signs(trial=trial)
    _KEPT[:] = [signs, *(each for each in _KEPT if each is not signs)][:2]
    return signs


_KEPT: list[Signs] = []
