"""The telemetry of trials, kept in the study's own database and read back as records or as pandas tables."""

import dataclasses
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import sqlalchemy as sa
from optuna.storages import RDBStorage

from studies import tables
from studies.encoding import to_json
from studies.outages import in_transaction
from studies.readings import (
    NAN,
    CodeProbe,
    Counterfactual,
    DataProbe,
    EpochReadings,
    LayerProbe,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
    Telemetry,
)

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Row = dict[str, Any]
"""A table's row by column."""

_BLOB_VERSION = 1
_STEP_QUANTITIES = ("train_loss", "learning_rate", "gradient_norm")
_EPOCH_QUANTITIES = tuple(
    column.name
    for column in tables.epochs.c
    if column.name not in {"trial_id", "study_id", "epoch", "layers", "steps"}
)
_MORE_QUANTITIES = tuple(
    field.name
    for field in dataclasses.fields(EpochReadings)
    if field.name not in {*_EPOCH_QUANTITIES, "epoch", "layers"}
)
"""Of the epoch cadence, in the table that takes what came after the first version."""
_FRAME_QUANTITIES = tuple(
    field.name
    for field in dataclasses.fields(EpochReadings)
    if field.name not in {"layers", "class_accuracy"}
)
_EPOCH, _CODE, _COUNTERFACTUALS = "epoch", "code", "counterfactuals"
"""Names in that table."""


