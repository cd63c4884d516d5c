"""The transfer sets by name."""

from collections.abc import Mapping
from typing import TypeVar

from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer import fifth, first, fourth, second, third
from benchmarks.diagnosis.transfer.fifth_recipe import Recipe as FifthRecipe
from benchmarks.diagnosis.transfer.first_recipe import Recipe as FirstRecipe
from benchmarks.diagnosis.transfer.fourth_recipe import Recipe as FourthRecipe
from benchmarks.diagnosis.transfer.second_recipe import Recipe as SecondRecipe
from benchmarks.diagnosis.transfer.third_recipe import Recipe as ThirdRecipe
from benchmarks.diagnosis.transfer.transfer_set import TransferSet
from studies.diagnosis import CauseName

RecipeT = TypeVar("RecipeT", SecondRecipe, ThirdRecipe, FourthRecipe, FifthRecipe)


def _train_first(recipe: FirstRecipe, name: str, seed: int) -> Run:
    # torch only where something is trained: scores need none
    from benchmarks.diagnosis.transfer.first_training import train

    return train(recipe, name, seed=seed)


def _train_second(recipe: SecondRecipe, name: str, seed: int) -> Run:
    from benchmarks.diagnosis.transfer.second_training import train

    return train(recipe, name, seed=seed)


def _train_third(recipe: ThirdRecipe, name: str, seed: int) -> Run:
    from benchmarks.diagnosis.transfer.third_training import train

    return train(recipe, name, seed=seed)


def _train_fourth(recipe: FourthRecipe, name: str, seed: int) -> Run:
    from benchmarks.diagnosis.transfer.fourth_training import train

    return train(recipe, name, seed=seed)


def _train_fifth(recipe: FifthRecipe, name: str, seed: int) -> Run:
    from benchmarks.diagnosis.transfer.fifth_training import train

    return train(recipe, name, seed=seed)


def _by_strength(
    faulty: Mapping[CauseName, tuple[RecipeT, RecipeT]],
) -> Mapping[str, tuple[CauseName, RecipeT]]:
    return {
        f"{cause}, {recipe.family}, {strength}": (cause, recipe)
        for cause, recipes in faulty.items()
        for strength, recipe in zip(("mild", "strong"), recipes, strict=True)
    }


FIRST = TransferSet(
    name="first",
    about="residual and convolutional networks on digits, a made table, and spirals",
    healthy=first.HEALTHY,
    faulty={
        f"{cause}, {recipe.task}": (cause, recipe)
        for cause, recipes in first.FAULTY.items()
        for recipe in recipes
    },
    healthy_seeds=(100, 101, 102),
    faulty_seeds=(100, 101),
    train=_train_first,
)
SECOND = TransferSet(
    name="second",
    about=(
        "recurrent, convolutional, fully connected, attention and mixer networks on made waves, fields, texts and "
        "ranges, and on digits by rows, in five kinds of loops"
    ),
    healthy=second.HEALTHY,
    faulty=_by_strength(second.FAULTY),
    healthy_seeds=(200, 201, 202),
    faulty_seeds=(200, 201, 202),
    train=_train_second,
)
THIRD = TransferSet(
    name="third",
    about=(
        "perceptrons, residual, recurrent, dilated and grouped convolutional networks, and one of sets, on made "
        "intervals, moons, clusters, symbols, shapes and bags, and on digits by size, in four kinds of loops"
    ),
    healthy=third.HEALTHY,
    faulty=_by_strength(third.FAULTY),
    healthy_seeds=(300, 301, 302),
    faulty_seeds=(300, 301),
    train=_train_third,
)
FOURTH = TransferSet(
    name="fourth",
    about=(
        "strided and separable convolutional, embedding, gated, normalized, paired, recurrent, attention and densely "
        "connected networks on made sweeps, gratings, topics, gates, shells, relations and walks, and on digits by "
        "remainders, in four kinds of loops"
    ),
    healthy=fourth.HEALTHY,
    faulty=_by_strength(fourth.FAULTY),
    healthy_seeds=(400, 401, 402),
    faulty_seeds=(400, 401),
    train=_train_fourth,
)
FIFTH = TransferSet(
    name="fifth",
    about=(
        "perceptrons with dropout, highway, message passing, residual, layer-normalized convolutional, recurrent, wide "
        "and deep, attention and attention pooling networks on made patients, records, graphs, pulses, maps, strings, "
        "surveys, parcels and spectra, and on digits by form, in five kinds of loops"
    ),
    healthy=fifth.HEALTHY,
    faulty=_by_strength(fifth.FAULTY),
    healthy_seeds=(500, 501, 502),
    faulty_seeds=(500, 501),
    train=_train_fifth,
)
SETS: Mapping[str, TransferSet] = {each.name: each for each in (FIRST, SECOND, THIRD, FOURTH, FIFTH)}
