"""The numbers that decide over a training's curves."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

SET = "set between healthy and faulty trainings (benchmarks/diagnosis/profile.json)"
"""Own design, and looked at on calibration runs; the profile says how far healthy ones stay from it."""

ALL_SETS = "set in the gap between sound and slow trainings of all lists, both transfer sets and stress"

# --- when anything may be judged

PERSISTENCE = Threshold(value=3, unit="checks in a row", source=f"{OWN}; one bad epoch is noise")
"""How many epochs in a row must be abnormal before a rule on curves speaks."""

NOISE_FLOORS = Threshold(
    value=2, unit="noise floors", source="AutoTrainer's accuracy gate, made relative (own design)"
)
"""A trial nearer to the study's best than this is healthy: it gets notes, never alarms."""

ASSUMED_VALIDATION_SIZE = Threshold(
    value=1000, unit="samples", source=f"{OWN}; a cautious guess where none is recorded"
)

# --- divergence

EXPLOSION_RATIO = Threshold(
    value=2, unit="times the lowest train loss", source="TheDeepChecker: loss >= 2x its minimum"
)
LOST_LEARNING = Threshold(
    value=0.95, unit="times the untrained network's loss", source=f"{OWN}: at 0.95 of it nothing is learned"
)
UPDATE_RATIO_HIGH = Threshold(
    value=0.1, unit="‖Δw‖ / ‖w‖", source="TheDeepChecker, DeepDiagnosis: log10 > -1"
)
UPDATE_RATIO_LOW = Threshold(value=1e-4, unit="‖Δw‖ / ‖w‖", source="TheDeepChecker: log10 < -4")
RATE_RATIO = Threshold(value=10, unit="times the best trial's effective learning rate", source=OWN)


# --- fit

CHANCE_ERRORS = Threshold(
    value=3, unit="standard errors over the accuracy of chance", source=f"{OWN}: less is no learning"
)

FEW_STEPS = Threshold(
    value=20, unit="optimizer steps", source=f"{OWN}: fewer teach nothing to anybody, and blame nothing"
)

FLAT_PER_EPOCH = Threshold(
    value=0.01, unit="relative fall of the train loss per epoch", source="TheDeepChecker: < 5 % in 5 checks"
)
POOR_FIT_ACCURACY = Threshold(value=0.7, unit="accuracy", source="AutoTrainer: converged at 0.7")
"""Only where no other trial tells what is possible."""
POOR_FIT_EXPLAINED = Threshold(value=0.5, unit="share of the untrained loss that is gone", source=OWN)
"""The same for regression."""
POOR_FIT_ERROR_RATIO = Threshold(
    value=2, unit="times the best trial's validation error at that epoch", source=OWN
)
POOR_FIT_MARGIN = Threshold(value=0.02, unit="accuracy, or share of the untrained loss", source=OWN)
POOR_FIT_NOISE_FLOORS = Threshold(value=4, unit="noise floors", source=OWN)
STILL_FALLING_T = Threshold(value=-3, unit="t statistic of the slope of the train loss", source=OWN)

RISE_OVER_NOISE = Threshold(value=3, unit="times the curve's epoch-to-epoch noise", source=OWN)

OSCILLATION_WINDOW = Threshold(
    value=0.2, unit="last share of the epochs", source="Deep Learning Tuning Playbook, check of late variance"
)
OSCILLATION_EPOCHS = Threshold(value=5, unit="epochs at least in that window", source=OWN)
OSCILLATION_RELATIVE = Threshold(
    value=0.2, unit="coefficient of variation of the validation loss", source="BTTackler: > 0.2"
)
OSCILLATION_REVERSALS = Threshold(value=2, unit="turns up or down in the window", source=OWN)

# --- steps that are too large

DEVELOPED_RATES = (
    "set between sound and faulty runs of calibration, blind, fresh, both transfer sets and stress"
)

