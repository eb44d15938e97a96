"""The mixture is the same in every minibatch (tests/engine/test_scan.py draws from a ring)."""

import pytest

from fastrl.replay import draws
from fastrl.types import UserError


@pytest.mark.parametrize(
    ("batch", "ratio", "rows"),
    [(256, 0.0, 0), (256, 0.5, 128), (256, 1.0, 256), (256, 0.25, 64), (256, 0.05, 13), (10, 0.1, 1)],
)
def test_offline_rows(batch: int, ratio: float, rows: int) -> None:
    assert draws.offline_rows(batch, ratio) == rows


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        draws.offline_rows(256, ratio)


@pytest.mark.parametrize("ratio", [0.01, 0.99])
def test_a_ratio_that_rounds_away_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match="raise the batch size"):
        draws.offline_rows(4, ratio)
