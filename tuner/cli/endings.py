"""How a search ended, as a sentence on stderr and as the exit code."""

from typing import TYPE_CHECKING

from tuner.cli.output import note, say

if TYPE_CHECKING:
    from tuner.prepared_search import Search

TRAINING_FAILED, NO_TRIAL_COMPLETED = 1, 3


def say_ending(found: "Search", *, n_wanted: int) -> None:
    """Why it ended before its total, and how to go on; nothing where the total was reached."""
    from tuner.searching.ask_tell import Ending

    done = found.n_trials.counted
    if found.ending is Ending.INTERRUPTED:
        note(
            f"Interrupted after {done} of {n_wanted} trials. Nothing is lost: `tuner resume {found.study}` goes on."
        )
    elif found.ending is Ending.OUT_OF_TIME:
        note(f"Time is up after {done} of {n_wanted} trials. `tuner resume {found.study}` goes on.")
    elif found.ending is Ending.HALTED and found.error is not None:
        where = f" at {found.error.where}" if found.error.where else ""
        note(f"error: the search ended early: {found.error.type}{where}: {found.error.message}")


def show_overhead(found: "Search") -> None:
    """Where the time of the search went, over what it was spread, and what would make better use of it."""
    from studies.overhead import advice, shares_text
    from tuner.searching.ask_tell import Ending

    if found.overhead is None:
        return
    say(shares_text(found.overhead), head="\nTime    ")
    if found.spread is not None:
        say(f"        {found.spread.sentence}")
    was_broken_off = found.ending in {Ending.INTERRUPTED, Ending.HALTED}
    if not was_broken_off and (hint := advice(found.overhead, n_workers=1 + len(found.exits))):
        say(f"        {hint}")


def exit_code(found: "Search") -> int:
    """The signal's, 1 for a search that was halted, 3 where no trial completed, else 0."""
    from tuner.searching.ask_tell import Ending

    if found.interrupted_by is not None:
        return found.interrupted_by
    if found.ending is Ending.HALTED:
        return TRAINING_FAILED
    return 0 if found.best is not None else NO_TRIAL_COMPLETED
