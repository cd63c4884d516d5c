"""The report: sections filled from a study's record, written as one HTML file that needs nothing else."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
import yaml
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from studies.diagnosis import Finding, missing_evidence
from studies.diagnosis.pruning import pruning_check
from studies.diagnosis.verdict import best_in_words
from studies.encoding import jsonable
from studies.importance import Importances
from studies.proofs import ProofRecord
from studies.proven import proven_config
from studies.records import StudyRecord
from studies.reports import drawing, figures, wording
from studies.reports.axes import ACCURACIES
from studies.reports.overhead_figures import draw_where_time_went, where_time_went
from studies.reports.proof_figures import contested, draw_contested

MAX_ROWS = 200
"""Trials in the table: more make a slow page and are no reading."""
MAX_SLICES = 12
MAX_NAMED = 10
"""Trials that a caption names."""
TEMPLATES = Path(__file__).parent / "templates"
EVALUATOR_NAMES = {
    "ped_anova": "PED-ANOVA: what it took to be among the best",
    "fanova": "fANOVA: what moved the value over all trials",
}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as plotly's JSON, with the sentence below it."""

    name: str
    json: Markup
    caption: str


def write_report(
    record: StudyRecord,
    findings: Sequence[Finding],
    importances: Importances,
    path: Path,
    *,
    next_commands: Sequence[str] = (),
) -> Path:
    """Write the study's report to ``path`` and return it; a reader never sees a half-written file.

    The page holds all it needs (plotly.js once, about 5 MB) and asks no server for anything.
    """
    page = render(record, findings, importances, next_commands=next_commands)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def render(
    record: StudyRecord,
    findings: Sequence[Finding],
    importances: Importances,
    *,
    next_commands: Sequence[str] = (),
) -> str:
    """The page as HTML text. Whatever a user named (studies, levers, errors) is escaped by the template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": wording.number, "duration": wording.duration, "code": _with_code}
    ranked = [row.lever for row in importances.evaluators["ped_anova"]]
    missing = missing_evidence(record)
    return environment.get_template("report.html.j2").render(
        record=record,
        wording=wording,
        findings=findings,
        missing=missing,
        proofs=_proofs(record),
        pruning=pruning_check(record).sentence,
        importances=importances,
        importance_drawings=_importance_drawings(importances),
        history=_history(record),
        curves=_curves(record),
        places=_places(record, ranked),
        slices=_slices(record, ranked),
        proven=proven_config(record),
        best=_best(record, findings, is_partial=bool(missing)),
        table=_table(record),
        time=_time(record),
        made=_made(record),
        next_commands=next_commands,
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own bundle, not a user's text
    )


def _with_code(sentence: str) -> Markup:
    """A sentence with its `names in backticks` as code."""
    parts = [
        Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(sentence.split("`"))
    ]
    return Markup().join(parts)


def _drawing(figure: go.Figure, name: str, caption: str) -> Drawing:
    # Plotly writes <, > and / as escapes, so that no text of a user can end the script that holds the figure.
    return Drawing(name=name, json=Markup(plotly.io.to_json(figure)), caption=caption)  # noqa: S704


def _proofs(record: StudyRecord) -> list[tuple[ProofRecord, Drawing]]:
    """What `tuner fix` tried, with a figure each."""
    caption = "Small dots: seeds. Diamonds: their mean, with its 95 % interval. Dotted: as it is, and the reference."
    return [
        (proof, _drawing(draw_contested(contested(proof)), f"proof-{proof.trial}", caption))
        for proof in record.proofs
    ]


def _importance_drawings(importances: Importances) -> list[tuple[str, Drawing]]:
    caption = (
        "Bars: all complete trials. Lines: 95 % intervals over redrawn trials. Pale: not told from noise."
    )
    return [
        (EVALUATOR_NAMES[name], _drawing(drawing.draw_importances(rows), f"importance-{name}", caption))
        for name, rows in importances.evaluators.items()
        if rows
    ]


def _history(record: StudyRecord) -> Drawing | None:
    data = figures.history(record)
    if data.trials.empty:
        return None
    left_out = figures.without_value(record)
    caption = "Each dot is a trial, in the order of their start; the line is the best complete one so far."
    caption += _said_of_axis(record.metric)
    if left_out:
        caption += f" Diverged without a value, so not drawn: {_trials_named(left_out)}."
    return _drawing(drawing.draw_history(data, record.metric), "history", caption)


def _curves(record: StudyRecord) -> list[Drawing]:
    curves = figures.learning_curves(record)
    read = {name for curve in curves for name in curve.frame.columns}
    panels: list[tuple[str, ...]] = [
        ("train_loss", "validation_loss"),
        ("train_accuracy", "validation_accuracy"),
    ]
    if not read & {name for names in panels for name in names}:
        panels = [(record.metric,)]
    drawn = []
    for names in panels:
        present = [name for name in names if name in read]
        if present:
            both = " Solid: validation; dotted: train." if len(present) == 2 else ""
            caption = f"Orange: the best trial; blue: the next best; gray: pruned or diverged.{both}"
            caption += _said_of_axis(present[0])
            if clipped := figures.beyond(curves, present):
                caption += (
                    f" Beyond the top of the axis, since far above the others: {_trials_named(clipped)}."
                )
            drawn.append(_drawing(drawing.draw_curves(curves, present), f"curves-{present[0]}", caption))
    return drawn


def _trials_named(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_NAMED]))
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return f"trial{'' if len(numbers) == 1 else 's'} {shown}{more}"


def _said_of_axis(quantity: str) -> str:
    return " Drawn as the share of errors: lower is better." if quantity in ACCURACIES else ""


def _places(record: StudyRecord, ranked: Sequence[str]) -> Drawing | None:
    data = figures.places(record, ranked)
    if not data:
        return None
    caption = "One line a lever, from its low bound to its high one. Where the orange dots gather matters."
    return _drawing(drawing.draw_places(data), "places", caption)


def _slices(record: StudyRecord, ranked: Sequence[str]) -> list[Drawing]:
    return [
        _drawing(drawing.draw_slice(data, record.metric), f"slice-{index}", "")
        for index, data in enumerate(figures.slices(record, ranked)[:MAX_SLICES])
    ]


def _best(record: StudyRecord, findings: Sequence[Finding], *, is_partial: bool) -> dict[str, Any] | None:
    if record.best is None:
        return None
    config = jsonable(record.best.config)
    value = wording.metric_value(record.best.value, record.metric)
    return {
        "number": record.best.number,
        "value": value,
        "health": best_in_words(record, findings, shown_value=value, is_partial=is_partial),
        "brief": wording.brief(wording.chosen(record.best)),
        "yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True).strip() if config else "",
        "command": wording.train_command(record, record.best),
    }


def _time(record: StudyRecord) -> tuple[str, Drawing] | None:
    """Where the time went: the sentence, and the figure below it."""
    data = where_time_went(record)
    if data is None:
        return None
    caption = (
        "One bar a worker, from its start to its end. Idle is waiting for other workers; startup is imports, "
    )
    caption += "reading the data and probing the machine; other is what none of these has counted."
    if data.n_left_out:
        caption += f" {data.n_left_out} workers with less time are only in the sum."
    return data.sentence, _drawing(draw_where_time_went(data), "time", caption)


def _table(record: StudyRecord) -> dict[str, Any]:
    rows = figures.trials_table(record, MAX_ROWS)
    levers = sorted({name for trial in record.trials for name in trial.params})
    return {"levers": levers, "rows": rows, "n_left_out": len(record.trials) - len(rows)}


def _made(record: StudyRecord) -> list[tuple[str, str]]:
    """How the study was made, as pairs for a definition list; only what is known."""
    facts = [("metric", f"{record.metric} ({record.direction})"), ("storage", record.storage)]
    plan = record.plan
    if plan is not None:
        facts += [
            ("task", plan.task),
            ("model", plan.model),
            ("sampler", f"{plan.sampler}, seed {plan.seed}"),
            ("pruner", plan.pruner),
            ("epochs", str(plan.epochs)),
            ("fixed", _pairs(plan.fixed)),
            ("split", _pairs(plan.split)),
            ("data hash", plan.data_hash),
            ("versions", _pairs(plan.versions)),
        ]
    return [(name, text) for name, text in facts if text]


def _pairs(mapping: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in mapping.items())