class TelemetryTables:
    """The telemetry of one study. Writing the same epoch again replaces it, as a resumed trial does."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        self._storage = storage  # and not its engine: connections are closed when the storage is let go
        self._study_id = study_id

    @property
    def _engine(self) -> sa.Engine:
        return self._storage.engine

    def save_epoch(self, trial_id: int, readings: EpochReadings, steps: StepReadings | None) -> None:
        """Keep one epoch of ``trial_id``: the row, and the steps as one blob. One transaction."""
        row = self.epoch_row(trial_id, readings, steps)
        in_transaction(self._storage, lambda connection: self.write(connection, epochs=[row]))

    def save_probes(self, trial_id: int, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None:
        """Keep what was probed before the first step."""
        row = self.probes_row(trial_id, step_zero, data)
        in_transaction(self._storage, lambda connection: self.write(connection, probes=[row]))

    def save_code(self, trial_id: int, code: CodeProbe) -> None:
        """Keep what was seen of the training loop's own code."""
        self._save_body(trial_id, _CODE, code)

    def save_counterfactuals(self, trial_id: int, counterfactuals: Sequence[Counterfactual]) -> None:
        """Keep the short continuations of a finished training, in place of those kept before."""
        self._save_body(trial_id, _COUNTERFACTUALS, counterfactuals)

    def _save_body(self, trial_id: int, name: str, values: Any) -> None:
        row = self._body_row(trial_id, name, 0, values)
        in_transaction(self._storage, lambda connection: _replace_bodies(connection, [row]))

    def _body_row(self, trial_id: int, name: str, epoch: int, values: Any) -> Row:
        return {
            "trial_id": trial_id,
            "study_id": self._study_id,
            "name": name,
            "epoch": epoch,
            "body": to_json(values),
        }

    def epoch_row(self, trial_id: int, readings: EpochReadings, steps: StepReadings | None) -> Row:
        """One epoch of one trial as `write` takes it."""
        more = {name: getattr(readings, name) for name in _MORE_QUANTITIES}
        return {
            "more": self._body_row(trial_id, _EPOCH, readings.epoch, more),
            "trial_id": trial_id,
            "study_id": self._study_id,
            "epoch": readings.epoch,
            "layers": to_json(readings.layers),
            "steps": None if steps is None else pack_steps(steps),
            **{name: getattr(readings, name) for name in _EPOCH_QUANTITIES},
        }

    def probes_row(self, trial_id: int, step_zero: StepZeroProbe | None, data: DataProbe | None) -> Row:
        """One trial's probes as `write` takes them."""
        return {
            "trial_id": trial_id,
            "study_id": self._study_id,
            "step_zero": None if step_zero is None else to_json(step_zero),
            "data": None if data is None else to_json(data),
        }

    def write(
        self, connection: sa.Connection, *, epochs: Sequence[Row] = (), probes: Sequence[Row] = ()
    ) -> None:
        """Keep rows of any number of trials in the caller's transaction; they replace those of the same epoch."""
        columns = [column.name for column in tables.epochs.c]
        rows = [{name: row[name] for name in columns} for row in epochs]
        _replace(connection, tables.epochs, ("trial_id", "epoch"), rows)
        _replace_bodies(connection, [row["more"] for row in epochs])
        _replace(connection, tables.probes, ("trial_id",), probes)

    def read(self, *, trial_ids: Sequence[int] | None = None, steps: bool = False) -> Mapping[int, Telemetry]:
        """The telemetry by trial id: of ``trial_ids``, or of the whole study; the step cadence only on request."""
        epochs, blocks = self._read_epochs(trial_ids, steps=steps)
        probes = self._read_probes(trial_ids)
        codes, short = self._read_bodies(trial_ids, _CODE), self._read_bodies(trial_ids, _COUNTERFACTUALS)
        return {
            trial_id: Telemetry(
                epochs=tuple(epochs.get(trial_id, ())),
                steps=tuple(blocks.get(trial_id, ())),
                step_zero=probes.get(trial_id, (None, None))[0],
                data=probes.get(trial_id, (None, None))[1],
                code=_from_json(CodeProbe, codes[trial_id]) if trial_id in codes else None,
                counterfactuals=tuple(_from_json(Counterfactual, each) for each in short.get(trial_id, ())),
            )
            for trial_id in sorted(epochs.keys() | probes.keys() | codes.keys() | short.keys())
        }

    def epochs_frame(self) -> "pd.DataFrame":
        """The epoch cadence of all trials: columns trial_id, epoch and one for each quantity."""
        rows = [
            {"trial_id": trial_id, **{name: getattr(readings, name) for name in _FRAME_QUANTITIES}}
            for trial_id, telemetry in self.read().items()
            for readings in telemetry.epochs
        ]
        import pandas as pd  # 0.1 s, which only those who want tables pay

        return pd.DataFrame(rows, columns=["trial_id", *_FRAME_QUANTITIES])

    def layers_frame(self) -> "pd.DataFrame":
        """The readings of each layer: columns trial_id, epoch, name and one for each quantity."""
        names = [field.name for field in dataclasses.fields(LayerReadings)]
        rows = [
            {"trial_id": trial_id, "epoch": readings.epoch, **dataclasses.asdict(layer)}
            for trial_id, telemetry in self.read().items()
            for readings in telemetry.epochs
            for layer in readings.layers
        ]
        import pandas as pd  # 0.1 s, which only those who want tables pay

        return pd.DataFrame(rows, columns=["trial_id", "epoch", *names])

    def steps_frame(self, trial_id: int) -> "pd.DataFrame":
        """The step cadence of one trial: columns epoch, step (from 1, over all epochs) and one for each quantity."""
        import pandas as pd

        blocks = self.read(trial_ids=[trial_id], steps=True).get(trial_id, Telemetry()).steps
        columns = {
            name: [getattr(block, name) for block in blocks] for name in (*_STEP_QUANTITIES, "clipped")
        }
        frame = pd.DataFrame(
            {name: np.concatenate(parts) if parts else [] for name, parts in columns.items()}
        )
        frame.insert(0, "epoch", [block.epoch for block in blocks for _ in range(len(block))])
        frame.insert(1, "step", np.arange(1, len(frame) + 1))
        return frame

    def _select(
        self, table: sa.Table, trial_ids: Sequence[int] | None, columns: Iterable[Any]
    ) -> sa.Select[Any]:
        query = sa.select(*columns).where(table.c.study_id == self._study_id)
        return query if trial_ids is None else query.where(table.c.trial_id.in_(trial_ids))

    def _read_bodies(self, trial_ids: Sequence[int] | None, name: str) -> dict[int, Any]:
        """What is kept under ``name``, by trial id."""
        table = tables.readings
        query = self._select(table, trial_ids, (table.c.trial_id, table.c.body)).where(table.c.name == name)
        rows = in_transaction(
            self._storage, lambda connection: connection.execute(query).all() if _has_more(connection) else []
        )
        return {row.trial_id: json.loads(row.body) for row in rows}

    def _read_epochs(
        self, trial_ids: Sequence[int] | None, *, steps: bool
    ) -> tuple[dict[int, list[EpochReadings]], dict[int, list[StepReadings]]]:
        epochs: dict[int, list[EpochReadings]] = defaultdict(list)
        blocks: dict[int, list[StepReadings]] = defaultdict(list)
        for trial_id, epoch, layers, more, blob, *values in self._epoch_rows(trial_ids, steps=steps):
            quantities = dict(zip(_EPOCH_QUANTITIES, values, strict=True))
            epochs[trial_id].append(
                EpochReadings(
                    epoch=epoch,
                    layers=tuple(_from_json(LayerReadings, layer) for layer in json.loads(layers)),
                    **_known(quantities),
                    **_more_quantities(more),
                )
            )
            if blob is not None:
                blocks[trial_id].append(unpack_steps(epoch, blob))
        return epochs, blocks

    def _epoch_rows(self, trial_ids: Sequence[int] | None, *, steps: bool) -> Sequence[Sequence[Any]]:
        """Trial id, epoch, layers, more quantities, steps, and the quantities; in their order."""
        table, more = tables.epochs, tables.readings
        is_its_own = sa.and_(
            more.c.trial_id == table.c.trial_id, more.c.epoch == table.c.epoch, more.c.name == _EPOCH
        )

        def found(connection: sa.Connection) -> Sequence[Sequence[Any]]:
            has_more = _has_more(connection)
            columns = (
                table.c.trial_id,
                table.c.epoch,
                table.c.layers,
                more.c.body if has_more else sa.null(),
                table.c.steps if steps else sa.null(),
                *(table.c[name] for name in _EPOCH_QUANTITIES),
            )
            query = self._select(table, trial_ids, columns).order_by(table.c.trial_id, table.c.epoch)
            if has_more:
                query = query.select_from(table.outerjoin(more, is_its_own))
            return connection.execute(query).all()

        return in_transaction(self._storage, found)

    def _read_probes(
        self, trial_ids: Sequence[int] | None
    ) -> dict[int, tuple[StepZeroProbe | None, DataProbe | None]]:
        query = self._select(tables.probes, trial_ids, tables.probes.c)
        rows = in_transaction(self._storage, lambda connection: connection.execute(query).mappings().all())
        data = {text: _data_probe(text) for text in {row["data"] for row in rows}}  # of most trials the same
        return {row["trial_id"]: (_step_zero(row["step_zero"]), data[row["data"]]) for row in rows}


