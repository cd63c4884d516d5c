"""Names of other tools for our config keys, and for the words that are their values: explicit tables, no guess."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces import catalog
from search_spaces.exchange.imported import Remarks
from search_spaces.fields import known_lever
from search_spaces.lever import Lever, Value, choices_of, is_number

SETTING_KEYS = ("epochs", "seed")
"""Config keys that are options of a search and the same for all its trials."""

METRIC_NAMES = {
    "validation_accuracy": (
        "val_accuracy", "val_acc", "valid_accuracy", "valid_acc", "validation_acc", "eval_accuracy", "eval_acc",
        "dev_accuracy", "dev_acc", "accuracy", "acc",
    ),
    "validation_loss": ("val_loss", "valid_loss", "eval_loss", "dev_loss"),
    "train_accuracy": ("train_acc", "training_accuracy", "training_acc"),
    "train_loss": ("training_loss",),
    "calibration_error": ("ece", "val_ece", "expected_calibration_error"),
}  # fmt: skip
"""Our metric -> what others call it, in the form of ``metric_of``."""

_KEY_NAMES = {
    "learning_rate": ("lr", "learningrate", "init_lr", "initial_lr", "base_lr", "initial_learning_rate"),
    "optimizer": ("opt", "optim", "optimizer_name", "optimizer_type"),
    "momentum": ("mom", "sgd_momentum"),
    "beta1": ("beta_1", "adam_beta1"),
    "beta2": ("beta_2", "adam_beta2"),
    "epsilon": ("eps", "adam_eps", "adam_epsilon"),
    "weight_decay": ("wd", "weightdecay"),
    "clip_norm": ("grad_clip", "gradient_clip", "gradient_clip_val", "clip_grad_norm", "max_grad_norm"),
    "batch_size": ("bs", "batch", "batchsize", "train_batch_size", "per_device_train_batch_size"),
    "accumulation_steps": ("gradient_accumulation_steps", "grad_accum", "accumulate_grad_batches"),
    "dropout": ("dropout_rate", "drop_rate", "dropout_prob", "dropout_p", "drop_prob"),
    "label_smoothing": ("label_smoothing_factor", "smoothing"),
    "schedule": ("scheduler", "lr_scheduler", "lr_schedule", "lr_scheduler_type"),
    "warmup_steps": ("num_warmup_steps", "n_warmup_steps", "lr_warmup_steps"),
    "warmup_fraction": ("warmup_ratio", "warmup_proportion"),
    "depth": ("n_layers", "num_layers", "hidden_layers", "num_hidden_layers", "n_hidden_layers"),
    "width": ("hidden_size", "hidden_dim", "hidden_units", "hidden_layer_size", "fc_layer_size", "n_units"),
    "activation": ("act", "activation_fn", "activation_function", "nonlinearity"),
    "normalization": ("norm", "norm_type"),
    "initialization": ("weight_init", "initializer"),
    "patience": ("early_stopping_patience",),
    "epochs": ("n_epochs", "num_epochs", "max_epochs", "num_train_epochs"),
    "seed": ("random_seed", "manual_seed", "random_state"),
}
_WORD_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "optimizer": {"rmsprop": ("rms",)},
    "normalization": {"batch": ("batchnorm", "bn"), "layer": ("layernorm", "ln")},
    "initialization": {"glorot": ("xavier", "xavieruniform"), "he": ("kaiming", "kaiminguniform")},
    "schedule": {
        "cosine": ("cosineannealing", "cosineannealinglr"),
        "one_cycle": ("onecyclelr",),
        "plateau": ("reducelronplateau",),
        "step": ("steplr",),
        "multistep": ("multisteplr",),
        "exponential": ("exponentiallr",),
        "linear": ("linearlr",),
        "restarts": ("cosineannealingwarmrestarts",),
    },
}  # key -> our word -> other words, in the form of `_letters`
_KIND_WORDS = frozenset({"name", "type", "kind"})  # `optimizer.name` says which optimizer


@dataclass(frozen=True, kw_only=True)
class ConfigKey:
    """What a config key takes, as far as an importer must know it."""

    words: tuple[str, ...] = ()
    """The words it may be; empty where it takes others, or numbers."""
    is_whole: bool = False
    """Whether it takes whole numbers only."""


def catalog_keys() -> dict[str, ConfigKey]:
    """The config keys of the catalog's levers."""
    return {lever.key: _key_of(lever) for lever in catalog.LEVERS}


