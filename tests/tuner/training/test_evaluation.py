"""What an evaluation reads, against the same in slow words."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tuner.training.evaluation import (
    CONFIDENT,
    EVALUATION_BATCH,
    MOST_CLASSES,
    N_CALIBRATION_BINS,
    evaluate_lanes,
    evaluate_outputs,
)

N_SAMPLES = EVALUATION_BATCH + 300
N_CLASSES = 5


def outputs_of(
    n_lanes: int, *, n_classes: int = N_CLASSES, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of networks that are right more often than not, and sure of themselves; and the labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(n_classes - 1, (N_SAMPLES,), generator=generator)  # the last class has no sample
    logits = 3 * torch.randn(n_lanes, N_SAMPLES, n_classes, generator=generator)
    logits += 3 * nn.functional.one_hot(y, n_classes)
    return logits, y


def slowly(logits: Any, y: Any) -> dict[str, Any]:
    """One sample at a time, in float64."""
    n_classes = logits.shape[1]
    hits, confidences, losses = [], [], []
    for row, label in zip(np.asarray(logits, dtype=np.float64), np.asarray(y), strict=True):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        answer = int(np.argmax(p))
        hits.append(answer == label)
        confidences.append(p[answer])
        losses.append(-math.log(p[label]))
    hit, sure = np.array(hits), np.array(confidences)
    gaps = []
    for b in range(N_CALIBRATION_BINS):
        inside = (sure > b / N_CALIBRATION_BINS) & (sure <= (b + 1) / N_CALIBRATION_BINS)
        gaps.append(abs(hit[inside].sum() - sure[inside].sum()))
    of_class = [hit[np.asarray(y) == c] for c in range(n_classes)]
    return {
        "loss": np.mean(losses),
        "accuracy": hit.mean(),
        "calibration_error": sum(gaps) / len(hit),
        "confidence": sure.mean(),
        "confident_error_rate": np.mean(~hit & (sure > CONFIDENT)),
        "class_accuracy": [each.mean() if len(each) else math.nan for each in of_class],
    }


def evaluated(logits: torch.Tensor, y: torch.Tensor, **keywords: Any) -> Any:
    """Of the networks that say ``logits`` of samples, which are their own numbers."""
    samples = torch.arange(len(y))
    return evaluate_lanes(
        lambda x: logits[:, x], nn.Identity(), samples, y, kind="classification", **keywords
    )


def test_every_quantity_is_the_slow_twins() -> None:
    """Of several networks at once, over more than one batch; a class without samples is NaN."""
    logits, y = outputs_of(3)
    for found, of_lane in zip(evaluated(logits, y), logits, strict=True):
        expected = slowly(of_lane, y)
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-5, nan_ok=True), name
        assert 0 < found.confident_error_rate < found.confidence
        assert math.isnan(found.class_accuracy[-1])


def test_a_lane_is_the_same_in_any_company() -> None:
    """To the bit, alone and beside others."""
    logits, y = outputs_of(3)
    together = evaluated(logits, y)
    assert [str(lane) for lane in together] == [str(*evaluated(logits[k : k + 1], y)) for k in range(3)]


def test_details_are_left_out_where_nobody_asks() -> None:
    """Loss and accuracy alone, and they are the same."""
    logits, y = outputs_of(2)
    for short, whole in zip(evaluated(logits, y, in_detail=False), evaluated(logits, y), strict=True):
        assert (short.loss, short.accuracy) == (whole.loss, whole.accuracy)
        assert math.isnan(short.confidence)
        assert short.class_accuracy == ()


def test_very_many_classes_are_not_read_one_by_one() -> None:
    """An epoch's row stays short; all else is read."""
    logits, y = outputs_of(1, n_classes=MOST_CLASSES + 1)
    (found,) = evaluated(logits, y)
    assert found.class_accuracy == ()
    assert found.confidence > 0
    assert len(evaluated(*outputs_of(1, n_classes=MOST_CLASSES))[0].class_accuracy) == MOST_CLASSES


def test_answers_that_are_no_numbers_are_wrong_and_not_sure() -> None:
    """NaN outputs are no hits of any class and no confident errors."""
    logits, y = outputs_of(1)
    logits[0, :] = torch.nan
    (found,) = evaluated(logits, y)
    assert found.accuracy == found.confident_error_rate == 0
    assert set(found.class_accuracy[:-1]) == {0}


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_outputs_at_hand_are_evaluated_as_a_pass_would(kind: Any) -> None:
    """Loss and accuracy of outputs that another pass has made."""
    logits, y = outputs_of(2)
    if kind == "regression":
        logits, y = logits[:, :, :1], y[:, None].float()
    samples = torch.arange(len(y))
    expected = evaluate_lanes(lambda x: logits[:, x], nn.Identity(), samples, y, kind=kind, in_detail=False)
    for found, twin in zip(evaluate_outputs(logits, y, kind=kind), expected, strict=True):
        assert found.loss == pytest.approx(twin.loss, rel=1e-6)
        assert found.accuracy == pytest.approx(twin.accuracy, nan_ok=True)
