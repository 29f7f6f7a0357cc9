"""The clipped loss against its twin, central differences and PyTorch."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import ppo as ref

OPTIONS = dict(clip=0.1, value_clip=0.3, value_coefficient=0.7, entropy_coefficient=0.02)


def inputs(rng, dtype, n=300):
    logp_old = rng.standard_normal(n) - 1
    value_old = rng.standard_normal(n)
    arrays = dict(logp=logp_old + 0.2 * rng.standard_normal(n), logp_old=logp_old,
                  advantage=rng.standard_normal(n), entropy=rng.random(n),
                  value=value_old + 0.5 * rng.standard_normal(n), returns=rng.standard_normal(n),
                  value_old=value_old)
    return {name: a.astype(dtype) for name, a in arrays.items()}


def drop(arrays, *names):
    return {k: v for k, v in arrays.items() if k not in names}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", (1, 7, 300, 1025, 70000))
@pytest.mark.parametrize("without", [(), ("value_old",), ("value", "returns", "value_old")])
def test_agrees_with_twin(rng, dtype, n, without):
    arrays = drop(inputs(rng, dtype, n), *without)
    stats, *grads = F.ppo_loss(**arrays, **OPTIONS)
    expected, *expected_grads = ref.ppo_loss(
        **{k: v.astype(float) for k, v in arrays.items()}, **OPTIONS)
    assert stats.keys() == expected.keys()
    for name in stats:
        np.testing.assert_allclose(stats[name], expected[name], rtol=1e-4, atol=1e-6)
    for g, e in zip(grads, expected_grads, strict=True):
        assert (g is None) == (e is None)
        if g is not None:
            assert g.dtype == dtype
            close(float(n) * g, n * e)


def test_gradient_by_central_differences(rng):
    arrays = inputs(rng, np.float64, 40)
    _, *grads = F.ppo_loss(**arrays, **OPTIONS)
    for name, grad in zip(("logp", "value", "entropy"), grads, strict=True):
        def loss(x, name=name):
            return F.ppo_loss(**(arrays | {name: x}), **OPTIONS)[0]["loss"]
        np.testing.assert_allclose(grad, central_difference(loss, arrays[name], 1.0), atol=1e-8)


def test_unchanged_policy_is_plain_policy_gradient(rng):
    arrays = inputs(rng, np.float64) | {"logp": inputs(rng, np.float64)["logp_old"]}
    arrays["logp_old"] = arrays["logp"]
    stats, dlogp, *_ = F.ppo_loss(**arrays)
    assert stats["approx_kl"] == 0 and stats["clip_fraction"] == 0
    close(dlogp, -arrays["advantage"] / len(dlogp))


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_divergence_keeps_its_digits(dtype):
    step = dtype(2.0**-13)
    zero = np.zeros(64, dtype)
    stats, *_ = F.ppo_loss(zero + step, zero, zero, zero)
    assert stats["approx_kl"] == pytest.approx(float(np.expm1(2.0**-13) - 2.0**-13), rel=1e-3)
    assert stats["approx_kl"] == pytest.approx(2.0**-27 + 2.0**-39 / 6, rel=1e-6)


def test_float32_sums_do_not_drift(rng):
    n = 1 << 20
    a = np.full(n, 0.1, np.float32)
    stats, *_ = F.ppo_loss(0 * a, 0 * a, a, a)
    assert stats["entropy"] == pytest.approx(0.1, rel=1e-6)
    assert stats["policy_loss"] == pytest.approx(-0.1, rel=1e-6)


def test_extremes_are_not_hidden(rng):
    arrays = inputs(rng, np.float64, 5)
    arrays["logp"][0] = arrays["logp_old"][0] + 1e4
    arrays["advantage"][0] = 1
    stats, dlogp, *_ = F.ppo_loss(**arrays)
    assert dlogp[0] == 0 and np.isfinite(stats["policy_loss"])
    arrays["advantage"][0] = -1
    stats, dlogp, *_ = F.ppo_loss(**arrays)
    assert dlogp[0] == np.inf and stats["policy_loss"] == np.inf
    for name in arrays:
        bad = arrays | {name: arrays[name].copy()}
        bad[name][3] = np.nan
        stats, dlogp, dvalue, _ = F.ppo_loss(**bad, entropy_coefficient=0.1)
        assert np.isnan(stats["loss"])
        grads = np.array([dlogp[3], dvalue[3]])
        assert np.isnan(grads).any() or name == "entropy"
    assert all(np.isnan(v) for v in F.ppo_loss([], [], [], [])[0].values())


def test_any_number_of_threads_gives_the_same_bits(rng):
    arrays = inputs(rng, np.float32, 100001)

    def run():
        stats, *grads = F.ppo_loss(**arrays, **OPTIONS)
        return np.array(list(stats.values())), *grads

    same_for_any_threads(run)


def test_errors_name_argument_has_and_expected(rng):
    arrays = inputs(rng, np.float64, 4)
    with pytest.raises(TypeError, match="expected dvalue, value and returns together"):
        F.ppo_loss(**drop(arrays, "returns"))
    with pytest.raises(TypeError, match="value_old only with them"):
        F.ppo_loss(**drop(arrays, "value", "returns"))
    with pytest.raises(ValueError, match=r"returns has shape \(3,\), expected \(4,\)"):
        F.ppo_loss(**(arrays | {"returns": arrays["returns"][1:]}))
    with pytest.raises(ValueError, match=r"advantage.shape\[0\] is 3, expected B = 4"):
        F.ppo_loss(**(arrays | {"advantage": arrays["advantage"][1:]}))
    with pytest.raises(ValueError, match=r"stats.shape\[0\] is 5, expected 6"):
        x = arrays["logp"]
        _core.ppo(np.empty(5), x.copy(), None, x.copy(), x, x, x, None, None, None, x, 0.2, 0.2,
                  0.5, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("clip_value", (False, True))
def test_agrees_with_torch(rng, dtype, clip_value):
    torch = pytest.importorskip("torch")
    arrays = inputs(rng, dtype)
    if not clip_value:
        del arrays["value_old"]
    stats, *grads = F.ppo_loss(**arrays, **OPTIONS)

    t = {name: torch.tensor(a) for name, a in arrays.items()}
    inputs_t = [t[name].requires_grad_() for name in ("logp", "value", "entropy")]
    log_ratio = t["logp"] - t["logp_old"]
    ratio = log_ratio.exp()
    policy_loss = -torch.min(t["advantage"] * ratio,
                             t["advantage"] * torch.clamp(ratio, 1 - 0.1, 1 + 0.1)).mean()
    error = (t["value"] - t["returns"]) ** 2
    if clip_value:
        near = t["value_old"] + torch.clamp(t["value"] - t["value_old"], -0.3, 0.3)
        error = torch.max(error, (near - t["returns"]) ** 2)
    value_loss = 0.5 * error.mean()
    loss = policy_loss + 0.7 * value_loss - 0.02 * t["entropy"].mean()
    loss.backward()
    close(np.array([stats["loss"], stats["policy_loss"], stats["value_loss"]], dtype),
          [loss.item(), policy_loss.item(), value_loss.item()])
    assert stats["approx_kl"] == pytest.approx(((ratio - 1) - log_ratio).mean().item(), rel=1e-3)
    for g, x in zip(grads, inputs_t, strict=True):
        close(300 * g, 300 * x.grad.numpy())
