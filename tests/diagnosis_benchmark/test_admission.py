import math
from dataclasses import replace

import pytest

from benchmarks.diagnosis.admission import admitted
from benchmarks.diagnosis.causes import case_named
from tests.diagnosis_benchmark.made_runs import made_run

FAULT = case_named("label_noise/mlp/mild")


def test_a_fault_that_hurts_is_admitted() -> None:
    """Four points lower on every seed."""
    verdict = admitted(
        FAULT, [made_run(0.86 + 0.001 * n) for n in range(5)], [made_run(0.9 + 0.002 * n) for n in range(5)]
    )
    assert verdict.is_faulty
    assert verdict.gap == pytest.approx(0.042)


def test_a_fault_within_the_noise_is_none() -> None:
    """Worse on three seeds and better on two is chance."""
    values, twins = [0.89, 0.90, 0.91, 0.89, 0.90], [0.90, 0.89, 0.90, 0.90, 0.91]
    assert not admitted(FAULT, [made_run(v) for v in values], [made_run(v) for v in twins]).is_faulty


def test_a_certain_fault_smaller_than_half_a_deviation_is_none() -> None:
    """The p-value alone would admit a loss that nobody cares for."""
    twins = [0.80, 0.85, 0.90, 0.95, 0.99]
    verdict = admitted(FAULT, [made_run(v - 0.001) for v in twins], [made_run(v) for v in twins])
    assert verdict.p_value < 0.05
    assert not verdict.is_faulty


def test_a_leak_must_make_validation_look_better_than_it_is() -> None:
    """It may do so without any harm to the test accuracy."""
    leak = case_named("target_leakage/mlp/severe")
    leaking = [made_run(0.9, validation=0.99 + 0.001 * n) for n in range(5)]
    assert admitted(leak, leaking, [made_run(0.9, validation=0.9 + 0.002 * n) for n in range(5)]).is_faulty
    assert not admitted(leak, leaking, leaking).is_faulty


def test_overconfidence_goes_by_the_test_loss() -> None:
    """At equal accuracy; a loss that is not finite is the worst there is."""
    case = case_named("overconfidence/mlp/mild")
    twins = [made_run(loss=0.3 + 0.01 * n) for n in range(5)]
    assert admitted(case, [made_run(loss=0.5 + 0.01 * n) for n in range(5)], twins).is_faulty
    assert admitted(case, [made_run(loss=math.nan) for _ in range(5)], twins).is_faulty


def test_a_misreport_is_one_beyond_two_standard_errors() -> None:
    """At 90% of 1,000 samples that is 1.9 points."""
    case = case_named("evaluation_mode_bug/mlp/mild")
    twins = [made_run() for _ in range(5)]
    assert admitted(case, [made_run(reported=0.875) for _ in range(5)], twins).is_faulty
    assert not admitted(case, [made_run(reported=0.885) for _ in range(5)], twins).is_faulty


def test_a_healthy_case_far_below_its_base_is_contested() -> None:
    """The list may be wrong: such a case is scored as neither."""
    case = case_named("healthy/plain/mlp/0")
    twins = [made_run(0.95) for _ in range(3)]
    assert admitted(case, [made_run(0.89) for _ in range(3)], twins).is_contested
    assert not admitted(case, [made_run(0.93) for _ in range(3)], twins).is_contested


def test_a_healthy_case_that_other_seeds_do_not_bear_out_is_contested() -> None:
    """A look at one seed or two listed it as sound: three others fall short of that by 5 points on average."""
    case = replace(case_named("healthy/plain/mlp/0"), reached=0.95)
    shaky = [made_run(0.95), made_run(0.95), made_run(0.80)]
    assert admitted(case, shaky, shaky).is_contested
    steady = [made_run(0.95), made_run(0.93), made_run(0.92)]
    assert not admitted(case, steady, steady).is_contested


def test_a_fault_whose_twin_is_unsound_is_contested() -> None:
    """On the seeds of the part the healthy twin fails as often: what the fault costs is not known."""
    case = replace(case_named("label_noise/mlp/mild"), twin_reached=0.95)
    shaky = [made_run(0.95), made_run(0.95), made_run(0.80), made_run(0.95), made_run(0.80)]
    assert admitted(case, shaky, shaky).is_contested
    ruined = admitted(case, [made_run(0.5) for _ in range(5)], shaky)
    assert (ruined.is_contested, ruined.is_faulty) == (True, False)
    steady = [made_run(0.95) for _ in range(5)]
    assert not admitted(case, shaky, steady).is_contested