def metric_of(name: str) -> str | None:
    """Our metric for another tool's name (``val/loss``, ``Val Acc``), None where it is none of ours."""
    normal = re.sub(r"[/. -]", "_", name.lower())
    return next((ours for ours, names in METRIC_NAMES.items() if normal in {ours, *names}), None)


def resolve_names(
    names: Sequence[str], keys: Mapping[str, ConfigKey], remarks: Remarks, *, rename: bool
) -> dict[str, str]:
    """Parameter name -> the config key or lever name it gets; its own where it is one, is none, or is not alone."""
    known = {*keys, *SETTING_KEYS}
    exact = {name for name in names if name in known or known_lever(name)}
    taken = {_key_set_by(name) for name in exact}
    wanted = {name: key for name in names if name not in exact and (key := _key_meant(name, known))}
    resolved = {name: name for name in names}
    for name, key in wanted.items() if rename else ():
        rivals = [other for other, same in wanted.items() if same == key and other != name]
        if key in taken or rivals:
            why = f"but {key} is there already" if key in taken else f"but so could {', '.join(rivals)}"
            remarks.warnings.append(
                f"{name} stays as it is: it could be {key}, {why} (rename the one you mean)"
            )
        else:
            resolved[name] = key
            remarks.notes.append(f"{name} is {key} here")
    return resolved


def word_of(key: str, value: Value, keys: Mapping[str, ConfigKey]) -> Value:
    """Our word for another tool's (``Adam`` is adam, ``LeakyReLU`` is leaky_relu), the value itself otherwise."""
    words = keys[key].words if key in keys else ()
    if not isinstance(value, str) or value in words:
        return value
    others = _WORD_NAMES.get(key, {})
    found = [word for word in words if _letters(value) in {_letters(word), *others.get(word, ())}]
    return found[0] if found else value


def lever_family_of(key: str) -> Lever | None:
    """The catalog's lever that sets this config key, whatever its own name and scale."""
    return next((lever for lever in catalog.LEVERS if lever.key == key), None)


def _key_of(lever: Lever) -> ConfigKey:
    choices = choices_of(lever.distribution)
    whole = isinstance(lever.distribution, IntDistribution) or (
        bool(choices) and all(is_number(choice) and isinstance(choice, int) for choice in choices)
    )
    is_range = isinstance(lever.distribution, FloatDistribution | IntDistribution)
    words = () if is_range else tuple(choice for choice in choices if isinstance(choice, str))
    return ConfigKey(words=words, is_whole=whole)


def key_called(name: str) -> str | None:
    """The config key that other tools call by this name: ``lr`` is learning_rate; None where none is."""
    return _keys_by_name().get(name.lower().replace("-", "_"))


def _key_set_by(name: str) -> str:
    lever = known_lever(name)
    return name if lever is None else lever.key


def _key_meant(name: str, known: set[str]) -> str | None:
    """The config key that a name means: by the whole name, else by the last part of a nested one."""
    parts = name.split(".")
    if len(parts) > 1 and parts[-1].lower() in _KIND_WORDS:
        parts = parts[:-1]
    for candidate in (name, parts[-1]):
        normal = candidate.lower().replace("-", "_")
        key = normal if normal in known else _keys_by_name().get(normal)
        if key in known:
            return key
    return None


@cache
def _keys_by_name() -> dict[str, str]:
    return {name: key for key, names in _KEY_NAMES.items() for name in names}


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())
