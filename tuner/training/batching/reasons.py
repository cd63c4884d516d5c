"""Why this batch size, in words."""

from collections.abc import Sequence

from tuner.training.batching.candidates import Candidate, RateRule, Verdict
from tuner.training.batching.recheck import Recheck

WORTH_SAYING = 1.05
"""Times the pick's time to the target, above which another candidate is slower and not just another."""


def reason_of(
    picked: Candidate,
    candidates: Sequence[Candidate],
    target_loss: float,
    rule: RateRule,
    recheck: Recheck | None,
    *,
    effective: int | None,
) -> str:
    """A few sentences: the time to the target, who else is as fast, the rate, and how the batch is made up."""
    sentences = [_about_time(picked, candidates, target_loss, rule)]
    if effective is not None:
        sentences.append(_about_accumulation(picked, effective))
    sentences.append(_about_rate(picked, rule, recheck))
    return " ".join(sentence for sentence in sentences if sentence)


def _about_time(
    picked: Candidate, candidates: Sequence[Candidate], target_loss: float, rule: RateRule
) -> str:
    if picked.seconds_to_target is None:
        return (
            f"No candidate reached a validation loss of {target_loss:.4g} in the time it had, so batch size "
            f"{picked.batch_size} is only the smallest with nearly the highest throughput, "
            f"{picked.samples_per_second:,.0f} samples/s; give a higher target or more time."
        )
    said = (
        f"Batch size {picked.batch_size} reaches a validation loss of {target_loss:.4g} in "
        f"{picked.seconds_to_target:.3g} s"
    )
    others = [c for c in candidates if c.batch_size != picked.batch_size]
    own = next((c for c in others if c.effective_batch_size == rule.batch_size), None)
    if own is not None and own.seconds_to_target is not None:
        ratio = own.seconds_to_target / picked.seconds_to_target
        if ratio > WORTH_SAYING:
            said += f", {ratio:.2g} times as fast as {own.batch_size}"
    equals = [
        c.batch_size
        for c in others
        if c.seconds_to_target is not None and c.seconds_to_target <= WORTH_SAYING * picked.seconds_to_target
    ]
    if equals:
        listed = " and ".join(map(str, equals))
        said += f"; {listed} {'makes' if len(equals) == 1 else 'make'} no difference worth the memory"
    elif any(c.verdict is Verdict.OUT_OF_TIME for c in others):
        said += "; not every candidate could be tried in the time there was"
    elif others and all(c.verdict is not Verdict.REACHED for c in others):
        said += "; no other candidate reached it in 1.5 times that time"
    return said + "."


def _about_accumulation(picked: Candidate, effective: int) -> str:
    got = picked.effective_batch_size
    made = f"{picked.accumulation_steps} x {picked.batch_size} make an effective batch of {got}"
    if got == effective:
        return f"{made}."
    return f"{made}, the nearest below the wanted {effective}: no batch size of about this speed divides it."


def _about_rate(picked: Candidate, rule: RateRule, recheck: Recheck | None) -> str:
    base = f"{rule.learning_rate:.3g} at batch {rule.batch_size}"
    by_rule = "is kept from" if rule.rule == "none" else f"follows by the {rule.rule} rule from"
    if recheck is None:
        return f"Its rate {picked.learning_rate:.3g} {by_rule} {base}, and was not rechecked."
    said = f"Its rate {recheck.rule_rate:.3g} {by_rule} {base}"
    if recheck.highest_stable is None:
        return f"{said}; the range test found no limit to check it against ({recheck.reason.rstrip('.')})."
    if not recheck.is_lowered:
        return f"{said}, and the range test found rates up to {recheck.highest_stable:.3g} stable."
    return (
        f"{said}, above the highest stable rate {recheck.highest_stable:.3g}: it was lowered to "
        f"{picked.learning_rate:.3g}."
    )
