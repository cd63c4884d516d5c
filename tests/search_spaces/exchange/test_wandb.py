"""W&B sweeps in: 50 and more files of all kinds and traps, and W&B's own sampling as an oracle."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from search_spaces.catalog import lever as catalog_lever
from search_spaces.errors import ConfigurationError
from search_spaces.exchange.config_names import METRIC_NAMES
from search_spaces.exchange.imported import Choices, Source
from search_spaces.exchange.importing import import_space
from search_spaces.exchange.wandb.distributions import FORMS
from search_spaces.exchange.wandb.sweep import TOP_KEYS
from search_spaces.lever import Family
from tests.search_spaces.exchange.sweep_cases import CASES, SWEEPS
from tests.search_spaces.exchange.sweep_outcomes import Refused, c, f, i, read


def test_every_sweep_has_a_row() -> None:
    """The table is the folder: 40 files and more, of all 18 distributions."""
    files = {path.name for path in SWEEPS.iterdir()}
    assert files == set(CASES)
    assert len(files) >= 40
    assert len(FORMS) == 18
    written = {
        name
        for path in files
        for name in re.findall(r"distribution: (\w+)", (SWEEPS / path).read_text(encoding="utf-8"))
    }
    assert {*FORMS} <= written


def test_the_page_has_every_distribution_and_key() -> None:
    """What becomes of each is told in docs/import.md."""
    page = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")
    rows = {
        word
        for line in page.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert rows >= {
        *FORMS,
        *TOP_KEYS,
        *METRIC_NAMES,
        *(f"{name}Distribution" for name in ("Float", "Int", "Categorical")),
    }


@pytest.mark.parametrize("name", CASES)
def test_a_sweep_is_read_or_refused_by_name(name: str) -> None:
    """Levers, fixed keys and settings are as expected, and every sentence told is one that was expected."""
    case = CASES[name]
    if isinstance(case, Refused):
        with pytest.raises(ConfigurationError, match=r"must") as caught:
            import_space(SWEEPS / name)
        lines = str(caught.value).splitlines()
        assert_told(lines[1:] if len(lines) > 1 else lines, case.faults)
        return
    imported = import_space(SWEEPS / name)
    assert imported.source is Source.WANDB
    assert imported.space.distributions() == case.levers
    assert list(imported.space.names) == list(case.levers)
    assert [type(value) for value in imported.space.fixed.values()] == [type(v) for v in case.fixed.values()]
    assert imported.space.fixed == pytest.approx(case.fixed)
    assert imported.settings.options() == case.options
    assert_told(imported.notes, case.notes)
    assert_told(imported.warnings, case.warnings)
    assert_told(imported.not_carried, case.not_carried)


def assert_told(sentences: Any, parts: tuple[str, ...]) -> None:
    told = list(sentences)
    assert len(told) == len(parts), told
    for sentence, part in zip(told, parts, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("beta.yaml", {"dropout": f(0, 1)}),
        (
            "log_normal.yaml",
            {"learning_rate": f(0.00050045143, 0.20189651800, log=True), "width": i(12, 245, log=True)},
        ),
        (
            "normal.yaml",
            {
                "gain": f(0.7, 1.3),
                "noise": f(-3, 3),
                "units": i(16, 112, step=8),
                "share": f(0, 1, step=0.25),
            },
        ),
    ],
)
def test_truncation_takes_the_range(name: str, expected: dict[str, Any]) -> None:
    """With `truncate` an unbounded distribution is its mu +- 3 sigma, and its lost shape is told."""
    imported = import_space(SWEEPS / name, choices=Choices(truncate=True))
    found: dict[str, Any] = {**imported.space.distributions()}
    assert {key: type(value) for key, value in found.items()} == {key: type(v) for key, v in expected.items()}
    for key, wanted in expected.items():
        assert found[key].low == pytest.approx(wanted.low, rel=1e-6)
        assert found[key].high == pytest.approx(wanted.high, rel=1e-6)
        assert (found[key].step, found[key].log) == (wanted.step, wanted.log)
        assert any(
            f"{key}: Optuna has no" in warning and "shape is lost" in warning for warning in imported.warnings
        )


def test_the_user_says_what_log_uniform_means() -> None:
    """Bounds that look like values are read as the user says: as values, or as W&B's exponents."""
    path = SWEEPS / "exponents_that_are_values.yaml"
    values = import_space(path, choices=Choices(log_uniform_as="values")).space.distributions()
    assert values == {
        "learning_rate": f(1e-5, 0.1, log=True),
        "batch_size": i(16, 256, log=True),
        "weight_decay": f(0.01, 10, log=True),
    }
    with pytest.raises(
        ConfigurationError, match=r"8.88611e\+06..1.51143e\+111, which no hyperparameter is"
    ) as caught:
        import_space(path, choices=Choices(log_uniform_as="exponents"))
    assert str(caught.value).count("\n") == 1
    with pytest.raises(
        ConfigurationError, match="log_uniform_as must be exponents or values, but got 'both'"
    ):
        Choices(log_uniform_as="both")


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [
        (0.2, 0.9, True),  # at most 1
        (0.05, 5, True),  # two decades apart
        (16, 21, True),  # e^21 is beyond a billion
        (0.5, 5, False),
        (1, 20, False),
        (0, 0.1, True),  # nobody searches from 1 to 1.105; 0 was meant as nearly nothing
        (0, 1, True),
        (0, 5, False),
        (-5, -1, False),
    ],
)
def test_which_bounds_look_like_values(low: float, high: float, refused: bool, tmp_path: Path) -> None:
    """Not negative, and at most 1, two decades apart or of powers beyond a billion."""
    spec = {"x": {"distribution": "log_uniform", "min": low, "max": high}}
    if refused:
        with pytest.raises(
            ConfigurationError, match=r"x: W&B takes .* but they look like the values themselves"
        ):
            read(tmp_path, spec)
    else:
        distribution = read(tmp_path, spec).space["x"].distribution
        assert isinstance(distribution, FloatDistribution)
        assert (distribution.low, distribution.high) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(9.2, 23.1, False), (0.5, 21, False), (0.001, 0.1, True), (0, 0.1, True), (1e-2, 30, True)],
)
def test_inverse_exponents_may_be_large(low: float, high: float, refused: bool, tmp_path: Path) -> None:
    """1e-10 to 1e-4 is a range of weight decays: only powers upwards can be beyond all hyperparameters."""
    spec = {"x": {"distribution": "inv_log_uniform", "min": low, "max": high}}
    if refused:
        with pytest.raises(ConfigurationError, match="they look like the values themselves"):
            read(tmp_path, spec)
    else:
        distribution = read(tmp_path, spec).space["x"].distribution
        assert distribution == FloatDistribution(
            float(f"{math.exp(-high):.12g}"), float(f"{math.exp(-low):.12g}"), log=True
        )


