"""AdamW and the gradient norm against twins, PyTorch and themselves."""

import numpy as np
import pytest
from helpers import DTYPES, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import optim as ref

OPTIONS = [{}, {"weight_decay": 0.1}, {"grad_scale": 0.25, "betas": (0.5, 0.9), "eps": 1e-3}]


def state(rng, dtype, n):
    return [rng.standard_normal(n).astype(dtype), np.zeros(n, dtype), np.zeros(n, dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 37, 16_385])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_steps_agree_with_twin(rng, dtype, n, options, masked):
    ours = state(rng, dtype, n)
    twin = [a.astype(float) for a in ours]
    decay = (rng.random(n) < 0.5).astype(dtype) if masked else None
    for step in range(1, 6):
        grad = rng.standard_normal(n).astype(dtype)
        F.adamw_step(*ours, grad, step=step, lr=0.01, decay=decay, **options)
        ref.adamw_step(*twin, grad.astype(float), step=step, lr=0.01, decay=decay, **options)
    for a, e in zip(ours, twin, strict=True):
        assert a.dtype == dtype
        close(a, e)


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_agree_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    ours = state(rng, dtype, 100)
    t = torch.tensor(ours[0], requires_grad=True)
    adam = torch.optim.AdamW([t], lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
    for step in range(1, 20):
        grad = rng.standard_normal(100).astype(dtype)
        t.grad = torch.tensor(grad)
        adam.step()
        F.adamw_step(*ours, grad, step=step, lr=0.02, betas=(0.8, 0.95), eps=1e-6,
                     weight_decay=0.3)
    close(ours[0], t.detach().numpy())


def test_first_step_has_the_size_of_the_rate():
    for scale in (1e-3, 1.0, 1e3):
        param, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
        F.adamw_step(param, m, v, np.array([scale]), step=1, lr=0.1, eps=0.0)
        np.testing.assert_allclose(param, -0.1)


def test_decay_alone_shrinks_and_a_factor_of_0_spares():
    param, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    F.adamw_step(param, m, v, np.zeros(3), step=1, lr=0.1, weight_decay=0.5,
                 decay=np.array([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(param, [0.95, 1, 0.9])


def test_any_number_of_threads_gives_the_same_bits(rng):
    start, grad = state(rng, np.float32, 100_001), rng.standard_normal(100_001).astype(np.float32)

    def run():
        arrays = [a.copy() for a in start]
        F.adamw_step(*arrays, grad, step=3, weight_decay=0.1)
        return *arrays, np.array(F.grad_norm(grad))

    same_for_any_threads(run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (3, 7), (40_000,)])
def test_norm_agrees_with_twin(rng, dtype, shape):
    grad = np.asarray(rng.standard_normal(shape)).astype(dtype)
    np.testing.assert_allclose(F.grad_norm(grad), ref.grad_norm(grad), rtol=1e-14)


def test_norm_is_summed_in_double():
    assert F.grad_norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-7)
    assert F.grad_norm(np.full(4, 1e-30, np.float32)) == pytest.approx(2e-30, rel=1e-7)


def test_norm_reports_what_is_not_finite():
    assert np.isnan(F.grad_norm([1, np.nan]))
    assert F.grad_norm([1, -np.inf]) == np.inf


def test_nan_stays_in_its_place(rng):
    arrays, grad = state(rng, np.float64, 20), rng.standard_normal(20)
    clean = [a.copy() for a in arrays]
    F.adamw_step(*clean, grad, step=1)
    grad[4] = np.nan
    F.adamw_step(*arrays, grad, step=1)
    for a, e in zip(arrays, clean, strict=True):
        assert np.isnan(a[4])
        same_bits(np.delete(a, 4), np.delete(e, 4))


def test_errors_name_argument_has_and_expected():
    a = [np.zeros(3) for _ in range(4)]
    with pytest.raises(ValueError, match="adamw_step: step is 0, expected at least 1"):
        F.adamw_step(*a, step=0)
    with pytest.raises(ValueError, match=r"decay.shape\[0\] is 2, expected P = 3"):
        F.adamw_step(*a, step=1, decay=np.zeros(2))
    with pytest.raises(ValueError, match="param overlaps m, expected separate memory"):
        F.adamw_step(a[0], a[0], *a[2:], step=1)
    with pytest.raises(ValueError, match="param overlaps grad, expected separate memory"):
        F.adamw_step(*a[:3], a[0], step=1)
    with pytest.raises(TypeError, match="grad has dtype complex128"):
        F.grad_norm(np.zeros(2, complex))
    with pytest.raises(TypeError, match="adamw_step: takes 12 arguments, 1 given"):
        _core.adamw_step(a[0])
