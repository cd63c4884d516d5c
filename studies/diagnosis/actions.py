"""Remedies that are done to data or code: what no lever mends, and what a lever mends where the toolkit trains.

In a loop of one's own a config names no split, scaling or initialization: then the remedy is the line to write.
"""

import math
from collections.abc import Callable, Mapping

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import CauseName, Remedy
from studies.diagnosis.signs import Signs
from studies.diagnosis.situation import Situation
from studies.readings import CodeProbe, Telemetry

Rule = Callable[[Situation], Remedy | None]


_OPTIMIZER_CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}


def _do(action: str, reason: str) -> Remedy:
    return Remedy(sentence=f"{action} {reason}", action=action)


def _fix(lever: str, value: float | str, reason: str) -> Remedy:
    shown = f"{value:.3g}" if isinstance(value, float) else value
    return Remedy(
        sentence=f"Set {lever} to {shown}: {reason}.",
        edits=(Edit(kind=EditKind.FIX, lever=lever, value=value),),
    )


def _code(situation: Situation) -> CodeProbe:
    return (situation.trial.telemetry or Telemetry()).code or CodeProbe()


def zero_gradients(situation: Situation) -> Remedy | None:  # noqa: ARG001 - a rule's shape
    return _do(
        "Call `optimizer.zero_grad()` in every iteration, before `loss.backward()`.",
        "Each step then uses the gradient of its own minibatch only.",
    )


def return_logits(situation: Situation) -> Remedy | None:  # noqa: ARG001
    return _do(
        "Remove the softmax from the end of the model, or pass `torch.log(probabilities)` to `nn.NLLLoss()`.",
        "`nn.CrossEntropyLoss` takes logits and applies the softmax itself.",
    )


def switch_modes(situation: Situation) -> Remedy | None:
    code = _code(situation)
    if code.training_in_eval_mode_share > 0.0 and not code.evaluation_in_train_mode_share > 0.0:
        return _do(
            "Call `model.train()` at the start of every epoch.",
            "After an evaluation the model stays in eval mode until it is told otherwise.",
        )
    if situation.trial.telemetry is not None and situation.trial.telemetry.code is None:
        return _do(
            "Use `nn.Dropout` modules, or pass `training=self.training` to `F.dropout`.",
            "Nothing random may be left in the network once `model.eval()` was called.",
        )
    return _do(
        "Call `model.eval()` before validating, and `model.train()` before the next epoch.",
        "Dropout is then off and batch normalization uses its running statistics.",
    )


def warm_up_by_hand(situation: Situation) -> Remedy | None:
    """Where no lever does it: in a loop of one's own whose rate does not rise at its start."""
    if math.isfinite(situation.number("warmup_fraction")) or Signs(trial=situation.trial).warmup_share > 0.0:
        return None
    return _do(
        "Raise the rate over the first steps: `scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, "
        "total_iters=100)`, and `scheduler.step()` after each `optimizer.step()`.",
        "The first updates, on random weights, are the dangerous ones.",
    )


def thaw_layers(situation: Situation) -> Remedy | None:
    code = _code(situation)
    if code.n_layers_without_gradient:
        return _do(
            "Remove the `.detach()`, `torch.no_grad()` or `.data` between these layers and the loss, or the layers "
            "if the forward pass does not use them.",
            "No gradient gets to them.",
        )
    if code.n_layers_not_optimized:
        optimizer = situation.choice("optimizer")
        name = _OPTIMIZER_CLASSES.get(optimizer, optimizer) or "SGD"
        return _do(
            f"Give all weights to the optimizer: `torch.optim.{name}(model.parameters(), ...)`, "
            "after the model is whole.",
            "Layers that are added later, or left out, are never updated.",
        )
    return _do(
        "Unfreeze the layers: `for p in model.parameters(): p.requires_grad_(True)`, before the optimizer is made.",
        "What they pass on then adapts to the data.",
    )


def clean_data(situation: Situation) -> Remedy | None:  # noqa: ARG001
    return _do(
        "Drop or impute the rows that hold NaN or infinite inputs: `keep = torch.isfinite(x.flatten(1)).all(1)`.",
        "No lever mends that.",
    )


def standardize_input(situation: Situation) -> Remedy | None:
    scaling = situation.choice("input_scaling")
    if scaling and scaling != "standardize":
        return _fix("input_scaling", "standardize", "inputs of mean 0 and deviation 1 suit every rule")
    if scaling:
        return None
    return _do(
        "Standardize the inputs with the train split's statistics: `x = (x - x_train.mean()) / x_train.std()`.",
        "Initializations and learning rates are made for inputs of mean 0 and deviation 1.",
    )


def drop_copies(situation: Situation) -> Remedy | None:
    data = (situation.trial.telemetry or Telemetry()).data
    if data is not None and data.moved_fraction > data.overlap_fraction:
        return _do(
            "Split first, then augment the train split alone: copies belong on the side of their original.",
            "The validation accuracy counts answers that were learned by heart.",
        )
    return _do(
        "Drop the copies before splitting: `x, index = np.unique(x, axis=0, return_index=True); y = y[index]`.",
        "The validation accuracy counts answers that were learned by heart.",
    )


