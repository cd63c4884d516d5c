"""Experiment 3: more units fit the training data better, with less and less to gain; so does a second layer."""

from collections.abc import Mapping

from search_spaces import Space
from search_spaces.catalog import lever
from tuner.experiments.claims import end_in_order
from tuner.experiments.experiment import Claim, Experiment, Judgment, Run, Variant
from tuner.experiments.network import shared_config

_SPACE = Space(
    name="architecture",
    levers=(lever("depth").among((1, 2, 3)), lever("width").among((32, 128, 512))),
)


def _gains_less_and_less(runs: Mapping[str, Run]) -> Judgment:
    narrow, middle, wide = (runs[label].final_train_loss for label in ("32", "128", "512"))
    gains = {"gain_from_32_to_128": narrow - middle, "gain_from_128_to_512": middle - wide}
    is_smaller = gains["gain_from_128_to_512"] < gains["gain_from_32_to_128"]
    return Judgment(held=is_smaller, numbers=gains)


EXPERIMENT = Experiment(
    name="architecture",
    question="What do more units and more layers bring?",
    space=_SPACE,
    fixed=shared_config(_SPACE),
    variants=(
        Variant(label="32", config={"depth": 1, "width": 32}),
        Variant(label="128", config={"depth": 1, "width": 128}),
        Variant(label="512", config={"depth": 1, "width": 512}),
        Variant(label="2x128", config={"depth": 2, "width": 128}),
        Variant(label="3x128", config={"depth": 3, "width": 128}),
    ),
    claims=(
        end_in_order(
            "Width 32 ends with a higher train loss than 128, and 128 than 512.", ("32", "128", "512")
        ),
        Claim(
            sentence="From width 128 to 512 the final train loss gains less than from 32 to 128.",
            labels=("32", "128", "512"),
            check=_gains_less_and_less,
        ),
        end_in_order("2x128 ends with a lower train loss than 1x128.", ("128", "2x128")),
    ),
)