BURST = Threshold(
    value=1.5,
    unit="times the loss before the first update",
    source="playbook check of early instability; KillLossSpike: 2",
)
"""A mean of 64 samples or more does not get there by chance."""
EARLY_BURST = Threshold(
    value=1.25, unit="times the loss before the first update, in the first fifth of the steps", source=SET
)
VIOLENT_BURST = Threshold(
    value=2.5, unit="times the loss before the first update, in the first fifth of the steps", source=OWN
)
EXTREME_BURST = Threshold(
    value=5,
    unit="times the loss before the first update, in the first fifth of the steps",
    source=f"{ALL_SETS} and both drawn parts: sound ones that end with a poor fit 3.8, those it was too much for 7.3",
)
LONG_BURST = Threshold(
    value=0.2,
    unit="share of the steps until the loss is below that before the first update for good, after an early burst",
    source=f"{ALL_SETS} and the drawn parts: sound ones 0.10 at most, those with errors left 0.34 and more",
)
FIT_RATIO_THROWN = Threshold(
    value=0.25,
    unit="train loss or error / that of validation, after a burst beyond EXTREME_BURST",
    source=f"{ALL_SETS} and both drawn parts: those that got over it 0.12 at most, those that did not 0.40 and more",
)
LEFT_AFTER_BURST = Threshold(
    value=0.08,
    unit="share of the untrained loss that is left at the end, after a burst beyond EXTREME_BURST",
    source=f"{OWN}: who has so little left has recovered; those that did not have 0.1 and more",
)
MOVED = Threshold(
    value=1.25,
    unit="times the norm of the untrained weights, with units lost after an early burst",
    source=f"{ALL_SETS} and both drawn parts: 1.14 at most where nothing is lost by it, 1.42 and more where much is",
)
ERRORS_AFTER_BURST = Threshold(
    value=0.033,
    unit="validation error, with swollen weights after a burst beyond VIOLENT_BURST",
    source=f"{DEVELOPED_RATES}: sound ones 0.026 at most, those that lack a warmup 0.040 and more",
)
MOST_IS_LEFT = Threshold(value=0.4, unit="share of the untrained loss that is left at the end", source=SET)
RISES = Threshold(
    value=2, unit="epochs in which the train loss rises by 3%", source=f"{SET}; one is bad luck"
)
RISE_SHARE = Threshold(value=0.15, unit="of the epochs in which the train loss rises by 3%", source=SET)
WEIGHT_GROWTH_DEAD = Threshold(
    value=1.9, unit="times the norm of the untrained weights, with many units dead", source=SET
)
WEIGHT_GROWTH = Threshold(
    value=2.8, unit="times the norm of the untrained weights", source=f"{SET}; 1.2 to 1.8 is usual"
)
SWOLLEN = Threshold(
    value=1.4, unit="times the norm of the untrained weights, with most units of a layer dead", source=SET
)
SWOLLEN_AND_FITTED = Threshold(
    value=1.9,
    unit="times the norm of the untrained weights, where less than LEFT_AFTER_BURST of the loss is left",
    source="benchmarks/diagnosis, all sets with eight drawn parts: harmless bursts 1.86 at most, harmful ones 1.94 and "
    "more but for two networks' with 1.5 and 1.8",
)
SHATTERING_BURST = Threshold(
    value=6,
    unit="times the loss before the first update, in the first fifth of the steps",
    source="benchmarks/diagnosis, all sets with six drawn parts, together with SWOLLEN_BY_BURST",
)
SWOLLEN_BY_BURST = Threshold(
    value=1.28,
    unit="times the norm of the untrained weights, after a burst beyond SHATTERING_BURST",
    source="benchmarks/diagnosis, all sets with six drawn parts: sound trainings 1.21 at most, harmless ones 1.23, "
    "harmful ones 1.33 and more",
)
DEAD_RISE = Threshold(value=0.2, unit="share of a layer's units that died", source=SET)
OSCILLATION_NOISE_FLOORS = Threshold(
    value=4,
    unit="standard errors of the validation accuracy",
    source=f"{SET}, after the Deep Learning Tuning Playbook",
)
MOMENTUM_HIGH = Threshold(
    value=0.95, unit="momentum", source=f"{OWN}: the effective rate is more than 20x the nominal one"
)
SMALL_BATCH = Threshold(
    value=8, unit="samples of one optimizer step", source=f"{OWN}; sound trainings are seldom below 16"
)
NOISY_BATCH = Threshold(
    value=16,
    unit="samples of one optimizer step",
    source=f"{OWN}; a batch of so few may be what makes steps too large, a smaller rate mends it as well",
)
SWOLLEN_RESTLESS = Threshold(
    value=2,
    unit="times the norm of the untrained weights, with a noisy validation loss and a train loss that rose",
    source=f"{DEVELOPED_RATES}: sound ones 1.94 at most, rates and momentums that are too high 2.2 and more",
)
RESTLESS_UPDATES = Threshold(
    value=0.0125,
    unit="‖Δw‖ / ‖w‖ of a step, with swollen weights and a noisy validation loss",
    source=f"{DEVELOPED_RATES} and both drawn parts: sound ones 0.0102 at most, rates too high 0.0148 and more",
)
LATE_NOISE = Threshold(
    value=0.06,
    unit="relative epoch-to-epoch noise of the validation loss over its second half",
    source=f"{DEVELOPED_RATES}: 0.05 with swollen weights in sound ones",
)
SWOLLEN_BY_FACTOR = Threshold(
    value=1.8,
    unit="times the norm of the untrained weights, with momentum above MOMENTUM_HIGH or a batch of NOISY_BATCH at most",
    source=f"{SET}; 1.2 to 1.8 is usual",
)
BURST_DEATHS = Threshold(
    value=0.35,
    unit="share of a layer's units that died or saturated after a burst of the loss beyond BURST",
    source=f"{SET}; sound ones lost 0.31 at most",
)
RATE_JUMPS = Threshold(value=2, unit="jumps of the rate upwards", source=OWN)
JUMP_SPIKES = Threshold(
    value=0.5, unit="of the jumps are followed by a spike of the loss", source=f"{OWN}; spikes after OLMo 2"
)
SPIKE_RISE_SHARE = Threshold(value=0.25, unit="of the epochs in which the train loss rises by 3%", source=SET)
"""Fewer are what warm restarts cost, and they end well."""
JUMP_SPIKE = Threshold(
    value=1.3, unit="times the mean loss before the jump", source="KillLossSpike: 2; milder (own design)"
)

