from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.catalog import CONDITIONS, LEVERS, conditions_for
from search_spaces.catalog import lever as catalog_lever
from search_spaces.errors import ConfigurationError
from search_spaces.files import ALWAYS, load_space, save_space, space_text, write_text
from search_spaces.lever import Family, Value
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Condition, Role, Space
from tests.strategies import spaces


def load(folder: Path, text: str) -> Space:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError, match=r"mine\.yaml must describe a space, but:") as caught:
        load(folder, text)
    return str(caught.value).splitlines()[1:]


@given(spaces())
@settings(deadline=None)
def test_any_space_round_trips(tmp_path_factory: pytest.TempPathFactory, space: Space) -> None:
    """A saved space is loaded as it was, with every word that YAML might take for something else."""
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    save_space(space, path)
    loaded = load_space(path)
    assert loaded == space
    assert loaded.fingerprint() == space.fingerprint()


@st.composite
def catalog_spaces(draw: st.DrawFn) -> Space:
    """Catalog levers and fixed keys that conditions ask about; each condition is the catalog's, another or left out."""
    chosen = draw(st.sets(st.sampled_from(LEVERS), max_size=8))
    levers = tuple(known for known in LEVERS if known in chosen)
    words: dict[str, list[Value]] = {
        "optimizer": ["sgd", "adam"],
        "clipping": [True],
        "model": ["mlp", "cnn", "mine:build"],
    }
    keys = sorted(set(words) - {known.key for known in levers})
    fixed = (
        {key: draw(st.sampled_from(words[key])) for key in draw(st.sets(st.sampled_from(keys)))}
        if keys
        else {}
    )
    conditions = {}
    for name, known in conditions_for(levers, fixed).items():
        other = Condition(key=known.key, values=(1 if known.values == (True,) else known.values[0],))
        said = draw(st.sampled_from([known, other, None]))
        index = [lever.name for lever in levers].index(name)
        if said is not None and said.may_hold(levers[:index], fixed):
            conditions[name] = said
    return Space(name="some", levers=levers, conditions=conditions, fixed=fixed)


@given(catalog_spaces())
@settings(deadline=None)
def test_conditions_round_trip(tmp_path_factory: pytest.TempPathFactory, space: Space) -> None:
    """A file says of a catalog lever's condition only where it differs, and loads to the same space."""
    path = tmp_path_factory.getbasetemp() / "conditions.yaml"
    save_space(space, path)
    assert load_space(path).fingerprint() == space.fingerprint()
    said = [name for name, known in conditions_for(space.levers, space.fixed).items()
            if repr(space.conditions.get(name)) != repr(known)]  # fmt: skip
    assert path.read_text(encoding="utf-8").count("when:") == len(said)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip_and_read_well(name: str, tmp_path: Path) -> None:
    """A preset's file says of a catalog lever only what differs."""
    path = tmp_path / "sub" / f"{name}.yaml"
    save_space(preset(name), path)
    assert load_space(str(path)) == preset(name)
    assert load_space(name) is preset(name)
    text = path.read_text(encoding="utf-8")
    assert "reason" not in text
    assert "anchor" not in text
    if name in {"quick", "mlp"}:
        assert "weight_decay: null" in text
        assert "type:" not in text
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_friendly_form(tmp_path: Path) -> None:
    """Short forms, numbers as people write them, conditions, roles, fixed keys and levers of one's own."""
    space = load(
        tmp_path,
        """
        description: all the forms
        levers:
          learning_rate: {low: 1e-3, high: 1}
          optimizer: [sgd, adamw]
          one_minus_momentum: {when: {optimizer: sgd}}
          dropout:
          width: {type: int, low: 16, high: 64, step: 16}
          heads: {type: categorical, choices: [2, 4]}
          gain: {type: float, low: .5, high: 2e0, log: true, when: {optimizer: [sgd, adamw]}, default: 1}
          layers: {type: int, low: 010, high: 12, key: n_layers, family: batching, structural: true}
        fixed: {batch_size: 128, class_weights: off, warmup_fraction: 5e-2}
        roles: {dropout: nuisance}
        """,
    )
    assert space.name == "mine"
    assert space["learning_rate"].distribution == FloatDistribution(1e-3, 1, log=True)
    assert space["optimizer"].distribution == CategoricalDistribution(("sgd", "adamw"))
    assert space["dropout"] == preset("mlp")["dropout"].within(high=0.6)
    assert space["width"].distribution == IntDistribution(16, 64, step=16)
    assert space["width"].family is Family.ARCHITECTURE
    assert space["width"].structural
    assert (space["heads"].default, space["heads"].family, space["heads"].key) == (
        2,
        Family.ARCHITECTURE,
        "heads",
    )
    assert space["gain"].default == 1
    layers = space["layers"]
    assert (layers.default, layers.key, layers.family, layers.structural) == (
        10,
        "n_layers",
        Family.BATCHING,
        True,
    )
    assert space.conditions["one_minus_momentum"] == Condition(key="optimizer", values=("sgd",))
    assert space.conditions["gain"].values == ("sgd", "adamw")
    assert space.fixed == {"batch_size": 128, "class_weights": "off", "warmup_fraction": 0.05}
    assert space.roles["dropout"] is Role.NUISANCE


