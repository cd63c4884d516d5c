"""What would tell the causes of one symptom apart: for each cause, the trial that it alone would mend."""

from collections.abc import Mapping, Sequence

from studies.diagnosis.finding import Cause, CauseName

DISCRIMINATIONS: Mapping[CauseName, str] = {
    CauseName.LEARNING_RATE_TOO_HIGH: "a tenth of the learning rate lowers the train loss within an epoch",
    CauseName.LEARNING_RATE_TOO_LOW: "ten times the learning rate makes the train loss fall much faster",
    CauseName.BATCH_TOO_SMALL: "a larger batch helps at the same rate",
    CauseName.BATCH_TOO_LARGE: "a smaller batch helps at the same rate and epochs",
    CauseName.VANISHING_GRADIENTS: "the first layer's gradient comes back with ReLU or normalization",
    CauseName.EXPLODING_GRADIENTS: "clipping or normalization helps and the initial loss is that of guessing",
    CauseName.DYING_RELU: "a leaky ReLU brings the units back",
    CauseName.BAD_INITIALIZATION: "the default initialization brings the initial loss back to that of guessing",
    CauseName.UNNORMALIZED_INPUT: "standardized inputs mend it with everything else as it is",
    CauseName.OVERFITTING: "dropout or more data narrows the gap between train and validation",
    CauseName.OVER_REGULARIZED: "less weight decay or dropout lowers the train loss",
    CauseName.UNDERCAPACITY: "four times the width lowers the train loss",
    CauseName.TOO_FEW_EPOCHS: "the same training goes on improving when it is continued",
    CauseName.MISSING_WARMUP: "a warmup of 5% of the steps ends the trouble at the same peak rate",
    CauseName.WARMUP_TOO_LONG: "a warmup of 5% of the steps reaches the same loss in fewer epochs",
    CauseName.SCHEDULE_SPIKES: "the spikes are gone with a schedule that never rises",
    CauseName.PREMATURE_DECAY: "the loss falls on where the rate is kept up longer",
    CauseName.OVERCONFIDENCE: "label smoothing lowers the validation loss and leaves the accuracy",
    CauseName.TRAIN_VALIDATION_OVERLAP: "the validation accuracy falls when the duplicates are dropped",
    CauseName.TARGET_LEAKAGE: "the accuracy falls when the telling features are blanked",
    CauseName.CLASS_IMBALANCE: "balanced class weights raise the accuracy of the rare classes",
    CauseName.UNSTRATIFIED_SPLIT: "a stratified split gives both splits the same classes",
    CauseName.LABEL_NOISE: "a person who looks at the disputed samples finds wrong labels",
    CauseName.FROZEN_LAYERS: "the layer's weights change once it is trainable and in the optimizer",
    CauseName.NON_FINITE_DATA: "the first non-finite number is in the inputs, even at a rate of 0",
    CauseName.UNSHUFFLED_DATA: "shuffling the training data mends it with everything else as it is",
    CauseName.AUGMENTATION_DRIFT: "without augmentation the validation accuracy meets the train accuracy",
    CauseName.SEED_NOISE: "the difference is gone, or changes its sign, with other seeds",
    CauseName.MOMENTUM_TOO_HIGH: "momentum 0.9 helps at the same rate",
    CauseName.CLIPPING_TOO_TIGHT: "a larger clip_norm makes the updates grow",
    CauseName.DOUBLE_SOFTMAX: "the loss falls below its floor once the softmax is removed",
    CauseName.EVALUATION_MODE_BUG: "two evaluations of one network agree once model.eval() is called",
    CauseName.STALE_GRADIENTS: "the gradient norm stops growing once the gradients are zeroed",
}
"""If this is the cause, then ...: a continuation of "<cause> if "."""


def discrimination(causes: Sequence[Cause]) -> str:
    """One sentence for the two likeliest causes; empty where there is no choice."""
    if len(causes) < 2:
        return ""
    first, second = (f"{cause.name} if {DISCRIMINATIONS[cause.name]}" for cause in causes[:2])
    return f"It is {first}; {second}."
