"""Affine maps."""


def linear(x, weight, bias=None, transposed=False):
    y = x @ (weight.T if transposed else weight)
    return y if bias is None else y + bias


def linear_backward(dout, x, weight, transposed=False):
    rows = x.reshape(-1, x.shape[-1])
    drows = dout.reshape(-1, dout.shape[-1])
    dx = dout @ (weight if transposed else weight.T)
    dweight = rows.T @ drows
    return dx, dweight.T if transposed else dweight, drows.sum(0)
