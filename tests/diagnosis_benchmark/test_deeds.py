import pytest

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.causes import FAULTY, case_named
from benchmarks.diagnosis.deeds import BY_HAND, undoes, words_of

BY_HAND_CASES = [case for case in FAULTY if case.cause in BY_HAND]


@pytest.mark.parametrize("case", BY_HAND_CASES, ids=lambda case: case.name)
def test_every_fault_without_a_lever_has_words_that_undo_it(case: Case) -> None:
    """In lower case, as they are looked for."""
    words = words_of(case)
    assert words
    assert all(word == word.lower() for word in words)


def test_all_other_faults_are_in_what_a_lever_sets() -> None:
    """Their config differs from that of their healthy twin, or a lever normalizes what their network does."""
    for case in FAULTY:
        if case.cause not in BY_HAND:
            assert (
                case.setup.config != case.healthy.config or case.setup.network is not None or case.setup.data
            )
            assert not case.is_watched


def test_the_wrong_line_is_no_right_action() -> None:
    """A detached layer is not thawed by `requires_grad_`, a net left in eval mode not by `model.eval()`."""
    detached, left = case_named("frozen_layers/mlp/severe"), case_named("evaluation_mode_bug/mlp/severe")
    assert undoes(detached, "Remove the `.detach()` between these layers and the loss.")
    assert not undoes(detached, "Unfreeze the layers: `p.requires_grad_(True)`.")
    assert undoes(left, "Call `model.train()` at the start of every epoch.")
    assert not undoes(left, "Call `model.eval()` before validating.")


def test_a_lever_is_not_undone_by_hand() -> None:
    """It has no words."""
    with pytest.raises(ValueError, match="is none"):
        words_of(case_named("learning_rate_too_high/mlp/mild"))
