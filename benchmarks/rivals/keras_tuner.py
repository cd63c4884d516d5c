"""Keras Tuner's RandomSearch over arrays in memory; KERAS_BACKEND says on what it computes."""

import keras
import keras_tuner
from workload import DROPOUTS, MOMENTUM, WEIGHT_DECAYS, Workload

from rivals.job import Answer, Job

STEPS_PER_EXECUTION = 25
"""Of 375 an epoch at batch 128: fewer returns to Python. With one at a time jax took a fifth longer."""


def build(levers: keras_tuner.HyperParameters, *, workload: Workload, n_outputs: int) -> keras.Model:
    low, high = workload.learning_rates
    rate = levers.Float("learning_rate", low, high, sampling="log")
    decay = levers.Float("weight_decay", *WEIGHT_DECAYS, sampling="log")
    dropout = levers.Float("dropout", *DROPOUTS)
    layers: list[keras.layers.Layer] = []
    for _ in range(workload.depth):
        layers += [keras.layers.Dense(workload.width, activation="relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(n_outputs)])
    if workload.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=MOMENTUM, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=optimizer, loss=loss, metrics=["accuracy"], steps_per_execution=STEPS_PER_EXECUTION
    )
    return model


def main() -> None:
    job, answer = Job.from_arguments(), Answer()
    keras.utils.set_random_seed(job.seed)
    x, validation_x = (job.images_of(part).astype("float32") / 255 for part in ("train", "validation"))
    y, validation_y = (job.labels_of(part) for part in ("train", "validation"))
    tuner = keras_tuner.RandomSearch(
        lambda levers: build(levers, workload=job.workload, n_outputs=int(y.max()) + 1),
        objective="val_accuracy",
        max_trials=job.workload.n_trials,
        seed=job.seed,
        directory=job.scratch,
        project_name="keras_tuner",
    )
    with answer.searching():
        tuner.search(
            x,
            y,
            validation_data=(validation_x, validation_y),
            epochs=job.workload.n_epochs,
            batch_size=job.workload.batch_size,
            verbose=0,
        )
    trials = tuner.oracle.trials.values()
    answer.best = max(trial.score for trial in trials if trial.score is not None)
    answer.n_trials = len(trials)
    answer.about = {
        "keras": keras.__version__,
        "keras_tuner": keras_tuner.__version__,
        "backend": keras.config.backend(),
    }
    answer.print()


if __name__ == "__main__":
    main()