def remove_leak(situation: Situation) -> Remedy | None:
    data = (situation.trial.telemetry or Telemetry()).data
    n = data.n_leak_features if data is not None else 0
    features = "the feature that gives" if n == 1 else f"the {n} features that give"
    return _do(
        f"Remove or mask {features} the class away, in all splits.",
        "It will not be there, or not be known, when the network is used.",
    )


def weight_classes(situation: Situation) -> Remedy | None:
    weights = situation.choice("class_weights")
    if weights == "none":
        return _fix("class_weights", "balanced", "errors on rare classes then count as much in all")
    if weights:
        return None
    return _do(
        "Weight the classes: `nn.CrossEntropyLoss(weight=n_samples / (n_classes * class_counts))`.",
        "Errors on rare classes then count as much in all.",
    )


def collect_rare(situation: Situation) -> Remedy | None:  # noqa: ARG001
    return _do(
        "Collect more samples of the rare classes, or draw them more often: `WeightedRandomSampler`.",
        "Few samples can be weighted, but not multiplied.",
    )


def stratify_split(situation: Situation) -> Remedy | None:
    split = situation.choice("split")
    if split and split != "stratified":
        return _fix("split", "stratified", "both splits then hold the classes in the same shares")
    return _do(
        "Stratify the split: `train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)`.",
        "Both splits then hold the classes in the same shares.",
    )


def review_labels(situation: Situation) -> Remedy | None:  # noqa: ARG001
    return _do(
        "Look at the training samples whose neighbors have other labels, and correct or drop them.",
        "A network learns wrong labels by heart, and is graded by them too.",
    )


def smooth_noisy_labels(situation: Situation) -> Remedy | None:
    if situation.number("label_smoothing") == 0.0:
        return _fix("label_smoothing", 0.1, "a wrong label then pulls with less force")
    return None


def stop_before_memorizing(situation: Situation) -> Remedy | None:
    if situation.number("patience") == 0.0:
        return _fix("patience", 3, "clean labels are learned first, wrong ones by heart later")
    return None


def shuffle_data(situation: Situation) -> Remedy | None:  # noqa: ARG001
    return _do(
        "Shuffle the training data: `DataLoader(train, batch_size=..., shuffle=True)`.",
        "Each minibatch then looks like the whole set.",
    )


def weaken_augmentation(situation: Situation) -> Remedy | None:
    strength = situation.number("augmentation")
    if strength > 0.0:
        weaker = float(f"{strength / 4.0:.3g}") if strength > 0.1 else 0.0
        return _fix("augmentation", weaker, "the network trains on what it will not see again")
    return None


def same_transform(situation: Situation) -> Remedy | None:
    if situation.number("augmentation") > 0.0:
        return None
    return _do(
        "Transform train and validation inputs alike: the same normalization, and no augmentation that changes "
        "what a sample looks like.",
        "The network is asked about inputs that it has never seen the like of.",
    )


def default_initialization(situation: Situation) -> Remedy | None:
    if situation.choice("initialization"):  # a custom network may ignore the lever: then this is what helps
        action = "Leave the weights of your own model as PyTorch initializes them, or use `kaiming_normal_`."
    else:
        action = "Initialize with `nn.init.kaiming_normal_(layer.weight)` and zero biases, or leave PyTorch's default."
    return _do(action, "The scale of the signal is then kept from layer to layer.")


def zero_biases(situation: Situation) -> Remedy | None:
    """Only where units were dead before any update: later deaths are the optimizer's."""
    probe = (situation.trial.telemetry or Telemetry()).step_zero
    layers = probe.layers if probe is not None else ()
    if not any(layer.dead_fraction > limits.DEAD_FRACTION.value for layer in layers):
        return None
    return _do(
        "Start with biases of zero: `nn.init.zeros_(layer.bias)`.",
        "A unit that no input can activate gets no gradient either.",
    )


ACTIONS: Mapping[CauseName, tuple[Rule, ...]] = {
    CauseName.STALE_GRADIENTS: (zero_gradients,),
    CauseName.DOUBLE_SOFTMAX: (return_logits,),
    CauseName.EVALUATION_MODE_BUG: (switch_modes,),
    CauseName.FROZEN_LAYERS: (thaw_layers,),
    CauseName.NON_FINITE_DATA: (clean_data,),
    CauseName.UNNORMALIZED_INPUT: (standardize_input,),
    CauseName.TRAIN_VALIDATION_OVERLAP: (drop_copies,),
    CauseName.TARGET_LEAKAGE: (remove_leak,),
    CauseName.CLASS_IMBALANCE: (weight_classes, collect_rare),
    CauseName.UNSTRATIFIED_SPLIT: (stratify_split,),
    CauseName.LABEL_NOISE: (review_labels, smooth_noisy_labels, stop_before_memorizing),
    CauseName.UNSHUFFLED_DATA: (shuffle_data,),
    CauseName.AUGMENTATION_DRIFT: (weaken_augmentation, same_transform),
    CauseName.BAD_INITIALIZATION: (default_initialization,),
    CauseName.DYING_RELU: (zero_biases,),
}
"""After the levers of `remedies.REMEDIES` for the same cause, where it has any."""