# --- steps that are too small, or too few

FIT_RATIO_UNFINISHED = Threshold(
    value=0.65, unit="train loss or error / that of validation", source=f"{SET}; finished trainings have less"
)
FALL_OVER_NOISE = Threshold(value=2, unit="times the epoch-to-epoch noise of the validation loss", source=SET)
DOUBLING_FALL = Threshold(
    value=0.1, unit="relative fall of the validation loss over the second half", source=SET
)
EXPECTED_GAIN = Threshold(
    value=4.3, unit="standard errors of accuracy that four times the epochs promise", source=SET
)
EXPECTED_GAIN_SHORT = Threshold(
    value=3, unit="the same for a training of few epochs", source=f"{SET}; the more is to be had"
)
GOOD_ENOUGH = Threshold(
    value=0.95, unit="validation accuracy", source=f"{OWN}: the last percents are no fault of length or rate"
)
UPDATE_RATIO_SLOW = Threshold(
    value=2.5e-3, unit="‖Δw‖ / ‖w‖", source=f"{SET}; 3e-3 to 1e-2 is usual where nothing is wanting"
)
UPDATE_RATIO_CREEPING = Threshold(
    value=5e-4,
    unit="‖Δw‖ / ‖w‖",
    source=f"{OWN}: the geometric middle of UPDATE_RATIO_LOW and UPDATE_RATIO_SLOW",
)
FEW_EPOCHS = Threshold(value=4, unit="epochs", source=OWN)
FEW_STEPS_PER_EPOCH = Threshold(
    value=12,
    unit="optimizer steps an epoch",
    source=f"{OWN}; a sound large batch has as few, and reaches its end",
)
HANDFUL_PER_EPOCH = Threshold(
    value=4, unit="optimizer steps an epoch", source=f"{OWN}; the batch is a quarter of the data and more"
)
USUAL_PATH = Threshold(
    value=2,
    unit="norms of the weights, all updates laid end to end",
    source=f"{ALL_SETS}: the median of sound trainings; 19 of 20 go more than 0.78, 19 of 20 slow ones less than 0.73",
)
UPDATE_RATIO_USUAL = Threshold(
    value=6e-3, unit="‖Δw‖ / ‖w‖", source=f"{ALL_SETS}: the median of sound trainings"
)
LONG_PATH = Threshold(
    value=1.6,
    unit="norms of the weights, all updates laid end to end",
    source=f"{ALL_SETS}: what is on its way too long has gone 1.5 at most; who has gone farther is not slow",
)
FEW_STEPS_IN_ALL = Threshold(
    value=100,
    unit="optimizer steps of a training of few epochs",
    source=f"{OWN}; what they do not teach, more may",
)
SHARE_OF_ERROR = Threshold(
    value=0.1,
    unit="of the validation error, that a path of USUAL_PATH promises to take away",
    source=f"{OWN}; a training that is slow for certain has 0.2 and more, the noise of a flat loss 0.02",
)
FIT_RATIO_SHORT_PATH = Threshold(
    value=0.5,
    unit="train loss or error / that of validation, after a short path",
    source=f"{ALL_SETS}: 49 of 50 slow ones have 0.53 and more, half of the sound ones so short less than 0.44",
)
GAIN_OF_PATH = Threshold(
    value=4.5,
    unit="standard errors of accuracy that a path of USUAL_PATH promises",
    source=f"{ALL_SETS}: 9 of 10 slow trainings have 4.7 and more, sound ones (less stress) 3.4 at most",
)
GAIN_LEFT = Threshold(
    value=4,
    unit="standard errors of accuracy that a path of USUAL_PATH promises to who is seen on its way",
    source=f"{ALL_SETS} and the first drawn part: sound ones so steep 3.6 at most, slow ones 4.4 and more",
)
GAIN_OF_FEW_STEPS = Threshold(
    value=3.2,
    unit="the same, of a training with a handful of steps an epoch",
    source=f"{ALL_SETS} and the first drawn part: sound ones so coarse 2.3, batches too large 3.9 and more",
)
LOW_RATE_SHARE = Threshold(
    value=0.62,
    unit="share of the steps at less than a tenth of the peak rate",
    source=f"{ALL_SETS}: 0.5 at most where sound (exponential to 1%), 0.75 where the rate was gone too soon",
)
CLIP_FRACTION = Threshold(
    value=0.5, unit="share of clipped steps", source="Deep Learning Tuning Playbook: > 50 %"
)
ALL_CLIPPED = Threshold(
    value=0.95,
    unit="share of clipped steps",
    source=f"{OWN}: clipping sets every step's length; no sound run of any set with SGD clips half of its steps",
)
LONG_WARMUP = Threshold(
    value=0.35,
    unit="share of the steps in which the rate rises",
    source="Deep Learning Tuning Playbook: at most 10 %; one_cycle rises for 30 %",
)
WARMUP_COST_POOR_FIT = Threshold(
    value=1,
    unit="standard errors of accuracy that a warmup cost, in a training that ends with a poor fit",
    source=f"{OWN}: half of NOISE_FLOORS; harmful ones cost 1.1 and more, so do a few harmless ones with a poor fit",
)
WARMUP_FALL = Threshold(value=0.1, unit="late relative fall of the validation loss", source=SET)
RATE_AREA = Threshold(
    value=0.2, unit="mean rate / peak rate", source=f"{SET}; a cosine has 0.5, exponential to 1% has 0.22"
)
FIT_RATIO_DECAYED = Threshold(value=0.68, unit="train loss or error / that of validation", source=SET)
DECAYED_FALL = Threshold(value=0.02, unit="late relative fall of the train loss", source=SET)

