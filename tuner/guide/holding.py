"""One guide at a time on a study: two would both decide, and each train what the other did not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search_spaces.errors import ConfigurationError
from studies.leases import Leases, Refusal
from studies.recorded import RecordedStudy


@contextmanager
def held(recorded: RecordedStudy, *, grace: float) -> Iterator[Callable[[], None]]:
    """Hold the guide's study while the body runs, by a lease without a trial: that study has none.

    What is yielded raises RuntimeError once the hold was lost to another guide; call it before anything is decided.

    Args:
        recorded: the guide's study.
        grace: seconds of silence after which a guide counts as dead; one seen dead on this machine does at once.

    Raises:
        ConfigurationError: when another guide holds it.
    """
    leases = Leases(recorded.storage, recorded.study, grace_seconds=grace)
    leases.reclaim_stale()
    lease = leases.take(1)
    if isinstance(lease, Refusal):
        raise ConfigurationError(
            f"One guide at a time may work on a study, but another one works on {recorded.name!r}; wait until it has "
            f"ended ({grace:g} s after its last sign of life, if it died elsewhere), or name another --study."
        )
    lost = threading.Event()

    def check() -> None:
        if lost.is_set():
            raise RuntimeError(
                f"This guide gave no sign of life for so long that another one took {recorded.name!r} over."
            )

    try:
        with leases.beating(lease, on_loss=lost.set):
            yield check
    finally:
        leases.release(lease)
