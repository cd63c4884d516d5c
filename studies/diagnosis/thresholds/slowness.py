"""The numbers by which several readings agree that a training ended short."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

DRAWN = "all sets of benchmarks/diagnosis with four drawn parts"

MOSTLY_WARMUP = Threshold(
    value=0.55,
    unit="share of the steps in which the rate rises",
    source=f"{OWN}: no sound training of {DRAWN} has more than 0.30, a triangle of rates 0.5; 0.60 and more is planted",
)
WARMUP_COST_SHARE = Threshold(
    value=0.5,
    unit="of the errors that are left, which are the warmup's, however good the end is",
    source=f"{DRAWN}: 0.40 at most where a long warmup left a good fit and did no harm, 0.61 where it did",
)
CREEPING_PATH = Threshold(
    value=0.25,
    unit="norms of the weights, all updates laid end to end",
    source=f"{OWN}: an eighth of USUAL_PATH",
)
LOSS_RATIO_CREEPING = Threshold(
    value=0.3,
    unit="train loss / validation loss, after a creeping path",
    source=f"{DRAWN}: 0.37 and more of those that creep; who knows more by heart has arrived",
)
GAIN_CLEAR = Threshold(
    value=7,
    unit="standard errors of accuracy that a usual path, or the peak rate, promises",
    source=f"{DRAWN}: sound ones with a fit below FIT_RATIO_SHORT_PATH 6.2 at most, slow ones 8 to 14",
)
SHARE_CLEAR = Threshold(
    value=0.8,
    unit="of the validation error, that the same promises to take away",
    source=f"{DRAWN}: 0.9 and more where slow; large validation data make any promise clear of noise",
)
GAIN_OF_A_HANDFUL = Threshold(
    value=4.2,
    unit="the same, of a training with a handful of steps an epoch, however good its fit is",
    source="benchmarks/diagnosis, all sets with six drawn parts: sound ones so coarse 4.0 at most, batches too large "
    "4.3 and more",
)
FIT_RATIO_CLEAR = Threshold(
    value=0.3,
    unit="train loss or error / that of validation, where GAIN_CLEAR and SHARE_CLEAR are promised",
    source=f"{OWN}: few probe samples make the ratio scatter by a third; the gain tells the rest",
)
HARDLY_BEGUN = Threshold(
    value=0.9,
    unit="times the untrained network's loss, after a few steps in a few epochs",
    source=f"{OWN}: 0.93 and more of those that had only begun, 0.35 of the sound ones so brief",
)
STRONG_DROPOUT_COST = Threshold(
    value=0.11,
    unit="accuracy on training samples, eval mode - train mode, at a dropout that leaves a third of the units",
    source=f"{OWN}: half of TRAIN_MODE_COST; 0.18 and more in {DRAWN}",
)
