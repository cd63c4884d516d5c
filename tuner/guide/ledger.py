"""What a guide has decided: kept in its own study as JSON, read back by whoever goes on, never decided twice."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from studies.encoding import to_json
from studies.recorded import RecordedStudy
from tuner.guide.budget import Spent
from tuner.guide.plan import step_of

PREFIX = "guide:"
BEGUN_ANEW = "guide_begun_anew"
"""Attribute of the guide's study: step -> the generation of its decisions. One attribute: it is written whole."""


class Ledger:
    """The decisions of one guide, by name, in the user attributes of its study.

    Whatever rests on a measurement (a clock, a range test, how fast trainings end) is decided once, recorded before
    anything follows from it, and read back ever after: that is why a guide that was killed ends as it would have.

    Nothing is overwritten where a step is taken anew: its decisions get the next generation, and older ones are no
    longer looked at.
    """

    def __init__(
        self,
        recorded: RecordedStudy,
        *,
        without: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Read what was decided.

        Args:
            recorded: the guide's study.
            without: steps to see as if they were forgotten; nothing is written.
            clock: in seconds.
            check: called before anything is written; raises when this guide may write no more.
        """
        self._study = recorded.study
        self._clock = clock
        self._check = check
        self._generations: dict[str, int] = json.loads(self._study.user_attrs.get(BEGUN_ANEW, "{}"))
        self._generations |= self._next_of(without)
        self._entries = self._read_entries()

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
        """Keep what may change from one run to the next, such as the budget; only where it did."""
        text = to_json({"decided": value, "seconds": 0.0})
        if self._entries.get(key) != json.loads(text):
            self._write(key, text)

    @property
    def seconds(self) -> float:
        """How long all that was decided took, over all runs."""
        return float(sum(entry["seconds"] for entry in self._entries.values()))

    @property
    def n_trials(self) -> int:
        """How many trainings were decided on, over all runs."""
        return sum(entry["decided"].get("n_trials", 0) for entry in self._entries.values())

    @property
    def spent(self) -> Spent:
        """What was used up so far, interruptions not counted."""
        return Spent(seconds=self.seconds, trials=self.n_trials)

    def read(self, key: str) -> dict[str, Any]:
        """What was decided under ``key``.

        Raises:
            KeyError: when it was not.
        """
        return dict(self._entries[key]["decided"])

    def items(self) -> dict[str, dict[str, Any]]:
        """Every decision by its name."""
        return {key: self.read(key) for key in self._entries}

    def generation(self, step: str) -> int:
        """Which decisions of the step count: 0, and a new number each time that it is taken anew."""
        return self._generations.get(step, 0)

    def forget(self, steps: Iterable[str]) -> None:
        """Decide anew what belongs to these steps: entries named ``<step>.<...>``. One write: done, or not at all."""
        generations = self._generations | self._next_of(steps)
        self._write_attribute(BEGUN_ANEW, to_json(generations))
        self._generations = generations
        self._entries = self._read_entries()

    def _next_of(self, steps: Iterable[str]) -> dict[str, int]:
        """The same generation for all of them, which none of any step had before."""
        following = max(self._generations.values(), default=0) + 1
        return dict.fromkeys(steps, following)

    def _attribute(self, key: str) -> str:
        """Where an entry of the present generation of its step is kept."""
        generation = self.generation(step_of(key))
        return f"{PREFIX}{key}@{generation}" if generation else PREFIX + key

    def _read_entries(self) -> dict[str, dict[str, Any]]:
        texts = {key: text for key, text in self._study.user_attrs.items() if key.startswith(PREFIX)}
        names = [attribute.removeprefix(PREFIX).partition("@")[0] for attribute in texts]
        return {
            name: json.loads(texts[self._attribute(name)])
            for name in dict.fromkeys(names)
            if self._attribute(name) in texts
        }

    def _write(self, key: str, text: str) -> None:
        self._write_attribute(self._attribute(key), text)
        self._entries[key] = json.loads(text)

    def _write_attribute(self, attribute: str, text: str) -> None:
        self._check()
        self._study.set_user_attr(attribute, text)
