"""What a process has noted of its own running trials and not yet written to the study's database."""

import datetime as dt
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from studies.leases import Lease


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial ended."""

    state: TrialState
    values: tuple[float, ...] | None
    at: dt.datetime
    """Naive UTC, as in Optuna's tables. To the microsecond: by it a result of ours, whose commit was made although the
    answer was lost, is told from another worker's."""


@dataclass(kw_only=True)
class Pending:
    """One trial's part of what is not yet written."""

    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    """By name: the value as Optuna keeps it (`BaseDistribution.to_internal_repr`), and where it was taken from."""
    user_attrs: dict[str, str] = field(default_factory=dict)
    """As JSON text, which is made when the attribute is set: what has none is refused there, and not at the flush."""
    system_attrs: dict[str, str] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    ending: Ending | None = None


AlsoWrite = Callable[[sa.Connection, Collection[int]], None]
"""Writes more in the transaction that is handed to it; told the ids of the trials that are no longer ours."""


class TrialStore(Protocol):
    """How the trials of one study are read from and written to its database."""

    def take(self, n: int) -> list[FrozenTrial]:
        """So many trials that run from now on, enqueued ones first."""

    def take_under(self, leases: Sequence[Lease]) -> list[tuple[Lease, FrozenTrial]]:
        """A trial for each lease, which is bound to it; none for a lease that was taken from us."""

    def read(self, *, after: int, but: Container[int], among: Collection[int]) -> list[FrozenTrial]:
        """The trials with a greater id than ``after``, ``but`` not those; and the ones ``among`` these."""

    def write(self, pending: Mapping[int, Pending], also: AlsoWrite) -> frozenset[int]:
        """Write what is pending, by trial id; the ids of the trials that another worker has ended meanwhile.

        Nothing is written of those. Safe to repeat when it failed, and when its answer was lost.
        """
