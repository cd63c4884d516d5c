"""What each lever of batching promises is what a step is made of."""

import pytest
import torch

from tests.tuner.training.levers.measured import near, numbers, position, steps, trained


def test_batch_size() -> None:
    """Steps of an epoch are samples by batch size, and while weights stand still, larger batches' losses vary less."""
    still = {"learning_rate": 1e-12, "epochs": 20}
    small, large = (trained(batch_size=size, **still).telemetry() for size in (6, 48))
    assert (len(small.step_series("train_loss")), len(large.step_series("train_loss"))) == (320, 40)
    ratio = small.step_series("train_loss").std() / large.step_series("train_loss").std()
    assert 2 < ratio < 7  # sqrt(48 / 6) is 2.8; batches without replacement vary still less


def test_accumulation_steps() -> None:
    """Four minibatches of 12 make one step, which is that of a batch of 48."""
    added = trained(epochs=1, batch_size=12, accumulation_steps=4)
    assert len(added.last_steps) == 2
    assert numbers(position(added)) == near(position(trained(epochs=1, batch_size=48)))
    assert not torch.equal(position(added), position(trained(epochs=1, batch_size=12)))


def test_batch_lr_rule() -> None:
    """Four times the base batch: four times the rate by the linear rule, twice by the square root."""
    for rule, factor in {"none": 1.0, "linear": 4.0, "sqrt": 2.0}.items():
        run = trained(epochs=1, batch_size=96, base_batch_size=24, batch_lr_rule=rule)
        assert run.peak_learning_rate == pytest.approx(0.1 * factor)
        assert run.last_steps.learning_rate.tolist() == pytest.approx([0.1 * factor])
        assert numbers(steps(base_batch_size=24, batch_lr_rule=rule)[0]) == near(
            factor * steps(base_batch_size=24)[0]
        )
