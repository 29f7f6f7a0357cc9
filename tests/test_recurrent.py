"""Recurrent functions against their twin, central differences and themselves."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from recurrent_cases import CELLS, GATES, GRADIENTS, Case

from gatelearn import _core
from gatelearn import functional as F

# B, T, I, H: a single one, an odd one, several blocks of samples, and what is empty
SHAPES = [(1, 1, 1, 1), (3, 7, 5, 9), (70, 3, 4, 33), (9, 6, 17, 16), (2, 0, 3, 4), (0, 3, 2, 2),
          (3, 4, 0, 5), (3, 4, 5, 0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths, reverse", [(False, False), (True, False), (False, True),
                                              (True, True)])
@pytest.mark.parametrize("cell", CELLS)
def test_forward_and_backward_agree_with_twin(rng, cell, dtype, shape, lengths, reverse):
    case = Case(rng, cell, dtype, shape, lengths, reverse)
    y, last, *expected = case.twin()
    got = case.forward()
    close(got[0], y)
    close(got[1], last.reshape(got[1].shape))
    grads = case.backward()
    assert len(grads) == (6 if cell == "gru" else 5)
    for name, g, e in zip(GRADIENTS, grads, expected, strict=False):
        assert g.dtype == dtype and g.shape == case.arrays[name].shape
        close(g, e.reshape(g.shape))


@pytest.mark.parametrize("lengths, reverse", [(False, False), (True, True)])
@pytest.mark.parametrize("cell", CELLS)
def test_gradient_by_central_differences(rng, cell, lengths, reverse):
    case = Case(rng, cell, shape=(4, 3, 2, 3), lengths=lengths, reverse=reverse)
    a = case.arrays
    both = np.concatenate([a["dy"].ravel(), a["dlast"].ravel()])

    def f(name, v):
        y, state, *_ = case.forward(**{name: v})
        return np.concatenate([y.ravel(), state.ravel()])

    for name, g in zip(GRADIENTS, case.backward(), strict=False):
        expected = central_difference(lambda v, name=name: f(name, v), a[name], both)
        np.testing.assert_allclose(g, expected, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_left_out_is_zero(rng, cell):
    case = Case(rng, cell)
    for name in ("state", "dy", "dlast"):
        zero = np.zeros_like(case.arrays[name])
        for g, e in zip([*case.forward(**{name: None}), *case.backward(**{name: None})],
                        [*case.forward(**{name: zero}), *case.backward(**{name: zero})],
                        strict=True):
            same_bits(g, e)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_steps_behind_a_length_are_not_looked_at(rng, cell, reverse):
    case = Case(rng, cell, lengths=True, reverse=reverse)
    case.options["lengths"] = np.array([7, 0, 3])
    clean = [*case.forward()[:2], *case.backward()]
    behind = np.arange(7) >= case.options["lengths"][:, None]
    x, dy = case.arrays["x"].copy(), case.arrays["dy"].copy()
    x[behind], dy[behind] = np.nan, np.nan
    for g, e in zip([*case.forward(x=x)[:2], *case.backward(x=x, dy=dy)], clean, strict=True):
        same_bits(g, e)
    assert not clean[0][behind].any() and not clean[2][behind].any()
    same_bits(clean[1][1], case.arrays["state"][1])
    same_bits(clean[3][1], case.arrays["dlast"][1])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_sample_of_a_batch_is_the_sample_alone(rng, cell, reverse):
    case = Case(rng, cell, shape=(5, 7, 5, 9), lengths=True, reverse=reverse)
    lengths, a = case.options["lengths"], case.arrays
    y, state, *_ = case.forward()
    case.options["lengths"] = None
    for b, n in enumerate(lengths):
        got = case.forward(x=a["x"][b:b + 1, :n], state=a["state"][b:b + 1])
        close(got[0][0], y[b, :n])
        close(got[1][0], state[b])


@pytest.mark.parametrize("cell", CELLS)
def test_reverse_is_forward_on_the_turned_sequence(rng, cell):
    case = Case(rng, cell)
    y, state, *_ = case.forward()
    case.options["reverse"] = True
    turned = case.forward(x=case.arrays["x"][:, ::-1])
    close(turned[0][:, ::-1], y)
    close(turned[1], state)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_any_number_of_threads_gives_the_same_bits(rng, cell, lengths):
    # several blocks of samples, and products of several tasks
    case = Case(rng, cell, np.float32, (67, 30, 40, 50), lengths)
    same_for_any_threads(lambda: (*case.forward()[:2], *case.backward()))


@pytest.mark.parametrize("cell", CELLS)
def test_nan_stays_in_its_sample_and_goes_on_in_time(rng, cell):
    case = Case(rng, cell, np.float32, (20, 7, 5, 9))
    clean = case.forward()
    x = case.arrays["x"].copy()
    x[2, 3, 1] = np.nan
    y, state, *_ = case.forward(x=x)
    assert np.isnan(y[2, 3:]).all() and np.isnan(state[2]).all()
    same_bits(y[2, :3], clean[0][2, :3])
    others = np.arange(20) != 2
    same_bits(y[others], clean[0][others])
    same_bits(state[others], clean[1][others])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_huge_inputs_saturate(rng, cell):
    case = Case(rng, cell, np.float32)
    x = case.arrays["x"] * np.float32(1e30)
    y, *_ = case.forward(x=x)
    largest = max(1, np.abs(case.arrays["state"]).max())  # of which a GRU may keep a part
    assert np.isfinite(y).all() and np.abs(y).max() <= (largest if cell == "gru" else 1)
    dx, dstate, *_ = case.backward(x=x)
    assert np.isfinite(dx).all() and np.isfinite(dstate).all()


@pytest.mark.parametrize("cell", CELLS)
def test_arrays_of_any_strides_and_kind(rng, cell):
    case = Case(rng, cell)
    expected = [*case.forward(), *case.backward()]
    turned = {k: np.asfortranarray(v)[::-1].copy()[::-1] for k, v in case.arrays.items()}
    for g, e in zip([*case.forward(**turned), *case.backward(**turned)], expected, strict=True):
        same_bits(g, e)
    x = np.arange(105).reshape(3, 7, 5) % 4
    same_bits(case.forward(x=x)[0], case.forward(x=x.astype(float))[0])


def test_errors_name_argument_has_and_expected(rng):
    for cell, G in GATES.items():
        case, n = Case(rng, cell, shape=(3, 7, 5, 2)), 2 * G
        a = case.arrays
        for changes, message in [
                (dict(x=a["x"][0]), "x has 2 dimensions, expected 3"),
                (dict(wh=a["wh"][0]), "wh has 1 dimensions, expected 2"),
                (dict(wx=a["wx"][:4]), rf"wx has shape \(4, {n}\), expected \(5, {n}\)"),
                (dict(wh=a["wh"][:, 1:]), rf"wh has shape \(2, {n - 1}\), expected \(2, {n}\)"),
                (dict(bias=a["bias"][1:]), rf"bias has shape \({n - 1},\), expected \({n},\)"),
                (dict(state=a["state"][:2]), r"state has shape \(2, .*, expected \(3, "),
                (dict(dy=a["dy"][:, 1:]), r"dy has shape \(3, 6, 2\), expected \(3, 7, 2\)"),
                (dict(dlast=a["dlast"][:2]), r"dlast has shape \(2, .*, expected \(3, ")]:
            with pytest.raises(ValueError, match=message):
                case.backward(**changes)
        with pytest.raises(TypeError, match="x has dtype complex128, expected float32 or float64"):
            case.forward(x=a["x"] + 1j)
        for lengths, error, message in [
                ([7, 8, 0], ValueError, "lengths is not allowed at row 1, expected 0 to T"),
                ([-1, 8, 0], ValueError, "lengths is not allowed at row 0, expected 0 to T"),
                ([7, 7], ValueError, r"lengths has shape \(2,\), expected \(3,\)"),
                ([1.0, 2.0, 3.0], TypeError, "lengths has dtype float64, expected integers")]:
            case.options["lengths"] = lengths
            with pytest.raises(error, match=message):
                case.forward()
    x, w, y = np.zeros((1, 1, 1)), np.zeros((1, 3)), np.zeros((1, 1, 1))
    with pytest.raises(ValueError, match=r"bias_hidden has shape \(2,\), expected \(1,\)"):
        F.gru(x, w, w, np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"trace has shape .*, expected \(1, 1, 4, 1\)"):
        F.gru_backward(y, x, w, w, y, np.zeros((1, 1, 3, 1)))
    with pytest.raises(ValueError, match=r"y has shape .*, expected \(1, 1, 1\)"):
        F.gru_backward(y, x, w, w, np.zeros((1, 2, 1)), np.zeros((1, 1, 4, 1)))
    with pytest.raises(ValueError, match="nonlinearity is 'elu', expected 'tanh' or 'relu'"):
        F.rnn(x, [[1]], [[1]], [0], nonlinearity="elu")


def core(G, **changes):
    """B = 2, T = 3, I = 4, H = 5"""
    S = 2 if G == 4 else 1
    arrays = dict(x=np.zeros((2, 3, 4)), first=np.zeros((2, S, 5)), lengths=None,
                  wx=np.zeros((4, G, 5)), wh=np.zeros((5, G, 5)), relu=False, reverse=False,
                  y=np.zeros((2, 3, 5)), trace=None if G == 1 else np.zeros((2, 3, G + 1, 5)),
                  bias=np.zeros((G, 5)), bias_hidden=np.zeros(5) if G == 3 else None,
                  last=np.zeros((2, S, 5)))
    _core.recurrent_forward(*(arrays | changes).values())


@pytest.mark.parametrize("G, changes, message", [
    (2, {}, r"recurrent_forward: wx.shape\[1\] is 2, expected 1, 3 or 4"),
    (4, dict(first=np.zeros((2, 1, 5)), last=np.zeros((2, 1, 5))),
     r"first.shape\[1\] is 1, expected S = 2"),
    (3, dict(first=np.zeros((2, 2, 5)), last=np.zeros((2, 2, 5))),
     r"first.shape\[1\] is 2, expected S = 1"),
    (3, dict(bias_hidden=None), "bias_hidden is None, expected a NumPy array"),
    (4, dict(bias_hidden=np.zeros(5)), "bias_hidden is an array, expected None"),
    (4, dict(trace=None), "trace is None, expected a NumPy array"),
    (1, dict(trace=np.zeros((2, 3, 2, 5))), "trace is an array, expected None"),
    (3, dict(trace=np.zeros((2, 3, 3, 5))), r"trace.shape\[2\] is 3, expected U = 4"),
    (4, dict(trace=np.zeros((2, 3, 4, 5))), r"trace.shape\[2\] is 4, expected U = 5"),
    (4, dict(lengths=np.array([3, 4])), "lengths is not allowed at row 1, expected 0 to T"),
])
def test_the_core_refuses_what_does_not_fit_the_cell(G, changes, message):
    with pytest.raises(ValueError, match=message):
        core(G, **changes)


def test_the_core_refuses_shared_memory_and_sizes_beyond_blas():
    for G in (1, 3, 4):
        core(G)
        first = np.zeros((2, 2 if G == 4 else 1, 5))
        with pytest.raises(ValueError, match="last overlaps first, expected separate memory"):
            core(G, first=first, last=first)
    B, T = 2**16, 2**16
    with pytest.raises(ValueError, match=r"B \* T is too large, expected at most 2147483647"):
        core(1, x=np.zeros((B, T, 0)), first=np.zeros((B, 1, 0)), y=np.zeros((B, T, 0)),
             wx=np.zeros((0, 1, 0)), wh=np.zeros((0, 1, 0)), bias=np.zeros((1, 0)),
             last=np.zeros((B, 1, 0)))
