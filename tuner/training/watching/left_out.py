"""What of a loop is not read, and why: somebody's model may refuse our passes, and its loop goes on all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

from search_spaces.errors import ConfigurationError


class LeftOut:
    """The reasons, one for each thing that is not read: the first that was noted."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def __contains__(self, what: str) -> bool:
        return what in self._reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(self._reasons.values())

    def note(self, what: str, reason: str) -> None:
        self._reasons.setdefault(what, reason)

    @contextmanager
    def unless_it_fails(self, what: str, missing: str) -> Iterator[None]:
        """Turn an error within into a reason; ``missing`` says what there will not be.

        Raises:
            ConfigurationError: as it came: it is about what `watch` was given.
        """
        try:
            yield
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - code of somebody else's may raise anything
            said = str(error).strip().partition("\n")[0]
            self.note(what, f"{missing}: {type(error).__name__}{f' ({said})' if said else ''}")
