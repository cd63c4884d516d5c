"""Hypothesis strategies: levers, spaces and edits of every shape that is allowed."""

from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.catalog import LEVERS
from search_spaces.edits import Edit, EditKind
from search_spaces.lever import Family, Lever, Scale, Value
from search_spaces.space import Condition, Role, Space

# Words that YAML 1.1 or 1.2 could take for something else are the interesting ones.
words = st.sampled_from(
    ["off", "no", "null", "~", "1e3", "010", "1:30", "true", "2001-01-01", "0x1F", ".5", "é ü"]
)
numbers = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
values = st.booleans() | numbers | words | st.text(min_size=1, max_size=5)
names = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)


@st.composite
def float_ranges(draw: st.DrawFn) -> FloatDistribution:
    """Linear, logarithmic or stepped ranges."""
    if draw(st.booleans()):
        bounds = sorted(draw(st.tuples(st.floats(1e-8, 1e3), st.floats(1e-8, 1e3))))
        return FloatDistribution(*bounds, log=True)
    if draw(st.booleans()):
        low, step, n_steps = (
            draw(st.integers(-4, 4)),
            draw(st.sampled_from([0.25, 0.5, 2.0])),
            draw(st.integers(0, 9)),
        )
        return FloatDistribution(low, low + n_steps * step, step=step)
    bounds = sorted(draw(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))))
    return FloatDistribution(*bounds)


@st.composite
def int_ranges(draw: st.DrawFn) -> IntDistribution:
    """Linear, logarithmic or stepped ranges of whole numbers."""
    low, step, n_steps = draw(st.integers(1, 50)), draw(st.integers(1, 5)), draw(st.integers(0, 20))
    log = draw(st.booleans()) and step == 1
    return IntDistribution(low, low + n_steps * step, log=log, step=step)


@st.composite
def choices(draw: st.DrawFn) -> CategoricalDistribution:
    """One to four choices of one kind or of several."""
    return CategoricalDistribution(draw(st.lists(values, min_size=1, max_size=4, unique=True)))


@st.composite
def levers(draw: st.DrawFn, name: str | None = None) -> Lever:
    """A lever of the catalog or a user's own, whose key is its name or another."""
    if name is None and draw(st.booleans()):
        return draw(st.sampled_from(LEVERS))
    name = name or draw(names)
    one_minus = draw(st.booleans())
    if one_minus:
        bounds = sorted(draw(st.tuples(st.integers(1, 1000), st.integers(1, 1000))))
        distribution = FloatDistribution(bounds[0] / 1000, bounds[1] / 1000, log=draw(st.booleans()))
    else:
        distribution = draw(float_ranges() | int_ranges() | choices())
    is_choice = isinstance(distribution, CategoricalDistribution)
    ends = st.tuples(numbers, numbers).map(sorted).map(tuple)
    return Lever(
        name=name,
        distribution=distribution,
        default=draw(st.none() | (values if is_choice else numbers)),
        family=draw(st.sampled_from(Family)),
        key=draw(st.sampled_from(["", f"{name}_key"])),
        scale=Scale.ONE_MINUS if one_minus else Scale.IDENTITY,
        structural=draw(st.booleans()),
        reason=draw(st.sampled_from(["", "why: because"])),
        anchor=draw(st.just(()) | (st.lists(values, max_size=3).map(tuple) if is_choice else ends)),
    )


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to five levers, some of which exist only where an earlier lever or a fixed key has some value."""
    drawn = draw(
        st.lists(levers(), max_size=5, unique_by=(lambda lever: lever.name, lambda lever: lever.key))
    )
    fixed = draw(st.dictionaries(names, values, max_size=2))
    fixed = {key: value for key, value in fixed.items() if key not in {lever.key for lever in drawn}}
    conditions = {}
    for index, lever in enumerate(drawn):
        parents: dict[str, list[Value]] = {
            parent.key: [parent.to_config(point) for point in parent.grid(2)] for parent in drawn[:index]
        } | {key: [value] for key, value in fixed.items()}
        if parents and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(parents)))
            conditions[lever.name] = Condition(key=key, values=(draw(st.sampled_from(parents[key])),))
    roles = {lever.name: draw(st.sampled_from([Role.SCIENTIFIC, Role.NUISANCE])) for lever in drawn}
    return Space(
        name=draw(names),
        levers=tuple(drawn),
        roles=roles,
        conditions=conditions,
        fixed=fixed,
        description=draw(st.sampled_from(["", "What it is: a test."])),
    )


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Well-formed edits of catalog levers; whether one fits a space is another matter."""
    kind = draw(st.sampled_from(EditKind))
    lever = draw(st.sampled_from([name for lever in LEVERS for name in (lever.name, lever.key)]))
    if kind is EditKind.FIX:
        return Edit(kind=kind, lever=lever, value=draw(values))
    if kind not in {EditKind.WIDEN, EditKind.NARROW}:
        return Edit(kind=kind, lever=lever)
    if draw(st.booleans()):
        return Edit(kind=kind, lever=lever, choices=tuple(draw(st.lists(values, min_size=1, max_size=3))))
    low, high = draw(st.none() | numbers), draw(numbers)
    return Edit(kind=kind, lever=lever, low=low, high=high)
