"""The mixture is the same in every minibatch."""

import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.replay import draws as mixtures
from fastrl.types import UserError


@pytest.mark.parametrize(
    ("batch", "ratio", "rows"),
    [(256, 0.0, 0), (256, 0.5, 128), (256, 1.0, 256), (256, 0.25, 64), (256, 0.05, 13), (10, 0.1, 1)],
)
def test_offline_rows(batch: int, ratio: float, rows: int) -> None:
    assert mixtures.offline_rows(batch, ratio) == rows


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        mixtures.offline_rows(256, ratio)


@pytest.mark.parametrize("ratio", [0.01, 0.99])
def test_a_ratio_that_rounds_away_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match="raise the batch size"):
        mixtures.offline_rows(4, ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_every_minibatch_has_the_ratio(ratio: float) -> None:
    seeds, utd, batch, width = 2, 4, 8, 3
    offline = mixtures.offline_rows(batch, ratio)
    online = jnp.zeros((seeds, utd, batch - offline, width))
    rows = mixtures.mixed(online, jnp.ones((seeds, utd, offline, width)))
    assert rows.shape == (seeds, utd, batch, width)
    np.testing.assert_array_equal(rows[..., 0].mean(-1), np.full((seeds, utd), ratio))
