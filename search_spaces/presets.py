"""Ready-made spaces by name: two to begin with, those that teach one thing each, and one with everything.

A preset that teaches has one question (its scientific levers) and, as nuisance, the levers that must be tuned along for
the answer to be fair; its grid has 60 points or fewer at the usual resolution of 5.
"""

from collections.abc import Iterable, Mapping

from search_spaces.catalog import conditions_for, lever
from search_spaces.errors import unknown_name
from search_spaces.lever import Lever, Value
from search_spaces.space import Role, Space


def _space(
    name: str,
    description: str,
    *levers: Lever,
    nuisance: Iterable[str] = (),
    fixed: Mapping[str, Value] | None = None,
) -> Space:
    """The space of these levers under the catalog's conditions; what is not ``nuisance`` is scientific."""
    fixed = fixed or {}
    return Space(
        name=name,
        description=description,
        levers=levers,
        roles=dict.fromkeys(nuisance, Role.NUISANCE),
        conditions=conditions_for(levers, fixed),
        fixed=fixed,
    )


_RATE = "learning_rate"
# Of rates and widths that are there to be fair to another lever, a few far apart are enough.
_SGD_RATES = (0.03, 0.1, 0.3)
_MOMENTUM_SGD: dict[str, Value] = {"optimizer": "sgd", "momentum": 0.9}
# Large enough to learn its training examples by heart, which is what regularization is about.
_OVERFITTING: dict[str, Value] = {"optimizer": "adamw", "depth": 2, "width": 512}
_ADAM_RATE = lever(_RATE).within(high=1e-2)

_BEGINNERS = (
    _space(
        "quick",
        "The four levers that matter first for SGD on a network you keep: for a first study.",
        # SGD below 1e-3 does not arrive within the few epochs of a first study.
        lever(_RATE).within(low=1e-3),
        lever("momentum"),
        lever("weight_decay"),
        lever("dropout").anchored(),
        fixed={"optimizer": "sgd"},
    ),
    _space(
        "mlp",
        "Optimizer, schedule, regularization, batch size and shape of a multilayer net.",
        lever(_RATE),
        lever("optimizer"),
        lever("momentum"),
        lever("batch_size"),
        lever("weight_decay"),
        lever("dropout").anchored(),
        # Without those whose drops and restarts want levers of their own.
        lever("schedule").among(
            ("constant", "step", "cosine", "one_cycle", "plateau", "linear", "exponential")
        ),
        lever("depth").within(high=3),
        lever("width"),
        lever("activation"),
    ),
    _space(
        "cnn",
        "A small convolutional network on images, with augmentation.",
        lever(_RATE),
        lever("optimizer").among(("sgd", "adamw")),
        lever("momentum"),
        lever("batch_size"),
        lever("weight_decay"),
        lever("dropout").anchored(),
        lever("augmentation").anchored(),
        lever("schedule").among(("constant", "cosine", "one_cycle", "linear")),
        lever("warmup_fraction"),
        lever("width"),
        lever("normalization"),
        fixed={"model": "cnn"},
    ),
)
_TEACHERS = (
    _space(
        "lr-range",
        "What the learning rate alone does, from too low to too high, with plain SGD.",
        lever(_RATE),
        fixed={"optimizer": "sgd", "momentum": 0.0},
    ),
    _space(
        "batch-lr",
        "Batch size, up to all examples, against learning rate: how the best rate moves with it (try batch_lr_rule).",
        lever("batch_size").among((32, 64, 128, 256, 512, "full")),
        lever(_RATE).within(low=1e-2),
        nuisance=[_RATE],
        fixed={"optimizer": "sgd", "momentum": 0.0, "batch_lr_rule": "none"},
    ),
    _space(
        "weight-decay",
        "How much AdamW should decay the weights of a network that overfits, at its own best rate.",
        lever("weight_decay"),
        _ADAM_RATE,
        nuisance=[_RATE],
        fixed=_OVERFITTING,
    ),
    _space(
        "dropout",
        "How much dropout a network that overfits wants, at its own best rate.",
        lever("dropout"),
        _ADAM_RATE,
        nuisance=[_RATE],
        fixed=_OVERFITTING,
    ),
    _space(
        "regularization-grid",
        "Weight decay against dropout, where one usually begins: two that can replace each other.",
        lever("weight_decay").anchored(),
        lever("dropout").anchored(),
        fixed={**_OVERFITTING, _RATE: 1e-3},
    ),
    _space(
        "schedulers",
        "Every schedule with and without warmup (cosine with warmup among them), at its own best rate.",
        lever("schedule"),
        lever("warmup_fraction").among((0.0, 0.1)),
        lever(_RATE).among(_SGD_RATES),
        nuisance=[_RATE],
        fixed=_MOMENTUM_SGD,
    ),
    _space(
        "depth",
        "What more hidden layers bring, and what they cost, at the best rate of each depth.",
        lever("depth"),
        lever(_RATE).within(low=1e-2),
        nuisance=[_RATE],
        fixed=_MOMENTUM_SGD,
    ),
    _space(
        "width-depth",
        "Capacity as width or as depth, at the best rate of each shape.",
        lever("width"),
        lever("depth").within(high=3),
        lever(_RATE).among(_SGD_RATES),
        nuisance=[_RATE],
        fixed=_MOMENTUM_SGD,
    ),
    _space(
        "activation-depth",
        "Which activations still pass gradients on in a deep network, and which fall silent.",
        lever("activation"),
        lever("depth").among((1, 3, 5)),
        lever(_RATE).among((0.03, 0.3)),
        nuisance=[_RATE],
        fixed={"optimizer": "sgd", "momentum": 0.0},
    ),
    _space(
        "optimizer",
        "SGD with momentum, plain or Nesterov's, against Adam, AdamW and RMSprop, each at its own best rate.",
        lever("optimizer"),
        lever("nesterov"),
        lever(_RATE).among((3e-4, 1e-3, 1e-2, 1e-1)),
        lever("momentum").within(low=0.05, high=0.2),
        nuisance=[_RATE, "one_minus_momentum"],
    ),
)
_EVERYTHING = _space(
    "full",
    # `augmentation` and `model` would refuse rows; warmup_steps is warmup_fraction again; accumulation_steps is a
    # larger batch again; batch_lr_rule only renames the rates of a search that has both.
    "All levers that any task can use, for a study of hundreds of trials: each where it means something.",
    lever(_RATE),
    lever("optimizer"),
    lever("momentum"),
    lever("nesterov"),
    lever("one_minus_beta1"),
    lever("one_minus_beta2"),
    lever("one_minus_alpha"),
    lever("epsilon"),
    lever("clipping"),
    lever("clip_norm"),
    lever("batch_size"),
    lever("weight_decay"),
    lever("weight_decay_kind"),
    lever("dropout"),
    lever("label_smoothing"),
    lever("class_weights"),
    lever("schedule"),
    lever("warmup_fraction"),
    lever("final_lr_fraction"),
    lever("step_size"),
    lever("step_gamma"),
    lever("plateau_patience"),
    lever("restart_period"),
    lever("depth"),
    lever("width"),
    lever("activation"),
    lever("normalization"),
    lever("initialization"),
)

PRESETS = {space.name: space for space in (*_BEGINNERS, *_TEACHERS, _EVERYTHING)}


def preset(name: str) -> Space:
    """The ready-made space of that name.

    Raises:
        ConfigurationError: if there is none.
    """
    if name not in PRESETS:
        raise unknown_name("A preset space", name, PRESETS)
    return PRESETS[name]