# --- a fit that is held down

DECAY_SHARE = Threshold(
    value=0.4,
    unit="share of weight decay in an update",
    source="TheDeepChecker: overwhelming regularization (own number)",
)
SHRUNK = Threshold(
    value=0.8,
    unit="times the norm of the untrained weights",
    source=f"{DEVELOPED_RATES}: sound ones 0.94 and more, decayed ones 0.70 at most",
)
FIT_RATIO_SHRUNK = Threshold(
    value=0.3,
    unit="train loss or error / that of validation, of shrunk weights at an accuracy that falls short",
    source=f"{DEVELOPED_RATES}: 0.39 and more where decay costs accuracy; no sound run has shrunk so far",
)
FIT_RATIO_DECAY = Threshold(value=0.55, unit="train loss or error / that of validation", source=SET)
TRAIN_MODE_COST = Threshold(
    value=0.22,
    unit="accuracy on training samples, eval mode - train mode",
    source=f"{DEVELOPED_RATES}: the usual dropout costs 0.13 at most, one that is too strong 0.24 and more",
)
TRAIN_MODE_LOSS = Threshold(
    value=0.05,
    unit="share of the late train loss that is gone in eval mode",
    source=f"{OWN}; a third and more where dropout or augmentation hold the fit down, 0.02 where nothing was learned",
)
FIT_RATIO_DROPOUT = Threshold(value=0.55, unit="train loss or error / that of validation", source=SET)
WITHERED = Threshold(
    value=0.1,
    unit="times the norm of the untrained weights",
    source=f"{OWN}; only weight decay takes so much away",
)
SMALL_WIDTH = Threshold(value=8, unit="units", source=OWN)
NARROW_LAYERS = Threshold(
    value=5,
    unit="units of the widest hidden layer",
    source=f"{OWN}; estimated from the untrained weights, so well below SMALL_WIDTH",
)
FIT_RATIO_FEW_UNITS = Threshold(
    value=0.3,
    unit="train loss or error / that of validation, of a few units at an accuracy that falls short",
    source=f"{DEVELOPED_RATES}: 0.33 and more where units are wanting; no sound run has so few",
)
FIT_RATIO_NARROW = Threshold(value=0.55, unit="train loss or error / that of validation", source=SET)

