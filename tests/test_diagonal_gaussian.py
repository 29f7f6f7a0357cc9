"""Gaussian actions of learned deviation: differences, PyTorch, quadrature; learning."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import nn, rl

D = rl.DiagonalGaussian()


def inputs(rng, dtype, shape=(5, 3)):
    wide = (*shape[:-1], 2 * shape[-1])
    return tuple(a.astype(dtype) for a in (
        rng.standard_normal(wide), rng.standard_normal(wide), rng.standard_normal(shape),
        rng.standard_normal(shape[:-1]), rng.standard_normal(shape[:-1])))


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (2, 3, 2)])
def test_gradients_by_central_differences(rng, shape):
    p, q, a, g, h = inputs(rng, np.float64, shape)
    tolerance = dict(rtol=1e-6, atol=1e-7)
    logp = central_difference(lambda v: D.log_prob(v, a), p, g)
    entropy = central_difference(lambda v: D.entropy(v), p, h)
    np.testing.assert_allclose(D.gradient(p, a, g), logp, **tolerance)
    np.testing.assert_allclose(D.gradient(p, a, None, h), entropy, **tolerance)
    np.testing.assert_allclose(D.gradient(p, a, g, h), logp + entropy, **tolerance)
    dp, dq = D.kl_gradient(g, p, q)
    np.testing.assert_allclose(dp, central_difference(lambda v: D.kl(v, q), p, g), **tolerance)
    np.testing.assert_allclose(dq, central_difference(lambda v: D.kl(p, v), q, g), **tolerance)


def test_layer_of_deviations(rng):
    nn.check_layer(rl.LogStd(3, initial=-0.5), rng.standard_normal((4, 3)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    p, q, a, _, _ = inputs(rng, dtype, (33, 4))
    one, other = (torch.distributions.Normal(torch.tensor(x[:, :4]), torch.tensor(x[:, 4:]).exp())
                  for x in (p, q))
    close(D.log_prob(p, a), one.log_prob(torch.tensor(a)).sum(-1).numpy())
    close(D.entropy(p), one.entropy().sum(-1).numpy())
    close(D.kl(p, q), torch.distributions.kl_divergence(one, other).sum(-1).numpy())
    for x in (D.log_prob(p, a), D.entropy(p), D.kl(p, q), D.gradient(p, a, a[:, 0])):
        assert x.dtype == dtype


def test_agrees_with_the_fixed_deviation(rng):
    _, _, a, g, _ = inputs(rng, np.float64)
    mean, fixed = rng.standard_normal(a.shape), rl.Gaussian(0.3)
    logits = np.concatenate([mean, np.full_like(mean, np.log(0.3))], 1)
    close(D.log_prob(logits, a), fixed.log_prob(mean, a))
    close(D.entropy(logits), fixed.entropy(mean))
    close(D.gradient(logits, a, g)[:, :3], fixed.gradient(mean, a, g))
    # one random number a choice, in the same order
    close(D.sample(logits, np.random.default_rng(0)), fixed.sample(mean, np.random.default_rng(0)))


def test_reinforce_is_unbiased_by_quadrature():
    """E[-(a - c)^2] = -(mean - c)^2 - std^2; seven nodes are exact for such polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    mean, log_std, c = 0.7, -0.4, -0.2
    logits, std = np.array([[mean, log_std]]), np.exp(log_std)
    total = np.zeros((1, 2))
    for w, a in zip(weights / weights.sum(), mean + std * nodes, strict=True):
        total += w * D.gradient(logits, np.array([[a]]), np.array([-(a - c) ** 2]))
    close(total, [[-2 * (mean - c), -2 * std**2]])


def test_moments_of_draws():
    n = 100_000
    logits = np.tile([-1.0, 2.0, np.log(0.3), np.log(2.0)], (n, 1))
    actions, logp = D.draw(logits, np.random.default_rng(0))
    z = (actions - [-1, 2]) / [0.3, 2]
    assert np.all(np.abs(z.mean(0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(z.var(0) - 1) < 5 * np.sqrt(2 / n))
    assert abs(-logp.mean() - D.entropy(logits)[0]) < 5 / np.sqrt(n)
    same_bits(actions, D.sample(logits, np.random.default_rng(0)))
    same_bits(D.mode(logits), logits[:, :2])


def test_small_divergence_keeps_its_digits():
    p = np.float32([[0.0, 2.0**-12]])
    assert D.kl(p, np.zeros_like(p))[0] == pytest.approx(2.0**-24, rel=1e-3)
    assert D.kl(p, p)[0] == 0


def test_ppo_learns_mean_and_deviation():
    """The best action is a linear function of the observation: the deviation goes down."""
    rule = np.random.default_rng(7).standard_normal((6, 2)).astype(np.float32) / 3

    def trained():
        policy = nn.Sequential(nn.Linear(6, 2), rl.LogStd(2)).build(seed=0)
        ppo, rng = rl.PPO(policy, None, D, rl.PPOConfig(lr=0.02)), np.random.default_rng(0)
        for _ in range(60):
            x = rng.standard_normal((128, 6)).astype(np.float32)
            actions, logp, _ = ppo.act(x, rng)
            rewards = -np.abs(actions - x @ rule).sum(-1)
            ppo.update(rl.Rollout(x, actions, logp, advantages=rewards - rewards.mean()), rng)
        return [policy.params.copy()]

    (params,) = trained()
    assert np.all(params[-2:] < -1.2), params[-2:]
    assert np.abs(params[:12] - rule.ravel()).max() < 0.2 or np.abs(
        params[:12].reshape(2, 6).T - rule).max() < 0.2
    same_for_any_threads(trained)


def test_errors_name_argument_has_and_expected(rng):
    p, q, a, g, _ = inputs(rng, np.float64)
    with pytest.raises(ValueError, match=r"logits has shape \(5, 3\), expected \(..., 2 K\)"):
        D.entropy(a)
    with pytest.raises(ValueError, match=r"actions has shape \(4, 3\), expected \(5, 3\)"):
        D.log_prob(p, a[:4])
    with pytest.raises(ValueError, match=r"dlogp has shape \(4,\), expected \(5,\)"):
        D.gradient(p, a, g[:4])
    with pytest.raises(ValueError, match=r"half of q_logits has shape \(4, 3\), expected \(5, 3\)"):
        D.kl(p, q[:4])
    with pytest.raises(TypeError, match="DiagonalGaussian has no finite list of actions"):
        D.enumerate(2)
    with pytest.raises(ValueError, match=r"x has shape \(5, 6\), expected \(5, 3\)"):
        rl.LogStd(3).build().forward(p)
