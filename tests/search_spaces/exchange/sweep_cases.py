"""The sweep files of this folder, and what becomes of each: levers and sentences, or the refusal."""

from pathlib import Path

from tests.search_spaces.exchange.sweep_outcomes import Reads, Refused, c, f, i

SWEEPS = Path(__file__).parent / "sweeps"

DROPOUT = {"dropout": f(0, 0.5)}


RANDOM_5 = "--sampler random --pruner none --trials 5"


TPE = "method bayes is the sampler tpe here"


NO_SCRIPT = "it runs no script"


CASES: dict[str, Reads | Refused] = {
    "all_plain_forms.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1, log=True),
            "dropout": f(0, 0.5),
            "label_smoothing": f(0, 0.1),
            "depth": i(1, 4),
            "plateau_patience": i(2, 6),
            "optimizer": c("sgd", "adam"),
            "activation": c("relu", "gelu"),
        },
        fixed={"batch_size": 64, "schedule": "cosine"},
        options="--sampler random --pruner none --metric validation_loss --direction minimize --trials 30",
    ),
    "anchors_and_merges.yaml": Reads(
        levers={
            "weight_decay": f(1e-5, 0.01, log=True),
            "learning_rate": f(1e-5, 0.1, log=True),
            "width": c(64, 128),
            "batch_size": c(64, 128),
        },
        options=RANDOM_5,
    ),
    "bayes_tutorial.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1),
            "optimizer": c("adam", "sgd"),
            "width": c(128, 256, 512),
            "dropout": c(0.3, 0.4, 0.5),
        },
        options="--sampler tpe --pruner none --metric validation_loss --direction minimize --epochs 15",
        notes=(
            TPE,
            "lr is learning_rate",
            "fc_layer_size is width",
            "Adam is adam",
            "SGD is sgd",
            "val_loss is validation_loss",
        ),
        warnings=("epochs was searched up to 15", "without run_cap W&B never ends a sweep"),
        not_carried=(NO_SCRIPT, "entity: a study here", "project: a study here"),
    ),
    "beta.yaml": Refused(("dropout: Optuna has no beta: its shape",)),
    "categorical_weights.yaml": Reads(
        levers={"activation": c("relu", "tanh", "gelu"), "optimizer": c("sgd", "adam")},
        options=RANDOM_5,
        warnings=(
            "activation: the probabilities [0.5, 0.25, 0.25] are lost",
            "optimizer: the probabilities [0.9",
        ),
    ),
    "categorical_weights_wrong.yaml": Refused(
        (
            "activation: probabilities must be as many as the values (2) and add up to 1, but 2 add up to 0.7",
            "optimizer: probabilities must be as many as the values (2) and add up to 1, but 1 add up to 1",
            "schedule: probabilities must be numbers of at least 0, but got ['half'",
        )
    ),
    "choices_that_are_no_values.yaml": Refused(
        (
            "schedule: values must be words, finite numbers, true or false, but null is not (give it a name",
            "layers: values must be words, finite numbers, true or false, but [64, 64], [128] is not",
            "widths: values must be a list of at least one value, but got []",
        )
    ),
    "constants_of_all_kinds.yaml": Reads(
        levers=DROPOUT,
        fixed={"nesterov": True, "optimizer": "adamw", "momentum": 0.9},
        options=f"{RANDOM_5} --epochs 12 --seed 7",
        notes=("max_epochs is epochs", "AdamW is adamw"),
        not_carried=("betas: a fixed value must be", "checkpoint: a fixed value must be"),
    ),
    "custom_method.yaml": Refused(("method must be grid, random or bayes, but custom",)),
    "date_and_octal.yaml": Reads(
        levers={"width": c(8, 64), "restart_period": c(90, 5), "nesterov": c(True, False)},
        fixed={"data_version": "2024-01-01"},
        options=RANDOM_5,
        warnings=(
            "width.values: W&B's YAML takes 10 for 8",
            "takes 1:30 for 90",
            "takes on for true",
            "takes off for false",
        ),
    ),
    "dotted_and_nested.yaml": Refused(("model.width must be there once, but is nested and dotted",)),
    "duplicate_choices.yaml": Reads(
        levers={"batch_size": c(64, 128), "optimizer": c("adam")},
        options=RANDOM_5,
        notes=("Adam is adam here, which is a choice already",),
        warnings=("batch_size: 64 is there twice",),
    ),
    "duplicate_key.yaml": Refused(("the key 'lr' is there twice",)),
    "empty_parameters.yaml": Refused(("parameters must be a mapping of at least one parameter, but got {}",)),
    "exponents.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1, log=True),
            "width": i(32, 256, log=True),
            "weight_decay": f(1e-5, 0.01, log=True),
        },
        options="--sampler random --pruner none --trials 20",
        warnings=(
            "learning_rate: W&B takes min -9.21034 and max -2.30259 of log_uniform for exponents of e, 0.0001..0.1",
            "width: W&B takes min 3.4657 and max 5.5452 of q_log_uniform for exponents of e, 31.9989..256.006",
            "weight_decay: W&B takes min 4.60517 and max 11.5129 of inv_log_uniform for exponents of e, 1e-05..0.01",
        ),
    ),
    "exponents_overflow.yaml": Refused(("learning_rate: W&B takes min -800 and max -2 of log_uniform for",)),
    "exponents_that_are_values.yaml": Refused(
        (
            "log_uniform for exponents of e, 1.00001..1.10517, but they look like the values themselves: say what you",
            "batch_size: W&B takes min 16 and max 256 of q_log_uniform for exponents",
            "weight_decay: W&B takes min 0.01 and max 10 of inv_log_uniform for exponents",
        )
    ),
    "exponents_within_reach.yaml": Reads(
        levers={"gain": f(2.71828182846, 20.0855369232, log=True)},
        options=RANDOM_5,
        warnings=(
            "gain: W&B takes min 1 and max 3 of log_uniform for exponents of e, 2.71828..20.0855; so does",
        ),
    ),
    "float_as_quoted_text.yaml": Reads(
        levers={"learning_rate": f(1e-4, 0.1, log=True), "kernel": c("3", "5")},
        options=RANDOM_5,
        warnings=("learning_rate: W&B refuses min '1e-4', which is text; it is read as the number 0.0001",),
    ),
    "floats_as_text.yaml": Reads(
        levers={"learning_rate": f(1e-5, 0.1, log=True), "weight_decay": c(0, 1e-4, 1e-3)},
        fixed={"epsilon": 1e-8},
        options=RANDOM_5,
        warnings=(
            "learning_rate.min: W&B's YAML takes 1e-5 for text",
            "learning_rate.max: W&B's YAML takes 1e-1 for text",
            "weight_decay.values: W&B's YAML takes 1e-4 for text",
            "epsilon.value: W&B's YAML takes 1e-8 for text",
        ),
    ),
    "flow_style.yaml": Reads(levers=DROPOUT, options=RANDOM_5),
    "goal_missing.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --metric validation_accuracy --direction maximize --trials 5",
        notes=("val/accuracy is validation_accuracy",),
        warnings=("val/accuracy has no goal, so that W&B minimizes it; it is maximized here",),
    ),
    "goal_misspelled.yaml": Refused(
        ("metric.goal must be one of minimize, maximize, but got 'maximise'. Did you",)
    ),
    "goal_odd.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --metric validation_accuracy --direction minimize --trials 5",
        notes=("accuracy is validation_accuracy",),
        warnings=("accuracy is to minimize, as the sweep says; one would maximize it",),
    ),
    "grid.yaml": Reads(
        levers={"learning_rate": c(0.01, 0.1, 1.0), "depth": c(1, 2, 3)},
        fixed={"optimizer": "sgd"},
        options="--sampler grid --pruner none --metric validation_accuracy --direction maximize --trials 9",
        notes=("val_acc is validation_accuracy",),
    ),
    "grid_capped.yaml": Reads(
        levers={"width": c(32, 64, 128), "activation": c("relu", "tanh")},
        options="--sampler grid --pruner none --trials 4",
    ),
    "grid_over_quantized.yaml": Reads(
        levers={"width": c(16, 32, 48), "dropout": c(0.05, 0.15)},
        options="--sampler grid --pruner none --trials 6",
        warnings=(
            "width: W&B's grid goes from min in steps of q and leaves max out: 16 to 48",
            "0.05 to 0.15",
        ),
    ),
    "grid_over_uniform.yaml": Reads(
        levers=DROPOUT,
        options="--sampler grid --pruner none",
        warnings=("dropout: W&B refuses a grid over uniform",),
    ),
    "grid_too_long.yaml": Reads(
        levers={"width": i(1, 5000)},
        options="--sampler grid --pruner none",
        warnings=("width: W&B's grid has all 5000 whole numbers",),
    ),
    "hyperband.yaml": Reads(
        levers={"learning_rate": f(1e-3, 1, log=True)},
        options="--sampler tpe --pruner hyperband --metric validation_accuracy --direction maximize --trials 50",
        notes=(TPE, "val_accuracy is validation_accuracy"),
        not_carried=(
            "target 0.99: a search here ends at",
            "impute: trials that fail",
            "min_iter 3, eta 2, strict true:",
        ),
    ),
    "hyperband_max_iter.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner hyperband --metric validation_accuracy --direction maximize --trials 50",
        notes=("val_accuracy is validation_accuracy",),
        not_carried=("early_terminate's max_iter 27, s 2: the pruner hyperband here has rungs of its own",),
    ),
    "hyperband_wrong.yaml": Refused(
        (
            "a key of early_terminate must be one of type, min_iter, max_iter, s, eta, strict, but got 'etaa'. Did",
            "early_terminate.eta must be a number above 1, but got 'three'",
            "early_terminate must have min_iter, or max_iter and s, but has neither",
        )
    ),
    "inverse_values.yaml": Reads(
        levers={"learning_rate": f(1e-3, 0.1, log=True)},
        options=RANDOM_5,
        warnings=("learning_rate: in spite of its name W&B draws log-uniformly from min to max",),
    ),
    "launch_job.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --trials 3",
        notes=("name 'My first sweep!' is My-first-sweep",),
        not_carried=("command: ", "job: ", "image_uri: ", "controller: ", "apiVersion: ", "kind: "),
    ),
    "log_normal.yaml": Refused(
        ("learning_rate: Optuna has no log_normal: it has no bounds", "no q_log_normal:")
    ),
    "many_faults.yaml": Refused(
        (
            "but got 'metod'. Did you mean 'method'?",
            "but got 'parametrs'. Did you mean 'parameters'?",
            "method must be one of grid, random, bayes, custom, but got 'baies'",
            "lr: min must be below max, but got min 0.1 and max 0.01",
            "bs must be a mapping, but got 64 (write `value: 64`)",
            "sizes must be a mapping, but got [1, 2] (write `values: [1, 2]`)",
            "a parameter's name must be letters, digits, `_`, `.` or `-`, but got 'bad name'",
            "but got 'log_uniform_value'. Did you mean 'log_uniform_values'?",
            "dropout: a key of uniform must be one of distribution, min, max, but got 'minn'. Did you mean 'min'?",
            "dropout: uniform must have min, but has none",
            "depth: int_uniform must have whole bounds, but got 1 and 2.5",
            "gain: a key of uniform must be one of distribution, min, max, but got 'q'",
            "group: a nested group must have parameters and nothing else",
            "noise must have a value, values, min and max, or a distribution with its keys, but has mu, sigma",
            "rate: min of log_uniform_values must be above 0, but got 0",
            "step: q must be above 0, but got 0",
            "high: max must be a number in -1e+15..1e+15, but got inf",
            "metric must be a mapping with a name, but got {'nam': 'loss'}",
            "run_cap must be a whole number above 0, but got 'none'",
        )
    ),
    "metric_of_another.yaml": Reads(
        levers=DROPOUT, options=RANDOM_5, not_carried=("metric eval/f1: it is none of ours",)
    ),
    "missing_method.yaml": Refused(("method must be one of grid, random, bayes, custom, but it has none",)),
    "multi_objective.yaml": Refused(("method must be grid, random or bayes, but custom",)),
    "nested.yaml": Reads(
        levers={
            "optimizer": c("adamw", "rmsprop"),
            "learning_rate": f(1e-4, 0.01, log=True),
            "encoder.dropout": f(0, 0.5),
            "encoder.heads": c(2, 4),
            "decoder.dropout": f(0, 0.3),
        },
        options=RANDOM_5,
        notes=(
            "optimizer.name is optimizer",
            "optimizer.lr is learning_rate",
            "AdamW is adamw",
            "RMSProp is rmsprop",
        ),
        warnings=(
            "encoder.dropout stays as it is: it could be dropout, but so could decoder.dropout",
            "decoder.dropout stays as it is: it could be dropout, but so could encoder.dropout",
        ),
    ),
    "normal.yaml": Refused(
        (
            "gain: Optuna has no normal: it has no bounds, and mu plus or minus 3 sigma is 0.7..1.3; `--truncate`",
            "noise: Optuna has no normal: it has no bounds, and mu plus or minus 3 sigma is -3..3",
            "units: Optuna has no q_normal: it has no bounds, and mu plus or minus 3 sigma is 16..112",
            "share: Optuna has no q_beta: its shape a, b has no counterpart, and all of it lies in 0..1",
        )
    ),
    "own_names.yaml": Reads(
        levers={
            "learning_rate": f(1e-3, 0.1),
            "lr": f(0.01, 0.1),
            "weight_decay": f(0, 0.1),
            "warmup": f(0, 0.1),
        },
        options=RANDOM_5,
        notes=("Weight-Decay is weight_decay",),
        warnings=("lr stays as it is: it could be learning_rate, but learning_rate is there already",),
    ),
    "q_float.yaml": Reads(
        levers={"dropout": f(0, 0.5, step=0.05), "label_smoothing": f(0.05, 0.1, step=0.05)},
        options=RANDOM_5,
        warnings=(
            "label_smoothing: W&B draws multiples of q, not min plus multiples: the range is 0.05..0.10",
        ),
    ),
    "q_int.yaml": Reads(
        levers={"width": i(32, 256, step=32), "depth": i(1, 4), "base_batch_size": i(32, 96, step=32)},
        options=RANDOM_5,
        warnings=(
            "depth: W&B's default q is the float 1.0, so that it draws 32.0",
            "base_batch_size: W&B draws multiples of q, not min plus multiples: the range is 32..96 (W&B also draws 0",
        ),
    ),
    "q_log_values.yaml": Reads(
        levers={
            "batch_size": i(32, 256, log=True),
            "width": i(16, 512, log=True),
            "gain": f(1, 10, log=True),
            "depth": i(4, 16, log=True),
        },
        options=RANDOM_5,
        warnings=(
            "batch_size: Optuna has no steps on a log scale, so q 8 is lost: all whole numbers in 32..256",
            "width: W&B's default q is the float 1.0",
            "gain: Optuna has no steps on a log scale, so q 0.5 is lost: all numbers in 1..10",
            "depth: W&B also draws 0, which has no place on a log scale: the range begins at 4",
            "depth: Optuna has no steps on a log scale, so q 4 is lost: all whole numbers in 4..16",
        ),
    ),
    "q_without_multiple.yaml": Refused(
        ("width: a multiple of q must lie between the bounds, but 33..60 has none",)
    ),
    "random_forever.yaml": Reads(
        levers=DROPOUT, options="--sampler random --pruner none", warnings=("without run_cap W&B never ends",)
    ),
    "refused_together.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner hyperband --metric validation_loss --direction minimize --trials 5",
        notes=("val_loss is validation_loss",),
        warnings=(
            "metric and metrics: W&B refuses",
            "scheduler and early_terminate: W&B",
            "scheduler and controller local: W&B",
            "metrics and method random: W&B",
        ),
        not_carried=("controller: ", "scheduler: ", "metrics: ", "early_terminate's min_iter 2:"),
    ),
    "seeds_and_epochs.yaml": Reads(
        levers=DROPOUT,
        options=f"{RANDOM_5} --epochs 40",
        notes=("random_seed is seed",),
        warnings=("epochs was searched up to 40",),
        not_carried=("random_seed: a seed has no best value",),
    ),
    "sweep.json": Reads(
        levers={"learning_rate": f(1e-5, 0.1, log=True), "depth": i(1, 6)},
        options="--sampler tpe --pruner none --trials 12",
        notes=(TPE, "num_layers is depth"),
        not_carried=("metric loss: it is none of ours",),
    ),
    "sweep_repeats.json": Refused(("A JSON file must have each key once, but 'method' is there twice",)),
    "whole_keys_with_fractions.yaml": Reads(
        levers={"batch_size": i(16, 256, log=True), "width": i(33, 128)},
        options=RANDOM_5,
        warnings=("batch_size takes whole numbers, but", "the range is 33..128, whole"),
    ),
    "whole_keys_without_room.yaml": Refused(("depth must be whole numbers, but got 0.2..0.8",)),
    "zero_to_one.yaml": Reads(
        levers={"dropout": i(0, 1)},
        options=RANDOM_5,
        warnings=("dropout: min and max are whole numbers, so W&B only ever draws 0 or 1",),
    ),
}
