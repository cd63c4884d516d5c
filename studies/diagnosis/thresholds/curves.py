"""The numbers that decide over a training's curves."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

# --- when anything may be judged

PERSISTENCE = Threshold(value=3, unit="checks in a row", source=f"{OWN}; one bad epoch is noise")
"""How many epochs in a row must be abnormal before a rule on curves speaks."""

NOISE_FLOORS = Threshold(
    value=2, unit="noise floors", source="AutoTrainer's accuracy gate, made relative (own design)"
)
"""A trial nearer to the study's best than this is healthy: it gets notes, never alarms."""

GATE_PEERS = Threshold(value=3, unit="complete trials", source=OWN)
"""Below this many, "near the study's best" says nothing."""

GATE_PROGRESS = Threshold(value=0.5, unit="fraction of the way from chance to perfect", source=OWN)
"""A study whose best trial is worse than this has no healthy trial to be near to."""

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
INPUT_MAGNITUDE = Threshold(
    value=10, unit="largest |input|", source=f"{OWN}; spares inputs standardized as usual"
)
INPUT_OFFSET = Threshold(
    value=3, unit="|mean| / standard deviation", source=f"{OWN}; spares inputs scaled to 0..1"
)
INITIAL_LOSS_EXCESS = Threshold(
    value=0.5,
    unit="times ln(classes) away from ln(classes)",
    source="TheDeepChecker, CS231n: the loss before any update",
)
UPDATE_RATIO_HIGH = Threshold(
    value=0.1, unit="‖Δw‖ / ‖w‖", source="TheDeepChecker, DeepDiagnosis: log10 > -1"
)
UPDATE_RATIO_LOW = Threshold(value=1e-4, unit="‖Δw‖ / ‖w‖", source="TheDeepChecker: log10 < -4")
MOMENTUM_HIGH = Threshold(
    value=0.95, unit="momentum", source=f"{OWN}: the effective rate is 20x the nominal one"
)
RATE_RATIO = Threshold(value=10, unit="times the best trial's effective learning rate", source=OWN)

# --- gradients and units

VANISHING_RATIO = Threshold(
    value=1e-3, unit="first layer's / last layer's gradient norm", source="AutoTrainer: ratio < 1e-3"
)
VANISHING_NORM = Threshold(value=1e-4, unit="first layer's gradient norm", source="AutoTrainer: norm < 1e-4")
DEAD_FRACTION = Threshold(
    value=0.5,
    unit="share of a layer's units that are never active on the probe",
    source="SageMaker Debugger, TheDeepChecker: half of the units",
)
ALL_DEAD = Threshold(
    value=0.99, unit="share of a layer's dead units", source=f"{OWN}: nothing passes such a layer"
)
"""Together with an accuracy at chance, this needs no persistence."""
FADING_SLOPE = Threshold(
    value=-0.3, unit="log10 of the gradient norm per layer, from the output back", source=OWN
)
"""Halved at every layer; a finding only where nothing is learned either."""
CLIP_FRACTION = Threshold(
    value=0.5, unit="share of clipped steps", source="Deep Learning Tuning Playbook: > 50 %"
)

# --- fit

CHANCE_ERRORS = Threshold(
    value=3, unit="standard errors over the accuracy of chance", source=f"{OWN}: less is no learning"
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
STRONG_DROPOUT = Threshold(value=0.5, unit="dropout", source="UMLAUT: dropout > 0.5 is a fault")
STRONG_WEIGHT_DECAY = Threshold(value=0.01, unit="weight_decay", source=OWN)
SMALL_WIDTH = Threshold(value=16, unit="units", source=OWN)
SMALL_BATCH = Threshold(value=8, unit="samples", source=OWN)
LONG_WARMUP = Threshold(
    value=0.1, unit="share of the steps", source="Deep Learning Tuning Playbook: at most 10 %"
)

GENERALIZATION_LOSS = Threshold(
    value=0.05, unit="relative rise of the validation loss over its minimum", source="Prechelt 1998: GL > 5 %"
)
RISE_OVER_NOISE = Threshold(value=3, unit="times the curve's epoch-to-epoch noise", source=OWN)
GAP = Threshold(
    value=0.10,
    unit="train - validation accuracy",
    source="AutoTrainer, DeepFD: 0.10 up to 0.9 train accuracy",
)
GAP_ABOVE = Threshold(
    value=0.07, unit="train - validation accuracy", source="AutoTrainer, DeepFD: 0.07 above 0.9"
)
GAP_SWITCH = Threshold(value=0.9, unit="train accuracy", source="AutoTrainer, DeepFD")

OSCILLATION_WINDOW = Threshold(
    value=0.2, unit="last share of the epochs", source="Deep Learning Tuning Playbook, check of late variance"
)
OSCILLATION_EPOCHS = Threshold(value=5, unit="epochs at least in that window", source=OWN)
OSCILLATION_NOISE_FLOORS = Threshold(
    value=2,
    unit="standard errors of the validation accuracy",
    source=f"{OWN}, after the Deep Learning Tuning Playbook",
)
OSCILLATION_RELATIVE = Threshold(
    value=0.2, unit="coefficient of variation of the validation loss", source="BTTackler: > 0.2"
)
OSCILLATION_REVERSALS = Threshold(value=2, unit="turns up or down in the window", source=OWN)
