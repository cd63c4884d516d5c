import os
from pathlib import Path

import pytest

from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun

HAS_MNIST = bool(os.environ.get("TUNER_DATA")) and any(
    Path(os.environ["TUNER_DATA"]).glob("**/train-images-idx3-ubyte*")
)
pytestmark = pytest.mark.skipif(not HAS_MNIST, reason="needs the MNIST files in TUNER_DATA")


def test_the_default_split_is_48000_and_12000() -> None:
    """MNIST is split 48,000 and 12,000, each digit by its share, with the 10,000 test images apart."""
    assert split_dataset(load_dataset("mnist", download=False)).describe() == {
        "kind": "stratified",
        "fraction": 0.2,
        "seed": 0,
        "n_train": 48_000,
        "n_validation": 12_000,
        "n_test": 10_000,
    }


def test_one_epoch_is_where_it_should_be() -> None:
    """One epoch at batch 32 and rate 0.1 gives train loss 0.33 and validation accuracy above 0.93."""
    dataset = load_dataset("mnist", download=False)
    run = TrainingRun(TrainingConfig(epochs=1, batch_size=32, split="last"), dataset)
    untrained, trained = run.epochs()
    assert untrained.validation_loss == pytest.approx(2.3, abs=0.3)
    assert 0.30 < trained.train_loss < 0.36
    assert trained.validation_accuracy > 0.93


def test_ten_epochs_end_where_the_article_does() -> None:
    """128 ReLU units, glorot, SGD at 0.1, batch 32, the last fifth for validation: train loss 0.025 to 0.045."""
    dataset = load_dataset("mnist", download=False)
    config = TrainingConfig(epochs=10, batch_size=32, learning_rate=0.1, width=128, depth=1, split="last")
    *_, last = TrainingRun(config, dataset).epochs()
    assert 0.025 < last.train_loss < 0.045