def _replace(connection: sa.Connection, table: sa.Table, keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows in place of those with the same keys, in words that every engine knows."""
    if not rows:
        return
    same = [table.c[key] == sa.bindparam(f"of_{key}") for key in keys]
    connection.execute(
        sa.delete(table).where(*same), [{f"of_{key}": row[key] for key in keys} for row in rows]
    )
    connection.execute(sa.insert(table), list(rows))


def _replace_bodies(connection: sa.Connection, rows: Sequence[Row]) -> None:
    _replace(connection, tables.readings, ("trial_id", "name", "epoch"), rows)


def pack_steps(steps: StepReadings) -> bytes:
    """One epoch's steps as bytes: a version byte, then zlib over three float32 arrays and the clipped bits."""
    parts = [np.ascontiguousarray(getattr(steps, name), dtype="<f4").tobytes() for name in _STEP_QUANTITIES]
    body = len(steps).to_bytes(4, "little") + b"".join(parts) + np.packbits(steps.clipped).tobytes()
    return bytes([_BLOB_VERSION]) + zlib.compress(body, level=1)


def unpack_steps(epoch: int, blob: bytes) -> StepReadings:
    """The inverse of `pack_steps`.

    Raises:
        ValueError: for a blob that another version wrote.
    """
    if blob[0] != _BLOB_VERSION:
        raise ValueError(f"Step readings must have version {_BLOB_VERSION}, but got version {blob[0]}.")
    body = zlib.decompress(blob[1:])
    n = int.from_bytes(body[:4], "little")
    arrays = {
        name: np.frombuffer(body, dtype="<f4", count=n, offset=4 + index * 4 * n)
        for index, name in enumerate(_STEP_QUANTITIES)
    }
    bits = np.frombuffer(body, dtype=np.uint8, offset=4 + len(_STEP_QUANTITIES) * 4 * n)
    return StepReadings(epoch=epoch, clipped=np.unpackbits(bits, count=n).astype(np.bool_), **arrays)


def _has_more(connection: sa.Connection) -> bool:
    """False for a database of before that was opened to read, and so was not given the newer table."""
    return sa.inspect(connection).has_table(tables.readings.name)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's null, and the NULL as which SQLite keeps it, are the NaN that it was."""
    return {key: NAN if value is None else value for key, value in values.items()}


def _from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    return kind(**_known(values))


def _more_quantities(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    values = json.loads(text)
    by_class = values.pop("class_accuracy")
    return {**_known(values), "class_accuracy": tuple(NAN if each is None else each for each in by_class)}


def _step_zero(text: str | None) -> StepZeroProbe | None:
    if text is None:
        return None
    values = json.loads(text)
    layers = tuple(_from_json(LayerProbe, layer) for layer in values.pop("layers"))
    return dataclasses.replace(_from_json(StepZeroProbe, values), layers=layers)


def _data_probe(text: str | None) -> DataProbe | None:
    if text is None:
        return None
    values = json.loads(text)
    train, validation = (tuple(values.pop(f"{split}_class_counts")) for split in ("train", "validation"))
    probe = _from_json(DataProbe, values)
    return dataclasses.replace(probe, train_class_counts=train, validation_class_counts=validation)
