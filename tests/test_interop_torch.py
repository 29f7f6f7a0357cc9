"""PyTorch's side: gradients by its own check, parity, shared memory, training, refusals."""

import numpy as np
import pytest

from gatelearn import functional as F

torch = pytest.importorskip("torch")
from gatelearn.interop import torch as ours  # noqa: E402


def draw(*shape, seed=0, dtype=torch.float64):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.to(dtype).requires_grad_()


B, H, G, T, D = 2, 4, 2, 5, 3
MASK = np.random.default_rng(0).random((B, 1, T, T)) < 0.6
FORMS = {
    "plain": {}, "causal": dict(is_causal=True), "window": dict(window=(2, 1)),
    "scale": dict(scale=-0.3), "mask": dict(mask=torch.from_numpy(MASK)),
    "lengths": dict(query_lengths=torch.tensor([3, 5]), key_lengths=[4, 0]),
    "blocks": dict(block_mask=np.eye(3, dtype=bool), block_size=2),
    "alibi": dict(alibi_slopes=torch.linspace(0.1, 0.4, H, dtype=torch.float64)),
    "dropout": dict(dropout_p=0.4, seed=3),
}


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_of_each_form(form):
    q, k, v = draw(B, H, T, D), draw(B, G, T, D, seed=1), draw(B, G, T, 2, seed=2)
    assert torch.autograd.gradcheck(lambda *x: ours.attention(*x, **FORMS[form]), (q, k, v))


@pytest.mark.parametrize("shape", [(B, H), (B, H, T), (B, H, T, 2)])
def test_gradcheck_of_gates(shape):
    inputs = [draw(B, H, T, D, seed=i) for i in range(2)] + [draw(B, H, T, 2, seed=2), draw(*shape)]
    assert torch.autograd.gradcheck(lambda *x: ours.attention(*x[:3], gate=x[3]), inputs)


@pytest.mark.parametrize("shape", [(B, H, T, T), (1, H, T, T), (B, 1, T, T), (T, T), (1, 1, 1, T)])
def test_gradcheck_of_biases(shape):
    inputs = [draw(B, H, T, D, seed=i) for i in range(3)] + [draw(*shape)]
    assert torch.autograd.gradcheck(
        lambda *x: ours.attention(*x[:3], bias=x[3], is_causal=True), inputs)


def test_gradcheck_of_additive_attention_and_rotary():
    inputs = draw(B, 4, 3), draw(B, 5, 3, seed=1), draw(B, 5, 2, seed=2), draw(3, seed=3)
    assert torch.autograd.gradcheck(
        lambda *x: ours.additive_attention(*x, key_lengths=[5, 2]), inputs)
    tables = F.rotary_tables(T, 4, dtype=float)
    assert torch.autograd.gradcheck(lambda x: ours.rotary(x, *tables), (draw(B, H, T, 4),))


@pytest.mark.parametrize("options", [{}, dict(is_causal=True), dict(enable_gqa=True)])
def test_parity_with_pytorch(options):
    options = dict(options)
    heads = G if options.pop("enable_gqa", False) else H
    inputs = [draw(B, n, 70, 16, seed=i, dtype=torch.float32)
              for i, n in enumerate((H, heads, heads))]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *inputs, enable_gqa=heads < H, **options)
    out = ours.attention(*inputs, **options)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    dout = draw(*out.shape, seed=9, dtype=torch.float32).detach()
    for a, e in zip(torch.autograd.grad(out, inputs, dout),
                    torch.autograd.grad(expected, inputs, dout), strict=True):
        torch.testing.assert_close(a, e, rtol=1e-3, atol=1e-4)


def test_tensors_are_not_copied(monkeypatch):
    seen = []
    attention = F.attention
    monkeypatch.setattr(F, "attention", lambda q, k, v, **options: (
        seen.append((q, k, v)), attention(q, k, v, **options))[1])
    qkv = torch.randn(B, T, 3, H, D)
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    out = ours.attention(q, k, v)
    memory = qkv.numpy()
    assert all(np.shares_memory(a, memory) for a in seen[0])
    assert [a.strides for a in seen[0]] == [tuple(4 * s for s in x.stride()) for x in (q, k, v)]
    # the core takes them with these strides, too
    same = torch.from_numpy(attention(*(x.contiguous().numpy() for x in (q, k, v))))
    assert torch.equal(out, same)


def test_only_what_needs_a_gradient_gets_one():
    q, k, v = draw(B, H, T, D), draw(B, H, T, D, seed=1).detach(), draw(B, H, T, D, seed=2)
    gate = torch.ones(B, H, dtype=torch.float64)
    ours.attention(q, k, v, gate=gate).sum().backward()
    assert q.grad is not None and v.grad is not None and k.grad is None and gate.grad is None


def test_what_was_written_over_is_noticed():
    q = draw(B, H, T, D)
    x = q * 1
    out = ours.attention(x, x, x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_module_trains():
    """Each position learns to report the one before it."""
    torch.manual_seed(0)
    x = torch.randn(64, 12, 8)
    target = torch.roll(x, 1, 1)
    embedding = torch.nn.Parameter(torch.randn(12, 16))
    layers = torch.nn.ModuleList([torch.nn.Linear(16, 16), torch.nn.Linear(16, 16),
                                  torch.nn.Linear(8, 8)])
    adam = torch.optim.Adam([embedding, *layers.parameters()], lr=0.02)
    losses = []
    for _ in range(60):
        q, k = (layer(embedding).expand(64, 1, 12, 16) for layer in layers[:2])
        out = ours.attention(q, k, layers[2](x)[:, None], is_causal=True)[:, 0]
        loss = ((out - target)[:, 1:] ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


X = torch.ones(1, 2, 3, 4)


@pytest.mark.parametrize("change, kind, message", [
    (dict(query=np.ones((1, 2, 3, 4))), TypeError, "query is ndarray, expected a tensor"),
    (dict(key=X.to(torch.bfloat16)), TypeError, "key has dtype torch.bfloat16, expected torch.fl"),
    (dict(value=X.to(torch.complex64)), TypeError, "value has dtype torch.complex64, expected"),
    (dict(query=X.to("meta")), ValueError, "query is on meta .* expected a strided tensor on the"),
    (dict(key=X.to_sparse()), ValueError, "key is on cpu with layout torch.sparse_coo, expected"),
    (dict(bias=[1.0]), TypeError, "bias is list, expected a tensor"),
    (dict(gate=torch.ones(1, 3)), ValueError, r"gate.shape\[1\] is 3, expected H = 2"),
    (dict(value=torch.ones(1, 2, 4, 4)), ValueError, r"value.shape\[2\] is 4, expected K = 3"),
    (dict(maks=None), TypeError, "unexpected keyword argument 'maks'"),
])
def test_errors_name_argument_has_and_expected(change, kind, message):
    with pytest.raises(kind, match=message):
        ours.attention(**(dict(query=X, key=X, value=X) | change))