def test_a_catalog_lever_brings_its_condition(tmp_path: Path) -> None:
    """Where the file decides the condition's key, and says nothing else; `always` leaves it out."""
    text = "levers: {optimizer: , momentum_like: {type: float, low: 0, high: 1}, one_minus_momentum: , "
    text += "weight_decay_kind: , clipping: , clip_norm: , epsilon: {when: always}, step_size: , "
    text += "one_minus_beta1: {when: {optimizer: adam}}}"
    space = load(tmp_path, text)
    assert space.conditions == {
        **{name: CONDITIONS[name] for name in ("one_minus_momentum", "weight_decay_kind", "clip_norm")},
        "one_minus_beta1": Condition(key="optimizer", values=("adam",)),
    }
    assert "when: always" in space_text(space)
    assert load(tmp_path, "fixed: {optimizer: sgd}\nlevers: {nesterov: }").conditions == {
        "nesterov": CONDITIONS["nesterov"]
    }


def test_a_grid_of_a_users_levers_has_no_point_that_means_nothing(tmp_path: Path) -> None:
    """AdamW has no l2, and without clipping there is no norm to search."""
    kinds = load(tmp_path, "levers: {optimizer: [adamw, adam], weight_decay_kind: }")
    assert [kinds.config(point) for point in kinds.grid()] == [
        {"optimizer": "adamw"},
        {"optimizer": "adam", "weight_decay_kind": "l2"},
        {"optimizer": "adam", "weight_decay_kind": "decoupled"},
    ]
    assert load(tmp_path, "levers: {clipping: , clip_norm: }").n_grid_points(5) == 1 + 5


def test_a_catalog_condition_that_cannot_be(tmp_path: Path) -> None:
    """A lever that means nothing in its space, or comes before what decides it, is told so with the way out."""
    [impossible] = faults_of(tmp_path, "fixed: {model: cnn}\nlevers: {depth: }")
    assert impossible == (
        "- depth can never exist: model is mlp is not possible here (`when: always` would search it everywhere)"
    )
    [late] = faults_of(tmp_path, "levers: {nesterov: , optimizer: }")
    assert late.startswith(
        "- optimizer must come before nesterov, which exists only where optimizer is sgd ("
    )
    always = load(tmp_path, f"levers: {{nesterov: {{when: {ALWAYS}}}, optimizer: }}")
    assert (always.names, always.conditions) == (("nesterov", "optimizer"), {})
    [empty] = faults_of(tmp_path, "levers: {nesterov: {when: }}")
    assert empty == "- nesterov: when must be one key with its values, or always, but got None"


def test_a_model_of_ones_own_may_use_any_lever(tmp_path: Path) -> None:
    """The catalog does not know what a function's network reads, so it leaves depth to it."""
    assert load(tmp_path, "fixed: {model: 'mine:build'}\nlevers: {depth: }").conditions == {}
    other = load(tmp_path, "fixed: {model: cnn}\nlevers: {depth: {key: n_blocks}}")
    assert (other.names, other.conditions) == (("depth",), {})
    both = load(tmp_path, "levers: {model: [mlp, cnn, 'mine:build'], depth: }")
    assert both.conditions["depth"].values == ("mlp", "mine:build")


