"""Telemetry: what was written is read back, NaN included, for trials of this study alone."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp

from studies import tables as schema
from studies.readings import (
    CodeProbe,
    Counterfactual,
    DataProbe,
    EpochReadings,
    LayerProbe,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
)
from studies.recorded import open_study
from studies.telemetry import TelemetryTables, pack_steps, unpack_steps
from tests.studies.plans import study

FLOATS = hnp.arrays(np.float32, st.shared(st.integers(0, 50), key="n"), elements=st.floats(width=32))
BOOLS = hnp.arrays(np.bool_, st.shared(st.integers(0, 50), key="n"))


def same(one: Any, other: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(one) == repr(other)


def steps(epoch: int, n: int = 3) -> StepReadings:
    values = np.linspace(1, 2, n, dtype=np.float32)
    return StepReadings(
        epoch=epoch,
        train_loss=values,
        learning_rate=values / 10,
        gradient_norm=values * 3,
        clipped=np.arange(n) % 2 == 0,
    )


@given(loss=FLOATS, rate=FLOATS, norm=FLOATS, clipped=BOOLS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_steps_are_unpacked_bit_for_bit(
    loss: np.ndarray, rate: np.ndarray, norm: np.ndarray, clipped: np.ndarray
) -> None:
    """Any float32 values, NaN and infinities included, and any number of steps."""
    packed = pack_steps(
        StepReadings(epoch=2, train_loss=loss, learning_rate=rate, gradient_norm=norm, clipped=clipped)
    )
    unpacked = unpack_steps(2, packed)
    for written, read in (
        (loss, unpacked.train_loss),
        (rate, unpacked.learning_rate),
        (norm, unpacked.gradient_norm),
    ):
        assert written.tobytes() == read.tobytes()
    assert (unpacked.clipped == clipped).all()


def test_steps_of_another_version_are_refused() -> None:
    """A blob that we cannot read is an error, not garbage."""
    with pytest.raises(ValueError, match="must have version 1, but got version 9"):
        unpack_steps(1, b"\x09rest")


def test_step_arrays_must_agree_in_length() -> None:
    """A probe that forgot one step is found out when the record is built."""
    with pytest.raises(ValueError, match="one length"):
        StepReadings(
            epoch=1,
            train_loss=np.zeros(3, np.float32),
            learning_rate=np.zeros(2, np.float32),
            gradient_norm=np.zeros(3, np.float32),
            clipped=np.zeros(3, np.bool_),
        )


def test_what_was_written_is_read_back(storage_url: str) -> None:
    """Epochs with layers, steps on request, and both probes; NaN and infinity survive both engines."""
    tables = study(storage_url).telemetry
    layers = (
        LayerReadings(name="0", gradient_norm=1.5, update_ratio=1e-3, weight_norm=7.0),
        LayerReadings(name="2"),
    )
    rows = [
        EpochReadings(epoch=0, train_loss=2.3, validation_accuracy=0.1),
        EpochReadings(
            epoch=1, train_loss=math.inf, dead_fraction=0.25, confidence=0.7, confident_error_rate=0.01,
            class_accuracy=(0.5, math.nan, 1.0), probe_loss=1 / 3, probe_accuracy=0.9, layers=layers,
        ),
    ]  # fmt: skip
    layer = LayerProbe(
        name="0", output_std=1.0, weight_gain=1.4, twin_fraction=0.5, is_trainable=False, spectral_ratio=2.0
    )
    step_zero = StepZeroProbe(
        train_loss=2.3, expected_loss=2.302, gradient_norm=0.5, output_low=-1.0, output_high=2.0,
        output_sum_error=0.5, repeat_difference=0.0, layers=(layer,),
    )  # fmt: skip
    data = DataProbe(
        n_train=8, n_validation=2, n_test=0, input_min=0, input_max=1, input_mean=0.1, input_std=0.3,
        train_class_counts=(4, 4), validation_class_counts=(1, 1), overlap_fraction=0.5, leak_accuracy=1.0,
        n_leak_features=10, label_disagreement=0.25, clear_disagreement=0.5, neighbor_guidance=0.75,
        input_shift=0.125,
    )  # fmt: skip
    tables.save_probes(7, step_zero, data)
    tables.save_epoch(7, rows[0], None)
    tables.save_epoch(7, rows[1], steps(1))
    read = tables.read(steps=True)[7]
    assert same(read.epochs, tuple(rows))
    assert same(read.step_zero, step_zero)
    assert same(read.data, data)
    assert same(read.steps[0], steps(1))
    assert tables.read()[7].steps == ()
    assert tables.read(trial_ids=[8]) == {}


def test_code_and_counterfactuals_are_read_back(storage_url: str) -> None:
    """Alone or beside epochs, and what is written again replaces what was there."""
    tables = study(storage_url).telemetry
    code = CodeProbe(stale_gradient_share=1.0, n_layers_without_gradient=2, loss_kind="nll")
    short = [
        Counterfactual(change=change, n_steps=200, loss_before=1.0, loss_after=0.5, unchanged_loss_after=0.9)
        for change in ("one", "other")
    ]
    tables.save_code(7, CodeProbe(loss_of_probabilities=True))
    tables.save_code(7, code)
    tables.save_counterfactuals(8, short[:1])
    tables.save_counterfactuals(8, short)
    tables.save_epoch(8, EpochReadings(epoch=0, train_loss=1.0), None)
    read = tables.read()
    assert same(read[7].code, code)
    assert read[7].counterfactuals == read[7].epochs == ()
    assert read[8].code is None
    assert read[8].counterfactuals == tuple(short)
    assert tables.read(trial_ids=[8]).keys() == {8}


def test_a_database_of_before_is_read(sqlite_url: str) -> None:
    """Without the newer table what it keeps was not read; nothing is written to it, and a writer adds it."""
    recorded = study(sqlite_url, "old")
    row = EpochReadings(epoch=1, train_loss=1.0, validation_loss=2.0, confidence=0.5)
    recorded.telemetry.save_epoch(3, row, None)
    schema.readings.drop(recorded.storage.engine)
    (epoch,) = open_study("old", sqlite_url).telemetry.read()[3].epochs
    assert (epoch.train_loss, epoch.validation_loss) == (1.0, 2.0)
    assert math.isnan(epoch.confidence)
    assert epoch.class_accuracy == ()
    study(sqlite_url, "new").telemetry.save_epoch(4, row, None)
    assert open_study("new", sqlite_url).telemetry.read()[4].epochs[0].confidence == 0.5


def test_a_forgotten_study_leaves_no_readings(sqlite_url: str) -> None:
    """What the newer table keeps goes with the rest."""
    recorded, other = study(sqlite_url, "one"), study(sqlite_url, "two")
    for each in (recorded, other):
        each.telemetry.save_epoch(each.study_id, EpochReadings(epoch=1, train_loss=1.0), None)
        each.telemetry.save_code(each.study_id, CodeProbe())
    with recorded.storage.engine.begin() as connection:
        schema.forget_study(connection, recorded.study_id)
    with recorded.storage.engine.connect() as connection:
        left = connection.execute(sa.select(schema.readings.c.study_id, schema.readings.c.name)).all()
    assert sorted(left) == [(other.study_id, "code"), (other.study_id, "epoch")]


def test_an_epoch_written_again_replaces_the_first(sqlite_url: str) -> None:
    """A resumed trial repeats the epoch in which it was interrupted."""
    tables = study(sqlite_url).telemetry
    for loss in (2.0, 1.0):
        tables.save_epoch(1, EpochReadings(epoch=1, train_loss=loss), None)
    assert tables.read()[1].series("train_loss").tolist() == [1.0]


def test_tables_are_of_one_study(sqlite_url: str) -> None:
    """Two studies in one database do not see each other's telemetry."""
    first, second = study(sqlite_url, "one").telemetry, study(sqlite_url, "two").telemetry
    first.save_epoch(1, EpochReadings(epoch=0, train_loss=1.0), None)
    assert second.read() == {}
    assert list(first.read()) == [1]


def test_frames_have_a_row_for_each_reading(sqlite_url: str) -> None:
    """Epochs, layers and steps as pandas tables."""
    tables: TelemetryTables = study(sqlite_url).telemetry
    layers = (LayerReadings(name="0", gradient_norm=1.0), LayerReadings(name="2", gradient_norm=2.0))
    for epoch in (1, 2):
        tables.save_epoch(5, EpochReadings(epoch=epoch, train_loss=1 / epoch, layers=layers), steps(epoch))
    epochs, by_layer, by_step = tables.epochs_frame(), tables.layers_frame(), tables.steps_frame(5)
    assert epochs[["trial_id", "epoch", "train_loss"]].to_numpy().tolist() == [[5, 1, 1.0], [5, 2, 0.5]]
    assert by_layer["name"].tolist() == ["0", "2", "0", "2"]
    assert by_layer["gradient_norm"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert by_step["epoch"].tolist() == [1, 1, 1, 2, 2, 2]
    assert by_step["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert by_step["clipped"].tolist() == [True, False, True] * 2
    assert tables.steps_frame(6).empty
    assert list(study(sqlite_url, "empty").telemetry.epochs_frame().columns[:2]) == ["trial_id", "epoch"]
