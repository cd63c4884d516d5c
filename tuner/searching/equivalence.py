"""Configs that train the same thing although they are not the same: they differ in keys that play no part there."""

from collections.abc import Callable, Mapping
from typing import Any

from tuner.training.config import BUILT_IN_MODELS, TrainingConfig
from tuner.training.optimizers import TORCH_EPSILON

_FALLING = {"exponential", "cosine", "one_cycle", "linear", "plateau", "restarts"}

PLAYS_A_PART: Mapping[str, Callable[[TrainingConfig], bool]] = {
    "momentum": lambda config: config.optimizer in {"sgd", "rmsprop"},
    "nesterov": lambda config: config.optimizer == "sgd" and config.momentum > 0,
    "beta1": lambda config: config.optimizer in {"adam", "adamw"},
    "beta2": lambda config: config.optimizer in {"adam", "adamw"},
    "alpha": lambda config: config.optimizer == "rmsprop",
    "epsilon": lambda config: config.optimizer != "sgd" and config.epsilon != TORCH_EPSILON,
    "weight_decay_kind": lambda config: config.weight_decay > 0 and not _is_own_decay(config),
    "clipping": lambda config: config.clip_norm > 0,
    "clip_norm": lambda config: config.clipping,
    "base_batch_size": lambda config: config.batch_lr_rule != "none",
    "final_lr_fraction": lambda config: config.schedule in _FALLING,
    "step_size": lambda config: config.schedule == "step",
    "step_gamma": lambda config: config.schedule in {"step", "multistep", "plateau"},
    "milestones": lambda config: config.schedule == "multistep",
    "plateau_patience": lambda config: config.schedule == "plateau",
    "restart_period": lambda config: config.schedule == "restarts",
}
"""Config key -> the only configs in which it changes the training. The catalog's conditions are narrower: they say
where a lever is worth a search."""


def canonical(config: TrainingConfig) -> dict[str, Any]:
    """The config as a mapping in which keys that play no part have their defaults.

    A user's own model may read any key of the config, so there every key plays a part.
    """
    mapping = config.to_mapping()
    if config.model not in BUILT_IN_MODELS:
        return mapping
    defaults = TrainingConfig().to_mapping()
    idle = [key for key, plays_a_part in PLAYS_A_PART.items() if not plays_a_part(config)]
    mapping |= {key: defaults[key] for key in idle}
    if not (config.clipping and config.clip_norm):  # either turns it off
        mapping |= {"clipping": True, "clip_norm": 0.0}
    if (mapping["optimizer"], mapping["weight_decay_kind"]) == ("adam", "decoupled"):
        mapping |= {"optimizer": "adamw", "weight_decay_kind": "auto"}
    return mapping


def _is_own_decay(config: TrainingConfig) -> bool:
    """Whether ``weight_decay_kind`` says what the optimizer does anyway."""
    return config.weight_decay_kind == ("decoupled" if config.optimizer == "adamw" else "l2")
