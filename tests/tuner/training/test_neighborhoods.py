"""What the nearest neighbors say of labels: who stands alone, whether any neighborhood is pure, whether they guide."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tuner.training import neighborhoods as module
from tuner.training.data import load_dataset
from tuner.training.neighborhoods import Neighborhoods, neighborhoods


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    data = load_dataset("digits")
    return data.x_train[:1000].reshape(1000, -1).float(), data.y_train[:1000]


def flipped(y: Tensor, share: float, *, to_next: bool) -> Tensor:
    random = np.random.default_rng(0)
    chosen, by = random.random(len(y)) < share, random.integers(1, 10, len(y))
    wrong = chosen * (1 if to_next else by)
    return (y + torch.from_numpy(wrong)) % 10


def if_right(seen: Neighborhoods) -> float:
    return seen.neighbor_guidance / (1.0 - seen.clear_disagreement) ** 2


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.02), (0.2, 0.1, 0.2), (0.4, 0.07, 0.4)])
def test_flipped_labels_are_contradicted(
    digits: tuple[Tensor, Tensor], share: float, low: float, high: float
) -> None:
    """Hardly any label of clean digits; of those with a fifth flipped, or two, a tenth and more."""
    x, y = digits
    assert low <= neighborhoods(x, flipped(y, share, to_next=False)).label_disagreement <= high


@pytest.mark.parametrize("to_next", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.35])
def test_wrong_labels_spare_no_neighborhood(
    digits: tuple[Tensor, Tensor], share: float, to_next: bool
) -> None:
    """The clearest neighborhoods hold as many as all; what is right among the labels is as near to its own as ever."""
    x, y = digits
    seen = neighborhoods(x, flipped(y, share, to_next=to_next))
    assert seen.clear_disagreement == pytest.approx(share, abs=0.08)
    assert if_right(seen) > 0.6


def test_mixed_classes_are_no_wrong_labels() -> None:
    """One feature of five tells the class, and that only nearly: neighborhoods are mixed without any flips."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 5, generator=generator)
    y = torch.bucketize(
        x[:, 0] + 0.6 * torch.randn(1000, generator=generator), torch.tensor([-0.7, 0.0, 0.7])
    )
    seen = neighborhoods(x, y)
    assert seen.clear_disagreement > 0.1
    assert if_right(seen) < 0.5


def test_hubs_are_no_guide() -> None:
    """Heaps of all sizes around one center: whoever is small is everybody's neighbor, whatever their class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(1000) % 4
    x = torch.randn(1000, 24, generator=generator) * (0.5 + 0.5 * y)[:, None]
    seen = neighborhoods(x, y)
    assert seen.label_disagreement > 0.05
    assert seen.neighbor_guidance < 0.1


def test_it_is_the_slow_twins() -> None:
    """Neighbor by neighbor."""
    generator = torch.Generator().manual_seed(0)
    n, k = 120, 10
    x = torch.randn(n, 3, generator=generator)
    y = (x[:, 0] > 0).long() ^ (torch.rand(n, generator=generator) < 0.1).long()
    labels = y.tolist()
    near = [
        [labels[j] for _, j in sorted((float((x[i] - x[j]).norm()), j) for j in range(n) if j != i)[:k]]
        for i in range(n)
    ]
    own = [near[i].count(labels[i]) for i in range(n)]
    most = [max(votes.count(0), votes.count(1)) for votes in near]
    alone = [i for i in range(n) if own[i] <= 1 and k - own[i] >= module.N_AGREEING]
    cut = sorted(most, reverse=True)[n // 4 - 1]
    clear = [i for i in range(n) if most[i] >= cut]
    other = [i for i in clear if own[i] < k - own[i]]
    contradicted = set(alone) | set(other)
    guidance = {}
    for label in (0, 1):
        members = [i for i in range(n) if labels[i] == label]
        share = len(members) / n
        guidance[label] = (sum(own[i] for i in members) / len(members) / k - share) / (1 - share)
    seen = neighborhoods(x, y)
    assert alone
    assert other
    assert seen.label_disagreement == pytest.approx(len(alone) / n)
    assert seen.clear_disagreement == pytest.approx(len(other) / len(clear))
    assert seen.neighbor_guidance == pytest.approx(
        sum(guidance[labels[i]] for i in contradicted) / len(contradicted)
    )


def test_classes_that_lie_in_each_other_are_no_wrong_labels() -> None:
    """Where no class has a neighborhood of its own, nobody is contradicted, and nobody guided."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(1000, 5, generator=generator), torch.randint(5, (1000,), generator=generator)
    seen = neighborhoods(x, y)
    assert seen.label_disagreement < 0.01
    assert abs(seen.neighbor_guidance) < 0.1


def test_a_few_samples_have_no_neighborhoods_and_one_class_no_doubts() -> None:
    """Nothing is read of the ones, nothing is wrong with the other."""
    assert math.isnan(neighborhoods(torch.rand(99, 2), torch.arange(99) % 2).label_disagreement)
    seen = neighborhoods(torch.rand(200, 2), torch.zeros(200, dtype=torch.long))
    assert (seen.label_disagreement, seen.clear_disagreement) == (0.0, 0.0)
    assert math.isfinite(seen.neighbor_guidance)