def test_names_may_be_kept() -> None:
    """Without renaming, names and words stay as the sweep has them."""
    imported = import_space(SWEEPS / "bayes_tutorial.yaml", choices=Choices(rename=False))
    assert imported.space.names == ("lr", "optimizer", "fc_layer_size", "dropout")
    assert imported.space["optimizer"].distribution == c("Adam", "SGD")
    assert not any(" is learning_rate " in note for note in imported.notes)


def wandb_draw(distribution: str, low: float, high: float, q: float, u: float) -> float:
    """What W&B draws at the quantile u: an independent statement of its sampler."""
    if distribution == "int_uniform":
        return min(math.floor(low + u * (high - low + 1)), high)
    if distribution == "inv_log_uniform":
        value = math.exp(-(low + (high - low) * (1 - u)))
    elif distribution in {"log_uniform", "q_log_uniform"}:
        value = math.exp(low + (high - low) * u)
    elif "log" in distribution:
        value = math.exp(math.log(low) + (math.log(high) - math.log(low)) * u)
    else:
        value = low + (high - low) * u
    return round(value / q) * q if distribution.startswith("q_") else value


SAMPLED = [
    "uniform", "int_uniform", "q_uniform", "log_uniform", "inv_log_uniform", "q_log_uniform", "log_uniform_values",
    "inv_log_uniform_values", "q_log_uniform_values",
]  # fmt: skip


@given(
    st.sampled_from(SAMPLED),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(1, 7),
    st.lists(st.floats(0, 1)),
)
@settings(deadline=None)
def test_what_wandb_draws_lies_in_the_range(
    tmp_path_factory: pytest.TempPathFactory, name: str, low: int, more: int, q: int, quantiles: list[float]
) -> None:
    """Every value that W&B draws within its own bounds is one of the lever's, and both ends are W&B's too."""
    is_log, is_exponent = "log" in name, name in {"log_uniform", "inv_log_uniform", "q_log_uniform"}
    bounds = (low / 10 - 3, low / 10 - 3 + more / 10) if is_exponent else (low, low + more)
    spec: dict[str, Any] = {"distribution": name, "min": bounds[0], "max": bounds[1]}
    if name.startswith("q_"):
        q = 1 if is_log else q
        spec["q"] = q
        assume(is_log or math.ceil(low / q) <= (low + more) // q)
    folder = tmp_path_factory.getbasetemp()
    imported = read(folder, {"x": spec}, Choices(log_uniform_as="exponents" if is_exponent else None))
    lever = imported.space["x"]
    ends = [wandb_draw(name, *bounds, q, u) for u in (0.0, 1.0)]
    low_end, high_end = lever.grid(2)[0], lever.grid(2)[-1]
    assert isinstance(low_end, int | float)
    assert isinstance(high_end, int | float)
    if not name.startswith("q_"):
        assert (low_end, high_end) == pytest.approx(sorted(ends))
    for u in quantiles:
        value = wandb_draw(name, *bounds, q, u)
        outside = not low_end * (1 - 1e-9) <= value <= high_end * (1 + 1e-9)
        if name == "q_uniform" and outside:
            assert not bounds[0] <= value <= bounds[1]
        elif name == "q_log_uniform" and outside:
            assert value == 0
        elif not isinstance(lever.distribution, FloatDistribution):
            assert lever.contains(round(value))
        else:
            assert not outside


def test_a_key_that_the_catalog_searches_on_another_scale(tmp_path: Path) -> None:
    """Momentum stays momentum, on W&B's own range, with what the catalog says of the key on any scale."""
    [lever] = read(tmp_path, {"momentum": {"min": 0.5, "max": 0.99}}).space
    assert (lever.name, lever.key, lever.distribution) == ("momentum", "momentum", f(0.5, 0.99))
    assert lever.family is catalog_lever("momentum").family is Family.OPTIMIZATION
    assert lever.contains(0.9)


def test_a_long_grid_of_quantized_values_stays_a_range(tmp_path: Path) -> None:
    """Beyond a thousand points nobody wants a list."""
    spec = {"distribution": "q_uniform", "min": 0, "max": 4000, "q": 2}
    imported = read(tmp_path, {"width": spec}, method="grid")
    assert imported.space["width"].distribution == i(0, 4000, step=2)
    assert imported.warnings == (
        "width: W&B's grid has all 2000 points; here a grid has --resolution points of them",
    )
