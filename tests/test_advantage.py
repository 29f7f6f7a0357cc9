"""Advantages against their twins and against sums written out."""

import numpy as np
import pytest
from helpers import DTYPES, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import advantage as ref


def inputs(rng, dtype, shape=(13, 5), ends=0.2):
    real = [rng.standard_normal(shape).astype(dtype) for _ in range(3)]
    return (*real, rng.standard_normal(shape[1:]).astype(dtype), rng.random(shape) < ends,
            rng.random(shape) < ends)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (13, 5), (40, 130), (0, 3), (3, 0)])
@pytest.mark.parametrize("with_final", (False, True))
def test_gae_agrees_with_twin(rng, dtype, shape, with_final):
    rewards, values, final, last, terminated, truncated = inputs(rng, dtype, shape)
    got = F.gae(rewards, values, last, terminated=terminated, truncated=truncated,
                final=final if with_final else None, gamma=0.9, lam=0.8)
    expected = ref.gae(rewards.astype(float), values.astype(float), last.astype(float), terminated,
                       truncated, final if with_final else None, 0.9, 0.8)
    for g, e in zip(got, expected, strict=True):
        assert g.dtype == dtype and g.shape == shape
        close(g, e)


def test_gae_of_lambda_one_is_discounted_return_less_value(rng):
    rewards, values, _, last, *_ = inputs(rng, np.float64)
    adv, returns = F.gae(rewards, values, last, gamma=0.9, lam=1)
    weights = 0.9 ** np.arange(14)
    close(returns[0], weights[:13] @ rewards + weights[13] * last)
    close(adv[0], returns[0] - values[0])


def test_gae_of_lambda_zero_is_the_temporal_difference(rng):
    rewards, values, _, last, *_ = inputs(rng, np.float64)
    adv, _ = F.gae(rewards, values, last, gamma=0.9, lam=0)
    close(adv, rewards + 0.9 * np.vstack([values[1:], last]) - values)


def test_gae_bootstraps_where_truncated_only(rng):
    rewards, values, last = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3)
    values[1] = 8
    terminated, truncated = [[1, 0, 1], [0, 0, 0]], [[0, 1, 1], [0, 0, 0]]
    final = np.full((2, 3), np.nan)
    final[0, 1] = 4
    adv, _ = F.gae(rewards, values, last, terminated=terminated, truncated=truncated, final=final,
                   gamma=0.5, lam=1)
    np.testing.assert_array_equal(adv[0], [0, 2, 0])
    adv, _ = F.gae(rewards, values, last, terminated=terminated, truncated=truncated,
                   gamma=0.5, lam=1)
    np.testing.assert_array_equal(adv[0], [0, 4, 0])


def test_gae_forgets_what_came_after_an_end(rng):
    rewards, values, _, last, *_ = inputs(rng, np.float64)
    terminated = np.zeros(rewards.shape, bool)
    terminated[6] = True
    before, _ = F.gae(rewards, values, last, terminated=terminated)
    rewards[7:], values[7:], last[:] = np.nan, np.inf, np.nan
    after, _ = F.gae(rewards, values, last, terminated=terminated)
    same_bits(before[:7], after[:7])


def test_gae_of_one_environment_and_of_values_with_the_last(rng):
    rewards, values, _, last, terminated, _ = inputs(rng, np.float64)
    expected = F.gae(rewards, values, last, terminated=terminated)
    for got in (F.gae(rewards, np.vstack([values, last]), terminated=terminated),
                [np.stack(x, 1) for x in zip(*(F.gae(rewards[:, i], values[:, i], last[i],
                                                     terminated=terminated[:, i])
                                               for i in range(5)), strict=True)]):
        for g, e in zip(got, expected, strict=True):
            same_bits(g, e)


def test_any_number_of_threads_gives_the_same_bits(rng):
    rewards, values, final, last, terminated, truncated = inputs(rng, np.float32, (50, 1000))
    same_for_any_threads(lambda: (
        *F.gae(rewards, values, last, terminated=terminated, final=final, truncated=truncated),
        F.leave_one_out(rewards)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 1), (5, 70), (3, 2, 4), (4,), (2, 0)])
def test_leave_one_out_agrees_with_twin(rng, dtype, shape):
    rewards = rng.standard_normal(shape).astype(dtype)
    got = F.leave_one_out(rewards)
    assert got.dtype == dtype
    close(got, ref.leave_one_out(rewards.astype(float)))
    close(got.sum(0), np.zeros(shape[1:]))
    same_bits(F.leave_one_out(rewards, out=rewards), got)


def test_equal_rewards_give_no_advantage():
    assert not F.leave_one_out(np.full((7, 3), 0.1, np.float32)).any()


def test_errors_name_argument_has_and_expected(rng):
    rewards, values, final, last, terminated, _ = inputs(rng, np.float64)
    with pytest.raises(ValueError, match=r"values has shape \(13, 5\), expected \(14, 5\), or "):
        F.gae(rewards, values)
    with pytest.raises(ValueError, match=r"values has shape \(14, 5\), expected \(13, 5\)"):
        F.gae(rewards, np.vstack([values, last]), last)
    with pytest.raises(ValueError, match=r"last has shape \(4,\), expected \(5,\)"):
        F.gae(rewards, values, last[:4])
    with pytest.raises(ValueError, match=r"terminated has shape \(12, 5\), expected \(13, 5\)"):
        F.gae(rewards, values, last, terminated=terminated[1:])
    with pytest.raises(TypeError, match="terminated has dtype float64, expected booleans"):
        F.gae(rewards, values, last, terminated=final)
    with pytest.raises(ValueError, match="rewards has 3 dimensions, expected 1 or 2"):
        F.gae(rewards[None], values[None], last[None])
    with pytest.raises(ValueError, match=r"rewards has shape \(1, 5\), expected at least 2"):
        F.leave_one_out(rewards[:1])
    with pytest.raises(ValueError, match="leave_one_out: S is 1, expected at least 2"):
        _core.leave_one_out(np.empty((1, 5)), rewards[:1])
    with pytest.raises(ValueError, match="advantages overlaps values"):
        _core.gae(values, None, rewards, values, last, None, None, None, 0.9, 0.9)
