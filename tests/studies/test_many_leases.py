"""Several leases at a time, as the worker of a cohort holds them: taken, bound, beaten for and given back together."""

import time

import sqlalchemy as sa
from optuna.trial import TrialState

from studies import tables
from studies.leases import Lease, Refusal
from tests.studies.held_leases import ELSEWHERE, begin_trial, leases_of, taken
from tests.studies.plans import study


class TestEveryStorage:
    def test_a_single_lease_is_the_case_of_one(self, storage_url: str) -> None:
        """Leases are numbered through, whether they were taken one by one or together."""
        recorded = study(storage_url)
        leases = leases_of(recorded)
        first = taken(leases)
        many = leases.take_many(2, None)
        assert not isinstance(many, Refusal)
        assert [lease.ordinal for lease in (first, *many, taken(leases))] == [1, 2, 3, 4]

    def test_the_rest_is_shared_fairly(self, storage_url: str) -> None:
        """Of what is left nobody takes more than a part: 10 among 4 workers that want 8 each go 3, 2, 2, 1, 1, 1."""
        leases = leases_of(study(storage_url))
        n_taken = []
        while not isinstance(many := leases.take_many(8, 10, n_workers=4), Refusal):
            n_taken.append(len(many))
        assert n_taken == [3, 2, 2, 1, 1, 1]
        assert many is Refusal.REST_IS_HELD

    def test_many_are_bound_as_far_as_they_are_ours(self, storage_url: str) -> None:
        """The trial of the one that was taken from us is given back; the others are bound each to its own."""
        recorded = study(storage_url)
        asleep = leases_of(recorded, me=ELSEWHERE)
        many = asleep.take_many(3, None)
        assert not isinstance(many, Refusal)
        asleep._rows.delete(many[1].lease_id)
        ids = [recorded.study.ask()._trial_id for _ in range(3)]
        bound = asleep.bind_many(many, ids)
        assert [lease and lease.trial_id for lease in bound] == [ids[0], None, ids[2]]
        states = [trial.state.name for trial in recorded.study.trials]
        assert states == ["RUNNING", "FAIL", "RUNNING", "WAITING"]

    def test_one_heartbeat_beats_for_all(self, storage_url: str) -> None:
        """Each lost lease is told once, by itself; the others stay fresh, and so does one that is taken meanwhile."""
        recorded = study(storage_url)
        leases = leases_of(recorded, me=ELSEWHERE, grace=0.6)
        observer = leases_of(recorded, grace=0.6)
        held = [begin_trial(recorded, leases)[0] for _ in range(2)]
        lost: list[Lease] = []
        with leases.beating_many(lambda: tuple(held), on_loss=lost.append):
            time.sleep(0.4)
            held.append(begin_trial(recorded, leases)[0])
            leases._rows.update(held[0].lease_id, "held", status="reclaimed")
            time.sleep(0.8)
            assert observer.reclaim_stale() == []
        assert lost == [held[0]]

    def test_many_are_released_and_handed_back_together(self, storage_url: str) -> None:
        """Told trials count, handed back ones do not, and a lease of which no trial came leaves no trace."""
        recorded = study(storage_url)
        leases = leases_of(recorded)
        pairs = [begin_trial(recorded, leases, x=index / 10) for index in range(4)]
        for _, number in pairs[:2]:
            recorded.study.tell(number, 1.0)
        leases.release_many([*(lease for lease, _ in pairs[:2]), taken(leases)])
        assert leases.hand_back_many([lease for lease, _ in pairs[2:]]) == [2, 3]
        assert leases.hand_back_many([lease for lease, _ in pairs]) == []
        assert leases.n_counted() == 2
        waiting = recorded.study.get_trials(states=(TrialState.WAITING,))
        assert [trial.system_attrs["fixed_params"] for trial in waiting] == [{"x": 0.2}, {"x": 0.3}]
        with recorded.storage.engine.begin() as connection:
            found = list(
                connection.scalars(sa.select(tables.leases.c.status).order_by(tables.leases.c.ordinal))
            )
        assert found == ["done", "done", "reclaimed", "reclaimed"]