def test_a_key_that_is_searched_under_another_name(tmp_path: Path) -> None:
    """`tuner levers momentum` knows it, so the fault says how it is searched."""
    [fault] = faults_of(tmp_path, "levers: {momentum: }")
    assert fault.startswith(
        "- momentum: momentum is searched as one_minus_momentum (`tuner levers momentum`)"
    )


def test_a_type_begins_anew(tmp_path: Path) -> None:
    """With `type`, nothing of the catalog's range is kept: neither its log nor a bound."""
    space = load(tmp_path, "levers: {learning_rate: {type: float, low: 0, high: 2}}")
    assert space["learning_rate"].distribution == FloatDistribution(0, 2)
    [fault] = faults_of(tmp_path, "levers: {learning_rate: {type: float, low: 0.1}}")
    assert fault.endswith("must have low and high, but high is missing")


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    """Each fault of a file is a line of one error, and none of them follows from another."""
    faults = faults_of(
        tmp_path,
        """
        nme: x
        description: 3
        levers:
          learning_rate: {low: high, hihg: 1}
          depth: 3
          dropout: {low: 0.9, when: {learning_rate: 1}}
          optimizer: {low: 1}
          widht: {type: int, low: 1}
          fooo:
          batch_size: {when: {schedule: cosine}}
          schedule:
          clip_norm: {when: sgd}
        roles: {depth: nuisance, optimizer: nuisanse}
        fixed: {x: [1]}
        """,
    )
    expected = [
        "a field of a space file must be one of name, description, levers, fixed, roles, but got 'nme'. Did",
        "a field of learning_rate must be one of type, low,",
        "learning_rate: low must be a number, but got 'high'",
        "depth must be empty, a list of choices or a mapping, but got 3 (to hold",
        "dropout: `low <= high` must hold",
        "optimizer: a lever of type categorical must have choices, but low does not belong to it",
        "widht: a lever of type int must have low and high, but high is missing",
        "fooo: a lever without `type` (float, int, categorical) must be one of learning_rate,",
        "clip_norm: when must be one key with its values, or always, but got 'sgd'",
        "the role of optimizer must be one of scientific, nuisance, fixed, but got 'nuisanse'. Did",
        "description must be text, but got 3",
        "schedule must come before batch_size, which exists only where schedule is cosine",
        "the fixed value of x must be a word, a finite number, true or false, but got [1]",
    ]
    assert [fault[2 : 2 + len(start)] for fault, start in zip(faults, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (
            "{type: number, low: 1, high: 2}",
            "own: type must be one of float, int, categorical, but got 'number'",
        ),
        ("{type: float, low: 1, high: .inf}", "own: high must be a number, but got '.inf'"),
        ("{type: float, low: 1, high: 2, log: yes}", "own: log must be true or false, but got 'yes'"),
        ("{type: int, low: 1, high: 2, step: big}", "own: step must be a number or empty, but got 'big'"),
        (
            "{type: categorical, choices: []}",
            "own: choices must be a list of words, numbers, true or false, but",
        ),
        (
            "{type: int, low: 1, high: 2, default: [1]}",
            "own: default must be a word, a number, true or false, or empty, but",
        ),
        ("{type: int, low: 1, high: 2, family: bath}", "own: family must be one of optimization, batching,"),
        (
            "{type: int, low: 1, high: 2, scale: log}",
            "own: scale must be one of identity, one_minus, but got 'log'",
        ),
        ("{type: int, low: 1, high: 2, key: 3}", "own: key must be text, but got 3"),
        (
            "{type: int, low: 1, high: 4, step: 2}",
            "own: `step` must divide `high - low`, but got low=1, high=4",
        ),
        ("{type: categorical, choices: [1, 1.0]}", "own: The lever 'own' cannot be: its choices must differ"),
        (
            "{type: int, low: 1, high: 2, when: {depth: []}}",
            "own: A condition must have a key and at least one",
        ),
        (
            "{type: int, low: 1, high: 2, choices: [1]}",
            "own: a lever of type int must have low and high, but choices",
        ),
    ],
)
def test_faults_of_a_lever(spec: str, fault: str, tmp_path: Path) -> None:
    """Each field of a lever says what it must be."""
    [told] = faults_of(tmp_path, f"levers:\n  depth:\n  own: {spec}\n")
    assert told.startswith(f"- {fault}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "- a space file must be a mapping, but got None"),
        ("- a\n- b", "- a space file must be a mapping, but got ['a', 'b']"),
        ("name: x", "- levers must be a mapping, but got None"),
        ("levers: {}\nfixed: 3", "- fixed must be a mapping, but got 3"),
    ],
)
def test_a_file_of_another_shape(text: str, fault: str, tmp_path: Path) -> None:
    """A file that is no mapping is told so."""
    assert fault in faults_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("levers: [1", "while parsing"),
        ("levers: {depth: , depth: [1]}", "the key 'depth' is there twice .*line 1"),
        ("name: !!float x\nlevers: {}", "'x' is no float .*line 1"),
        ("name: !!float ''", "'' is no float"),
        ("name: !!bool x", "'x' is no bool"),
        ("name: !!timestamp x", "'x' is no timestamp"),
        (f"name: {'9' * 5000}", "'999.* is no int"),
    ],
)
def test_a_file_that_is_no_yaml(text: str, problem: str, tmp_path: Path) -> None:
    """Broken YAML, and a key that is there twice, are told in one line with the place."""
    with pytest.raises(
        ConfigurationError, match=rf"must be YAML, but .*mine\.yaml is not: {problem}"
    ) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "levers: &levers {depth: *levers}",
        "levers: &all [*all]",
        "levers: " + "[" * 60 + "]" * 60,
        "[" * 3000 + "]" * 3000,
    ],
)
def test_a_file_without_end(text: str, tmp_path: Path) -> None:
    """An alias that contains itself, and nesting beyond all need, are one sentence."""
    with pytest.raises(ConfigurationError, match=r"must be nested at most 50 levels deep, but .* is deeper"):
        load(tmp_path, text)


