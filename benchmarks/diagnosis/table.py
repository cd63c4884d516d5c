"""The scores as text: lines for a terminal, and the tables of docs/diagnosis.md."""

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.scoring import Answer, Scored, Scores, confusions

BEGIN = "<!-- begin: python -m benchmarks.diagnosis -->"
END = "<!-- end: python -m benchmarks.diagnosis -->"

TARGETS = {
    "recall": ">= 90%",
    "precision": ">= 90%",
    "false_alarm_bound": "<= 5%",
    "top1_of_found": ">= 80%",
    "top1_relaxed_of_found": ">= 90%",
    "top3_of_found": ">= 95%",
}
_LABELS = {
    "recall": "recall: harmful faults that were flagged",
    "precision": "precision: flagged runs that were faulty",
    "false_alarm_rate": "false alarms on healthy runs",
    "false_alarm_bound": "- their rate's one-sided 95% upper bound",
    "wide_precision": "precision, with planted faults that do no harm as healthy",
    "wide_alarm_rate": "false alarms, with planted faults that do no harm as healthy",
    "wide_alarm_bound": "- their rate's one-sided 95% upper bound",
    "top1_of_found": "of those flagged: first cause right, strict",
    "top1_relaxed_of_found": "of those flagged: first cause right, or its remedy is known to mend the case",
    "top3_of_found": "of those flagged: right cause among the first three",
    "top1": "of all harmful faults, silence is wrong: first cause right, strict",
    "top1_relaxed": "of all harmful faults: first cause right, or its remedy is known to mend the case",
    "top3": "of all harmful faults: right cause among the first three",
    "detected_at": "share of the training after which the cause was named (median)",
}


def lines_of(scored: Scored, figures: Scores) -> list[str]:
    """The scores of a part, what is left out of them, and how each cause fared."""
    missing = f", {scored.n_missing} runs are missing" if scored.n_missing else ""
    head = (
        f"{scored.part}: {figures.n_faulty} faulty and {figures.n_healthy} healthy runs diagnosed in "
        f"{scored.seconds:.1f} s{missing}"
    )
    told = [f"  {label:78} {_percent(getattr(figures, name)):>6}" for name, label in _LABELS.items()]
    told.append(f"  {'false alarms, of healthy runs':78} {figures.false_alarms:>3}/{figures.n_healthy}")
    wide = [given.is_alarm for given in scored.healthy]
    told.append(f"  {'- and of those with faults that do no harm':78} {sum(wide):>3}/{len(wide)}")
    told.append(f"  {'flagged without a cause':78} {figures.abstentions:>6}")
    return [head, *told, *_by_cause(scored), *left_out(scored)]


def left_out(scored: Scored) -> list[str]:
    """The planted faults that do no harm, and the configs of the healthy list that do."""
    planted = {each.case for each in scored.answers if each.planted is not None}
    harmless = [name for name, each in scored.admissions.items() if name in planted and not each.is_faulty]
    contested = [name for name, each in scored.admissions.items() if each.is_contested]
    lines = [f"Planted, but does no harm (counts as healthy): {', '.join(harmless)}"] if harmless else []
    return lines + (
        [
            f"Listed as healthy, but far worse than its base, or with such a twin (left out): {', '.join(contested)}"
        ]
        if contested
        else []
    )


def _by_cause(scored: Scored) -> list[str]:
    rows = []
    for cause in sorted({str(each.cause) for each in scored.faulty}):
        runs = [each for each in scored.faulty if each.cause == cause]
        rows.append(f"  {cause:26} {len(runs):3} runs{_fates(runs)}")
    return rows


def _fates(runs: Sequence[Answer]) -> str:
    return "".join(
        f"  {name} {_percent(sum(is_so) / len(runs)):>5}"
        for name, is_so in (
            ("found", [each.is_alarm for each in runs]),
            ("first", [each.is_right for each in runs]),
            ("three", [each.is_among_three for each in runs]),
        )
    )


def markdown(columns: Sequence[tuple[str, Scored, Scores]], about: str) -> str:
    """The document's part between its markers: scores, causes, confusions."""
    head = ["quantity", "target", *[title for title, *_ in columns]]
    rows = [
        [label, TARGETS.get(name, ""), *[_percent(getattr(figures, name)) for *_, figures in columns]]
        for name, label in _LABELS.items()
    ]
    rows.append(["faulty runs", "", *[str(figures.n_faulty) for *_, figures in columns]])
    rows.append(
        ["healthy runs (false alarms)", "", *[f"{f.n_healthy} ({f.false_alarms})" for *_, f in columns]]
    )
    rows.append(["flagged without a cause", "", *[str(figures.abstentions) for *_, figures in columns]])
    parts = [about, table(head, rows)]
    for title, scored, _figures in columns:
        if scored.in_study:  # its causes are those of the runs by themselves
            continue
        parts += [f"### By cause: {title}", _causes_table(scored), *left_out(scored)]
    return "\n\n".join(parts)


def _causes_table(scored: Scored) -> str:
    counts = confusions(scored)
    rows = []
    for cause in sorted({planted for planted, _said in counts}):
        runs = [each for each in scored.answers if str(each.cause or "healthy") == cause]
        other = sorted(
            ((n, said) for (planted, said), n in counts.items() if planted == cause and said != cause),
            reverse=True,
        )
        n_right = sum(each.is_right if each.cause else not each.is_alarm for each in runs)
        rows.append(
            [
                f"`{cause}`",
                str(len(runs)),
                str(n_right),
                ", ".join(
                    f"{_word(said)} {n}" for n, said in other if not (cause == "healthy" and said == "-")
                ),
            ]
        )
    return table(["planted", "runs", "answered rightly", "other answers"], rows)


def _word(said: str) -> str:
    return {"-": "nothing", "?": "no cause"}.get(said, f"`{said}`")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_between_markers(path: Path, text: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Replace what lies between the markers of a document.

    Raises:
        ValueError: when it has no markers.
    """
    document = path.read_text(encoding="utf-8")
    if begin not in document or end not in document:
        raise ValueError(f"{path} must have the lines {begin!r} and {end!r}.")
    before, after = document.split(begin)[0], document.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"
