"""What a guide has decided: kept in its own study as JSON, read back by whoever goes on, never decided twice."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from studies.encoding import to_json
from studies.recorded import RecordedStudy

PREFIX = "guide:"


class Ledger:
    """The decisions of one guide, by name, in the user attributes of its study.

    Whatever rests on a measurement (a clock, a range test, how fast trainings end) is decided once, recorded before
    anything follows from it, and read back ever after: that is why a guide that was killed ends as it would have.
    """

    def __init__(self, recorded: RecordedStudy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = recorded.study
        self._clock = clock
        self._entries: dict[str, dict[str, Any]] = {
            key.removeprefix(PREFIX): json.loads(text)
            for key, text in self._study.user_attrs.items()
            if key.startswith(PREFIX) and text
        }

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def decide(self, key: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What was decided under ``key``; the first time, what ``make`` decides, with the seconds that took.

        What is returned is what was recorded, so that the first run works with exactly what later ones read.
        ``make`` may name its own ``seconds``, if it knows of more than passed just now.
        """
        if key not in self._entries:
            started = self._clock()
            decided = dict(make())
            seconds = decided.pop("seconds", None)
            passed = self._clock() - started
            text = to_json(
                {"decided": decided, "seconds": passed if seconds is None else max(seconds, passed)}
            )
            self._write(key, text)
        return self.read(key)

    def remember(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep what may change from one run to the next, such as the budget."""
        self._write(key, to_json({"decided": value, "seconds": 0.0}))

    @property
    def seconds(self) -> float:
        """How long all that was decided took, over all runs."""
        return float(sum(entry["seconds"] for entry in self._entries.values()))

    @property
    def n_trials(self) -> int:
        """How many trainings were decided on, over all runs."""
        return sum(entry["decided"].get("n_trials", 0) for entry in self._entries.values())

    def read(self, key: str) -> dict[str, Any]:
        """What was decided under ``key``.

        Raises:
            KeyError: when it was not.
        """
        return dict(self._entries[key]["decided"])

    def items(self) -> dict[str, dict[str, Any]]:
        """Every decision by its name."""
        return {key: self.read(key) for key in self._entries}

    def forget(self, steps: Iterable[str]) -> None:
        """Decide anew what belongs to these steps: entries named ``<step>.<...>``."""
        names = tuple(f"{step}." for step in steps)
        for key in [key for key in self._entries if key.startswith(names)]:
            self._study.set_user_attr(PREFIX + key, "")  # Optuna can overwrite an attribute, not delete it
            del self._entries[key]

    def _write(self, key: str, text: str) -> None:
        self._study.set_user_attr(PREFIX + key, text)
        self._entries[key] = json.loads(text)