# --- labels that cannot be learned

DEVELOPED = (
    "set between label noise and all else in calibration, the first blind part, first transfer set and stress"
)

SURPRISE = Threshold(
    value=0.93,
    unit="least validation loss / the most that is possible with so many errors",
    source=f"Fano's inequality; {DEVELOPED}: 0.95 and more with a quarter of wrong labels, 0.6 is usual",
)
SURPRISE_OF_DOUBT = Threshold(
    value=1.2,
    unit="the same, at most",
    source="benchmarks/diagnosis, all sets: 1.05 at most with wrong labels, 1.29 to 54 where weights burst or exploded",
)
LEARNED_BY_ROTE = Threshold(
    value=0.93,
    unit="train loss / validation loss",
    source=f"{DEVELOPED}; above it nothing is learned of single samples",
)
DOUBTED_ERROR = Threshold(
    value=0.1,
    unit="validation error at the least validation loss",
    source=f"{DEVELOPED}: 0.21 and more; sound trainings that doubt all alike have 0.035 at most",
)
"""Fewer errors than so are no many wrong labels, however they surprise."""
UNDERCONFIDENT = Threshold(
    value=0.1,
    unit="accuracy above confidence, on validation",
    source=f"{DEVELOPED}; label smoothing and sums of noise make 0.12 and more",
)