def test_a_number_beyond_all_floats(tmp_path: Path) -> None:
    """A whole number of 401 digits is no finite number."""
    [fault] = faults_of(tmp_path, f"levers: {{learning_rate: {{high: 1{'0' * 400}}}}}")
    assert fault.startswith("- learning_rate: high must be a number, but got 1000")


def test_a_name_that_is_neither_preset_nor_file() -> None:
    """A typing error in a preset's name is answered with the name that was meant."""
    with pytest.raises(
        ConfigurationError, match=r"A space must be one of quick, mlp, .* Did you mean 'quick'"
    ):
        load_space("quik")


def test_equal_choices_keep_their_types(tmp_path: Path) -> None:
    """Choices that equal the catalog's but are no whole numbers are written, so that the fingerprint stays."""
    width = catalog_lever("width").among([32.0, 64.0, 128.0, 256.0, 512.0])
    assert width == catalog_lever("width")
    space = Space(name="whole", levers=(width,))
    save_space(space, tmp_path / "whole.yaml")
    assert load_space(tmp_path / "whole.yaml").fingerprint() == space.fingerprint()


def test_saving_replaces_whole_files(tmp_path: Path) -> None:
    """A second save replaces the first, and leaves nothing else behind."""
    path = tmp_path / "mine.yaml"
    save_space(preset("mlp"), path)
    changed = replace(preset("quick"), roles={"dropout": Role.NUISANCE})
    save_space(changed, path)
    assert load_space(path) == changed
    assert [file.name for file in tmp_path.iterdir()] == ["mine.yaml"]


def test_where_no_file_can_be(tmp_path: Path) -> None:
    """A folder, and a place below a file, are refused before anything is written."""
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match=r"must not be a folder, but .* is one"):
        save_space(preset("quick"), tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"must lie in a folder, but .*out would lie in .*file, a file"
    ):
        write_text("text", tmp_path / "file" / "sub" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Not even the temporary file."""
    with pytest.raises(UnicodeEncodeError):
        write_text("\ud800", tmp_path / "out")
    assert [*tmp_path.iterdir()] == []
