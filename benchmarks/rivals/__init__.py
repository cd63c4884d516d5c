"""The same search by others, each as well as its own means allow; run as ``python -m rivals.NAME JOB_FILE``."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Someone else's way to do the search."""

    name: str
    """The module in this package, too."""
    description: str
    needs: tuple[str, ...]
    """Packages to import, beside numpy."""
    n_trials: int | None = None
    """How many trials are enough to know its speed, where all of them would take too long."""
    n_epochs: int | None = None


RIVALS = (
    Rival(
        name="expert",
        description="float32 tensors in memory, fused optimizer, two spawned single-thread processes, one SQLite study",
        needs=("torch", "optuna"),
    ),
    Rival(
        name="example",
        description="torchvision dataset, ToTensor and DataLoader in an Optuna objective, n_jobs=1, default threads",
        needs=("torch", "torchvision", "optuna"),
        n_trials=1,
        n_epochs=2,
    ),
    Rival(
        name="ray_tune",
        description="Ray Tune, two CPUs, one a trial, reused actors, the expert's training function",
        needs=("torch", "ray"),
    ),
    Rival(
        name="keras_tuner",
        description="Keras Tuner's RandomSearch over arrays in memory",
        needs=("keras", "keras_tuner"),
        n_trials=4,
    ),
)
