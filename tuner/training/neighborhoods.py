"""Whether samples are labeled as those that look most like them are, and whether looks are a guide to labels at all."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from studies.readings import NAN

N_NEIGHBORS = 10
N_AGREEING = 7
"""Of a sample's neighbors: of one class, so that the neighborhood is clear. With 8, no more labels are contradicted of
MNIST with 40 % of them wrong than of MNIST as it is, 2 %; with 7 it is 7 %, of 10 % wrong 8 %, of none 2 %."""
N_SUPPORTING = 1
"""Of a sample's neighbors: at most so many have its label, so that it stands alone."""
FEWEST_SAMPLES = 100
"""With fewer, ten neighbors are no neighborhood."""
CLEAREST = 4
"""One n-th of the samples has the clearest neighborhoods: fewer would be too few to count, more less clear."""


@dataclass(frozen=True, kw_only=True)
class Neighborhoods:
    """What the nearest neighbors say of the labels; the names are those of `DataProbe`."""

    label_disagreement: float = NAN
    clear_disagreement: float = NAN
    neighbor_guidance: float = NAN


def neighborhoods(rows: Tensor, y: Tensor) -> Neighborhoods:
    """Ask the nearest neighbors of every sample for its class.

    Distances are Euclidean, between the inputs over their common deviation; nothing for fewer than 100 samples.

    Args:
        rows: [n, n_features], finite, on the CPU.
        y: [n], class numbers.
    """
    if len(rows) < FEWEST_SAMPLES:
        return Neighborhoods()
    classes, labels = torch.unique(y.cpu(), return_inverse=True)
    neighbors = _nearest(rows)
    votes = torch.zeros(len(rows), len(classes), dtype=torch.int64)
    votes.scatter_add_(1, labels[neighbors], torch.ones_like(neighbors))
    supporting = votes.gather(1, labels[:, None])[:, 0]
    agreeing, said = votes.max(1)
    # With so little support, the class that most have is another one.
    alone = (supporting <= N_SUPPORTING) & (agreeing >= N_AGREEING)
    clear = agreeing >= agreeing.sort(descending=True).values[len(rows) // CLEAREST - 1]
    other = clear & (said != labels)
    guidance, contradicted = _guidance(supporting, labels), alone | other
    return Neighborhoods(
        label_disagreement=float(alone.double().mean()),
        clear_disagreement=float(other.sum() / clear.sum()),
        neighbor_guidance=float(guidance[labels[contradicted] if contradicted.any() else labels].mean()),
    )


def _nearest(rows: Tensor) -> Tensor:
    """[n, 10]: the numbers of each sample's nearest others, in any order."""
    rows = (rows - rows.mean(0)) / rows.std().clamp(min=torch.finfo(rows.dtype).tiny)
    squares = rows.square().sum(1)
    # Of a sample to all others, but for its own square, which is the same for all.
    distances = torch.addmm(squares, rows, rows.T, alpha=-2).fill_diagonal_(math.inf)
    return distances.topk(N_NEIGHBORS, largest=False, sorted=False).indices


def _guidance(supporting: Tensor, labels: Tensor) -> Tensor:
    """[n_classes]: how much more often than chance a class' samples are among its own; 0 is chance, 1 is always."""
    counts = torch.bincount(labels).double()
    own = torch.bincount(labels, weights=supporting.double()) / counts / N_NEIGHBORS
    share = counts / len(labels)
    return (own - share) / (1.0 - share).clamp(min=1.0 / len(labels))
