import pytest


def test_the_limit_is_arithmetic_and_what_the_update_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 7-5-3 units, 20 samples in batches of 8, 1 GFLOP a second for both processes, 2 GB a second for each."""
    import roofline
    from workload import Workload

    monkeypatch.setattr(roofline, "gemm_rates", lambda *_, **__: {"slow": 0.5, "fast": 1.0})
    shapes = {"n_inputs": 7, "n_outputs": 3, "n_train": 20, "n_validation": 4}
    found = roofline.limits(Workload(batch_size=8, width=5), shapes, {"cache": 2e9})
    n_weights = 7 * 5 + 5 * 3
    a_step = 2 * 8 * (2 * 7 * 5 + 3 * 5 * 3)
    assert found["step_megaflops"] == pytest.approx(a_step / 1e6)
    assert found["step_megabytes"] == pytest.approx(
        6 * n_weights * 4 / 1e6
    )  # the norm's pass and the update's five
    arithmetic = (a_step * 20 / 8 + 2 * 4 * n_weights) / 1e9
    moving = 3 * 6 * n_weights * 4 / (2 * 2e9)  # three steps an epoch
    assert found["arithmetic_seconds_a_trial_epoch"] == pytest.approx(arithmetic)
    assert found["moving_seconds_a_trial_epoch"]["cache"] == pytest.approx(moving)
    assert found["highest_share_of_gemm_rate"]["cache"] == pytest.approx(arithmetic / (arithmetic + moving))
    assert "| 1 x 5, sgd, batch 8 | 0.0 | 0.0 |" in roofline.table(
        [found | {part: found[part] | {"memory": 1.0} for part in found if part in _PLACES}]
    )


_PLACES = ("moving_seconds_a_trial_epoch", "highest_share_of_gemm_rate")


def test_a_kernels_products_are_the_hidden_layers_arithmetic() -> None:
    """Both kernels do the same work: what the workload counts for its hidden layers, for each lane."""
    from gemm_rate import kernels
    from workload import Workload

    workload = Workload(batch_size=4, width=6, depth=2)
    expected = 2 * 4 * (2 * 8 * 6 + 3 * 6 * 6)
    for products in kernels().values():
        done = [*products(workload, 8, 3, 5)]
        assert sum(flops for flops, _ in done) == 5 * expected
        for _, call in done:
            assert call().isfinite().all()
