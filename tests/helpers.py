"""What the kernel tests share: tolerances, central differences, bit equality."""

import numpy as np

import gatelearn as gl

# relative and absolute, against a float64 oracle
TOLERANCE = {np.dtype(np.float32): dict(rtol=2e-4, atol=2e-5),
             np.dtype(np.float64): dict(rtol=1e-9, atol=1e-11)}
DTYPES = (np.float32, np.float64)


def close(actual, expected):
    """Assert agreement within the tolerance of the actual array's type."""
    actual = np.asarray(actual)
    np.testing.assert_allclose(actual, np.asarray(expected, np.float64), **TOLERANCE[actual.dtype])


def central_difference(f, x, dout, step=1e-6):
    """Gradient of sum(f(x) * dout) with respect to x, float64."""
    x = np.array(x, np.float64)
    grad = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = np.sum(f(x) * dout)
        x[i] = kept - step
        below = np.sum(f(x) * dout)
        x[i] = kept
        grad[i] = (above - below) / (2 * step)
    return grad


def same_bits(a, b):
    """Assert that two arrays hold the same bytes."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()


def same_for_any_threads(f):
    """Assert that f(), a sequence of arrays, has the same bits on 1, 2, 5 threads and each time."""
    results = []
    for n in (1, 2, 5, 5, 1):
        with gl.num_threads(n):
            results.append(f())
    for other in results[1:]:
        for a, e in zip(other, results[0], strict=True):
            same_bits(a, e)
