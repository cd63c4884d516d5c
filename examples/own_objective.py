"""A study and a loop of one's own: `tuner.Objective` is an objective like any other, and keeps telemetry."""

import optuna

import studies
import tuner

if __name__ == "__main__":
    objective = tuner.Objective("quick", "digits", epochs=3, fixed={"width": 64})
    study = optuna.create_study(
        storage="sqlite:///own.db",
        study_name="own",
        direction=objective.direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
        load_if_exists=True,
    )
    study.optimize(objective, n_trials=6)
    print(f"Best: {study.best_value:.3f} with {study.best_params}")

    record = studies.open_study("own", "sqlite:///own.db").record()
    print(record.best.telemetry.frame()[["epoch", "train_loss", "validation_loss", "gradient_norm"]])
