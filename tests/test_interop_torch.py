"""Attention for PyTorch: gradients, parity, shared memory, training, messages."""

import inspect

import numpy as np
import pytest
from helpers import close

from gatelearn import _core
from gatelearn import functional as F

torch = pytest.importorskip("torch")
gt = pytest.importorskip("gatelearn.interop.torch")

gradcheck = torch.autograd.gradcheck
B, H, TQ, TK, D, E = 2, 4, 5, 6, 3, 2
DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def leaf(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def inputs(G=H, dtype=torch.float64):
    return (leaf(B, H, TQ, D, dtype=dtype), leaf(B, G, TK, D, dtype=dtype),
            leaf(B, G, TK, E, dtype=dtype))


def visible(*shape):
    """A random mask; each query sees the first key."""
    mask = torch.rand(*shape) < 0.5
    mask[..., 0] = True
    return mask


FORMS = {
    "plain": {},
    "causal": dict(is_causal=True),
    "scale": dict(scale=0.3),
    "window": dict(window=(2, 1)),
    "causal window": dict(window=2, is_causal=True),
    "mask": dict(mask=visible(B, 1, TQ, TK)),
    "mask of an array": dict(mask=np.tri(TQ, TK, dtype=bool)),
    "block pattern": dict(block_mask=torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0]]), block_size=2),
    "alibi": dict(alibi_slopes=torch.tensor([0.5, 0.25, 0.125, 0.0], dtype=torch.float64)),
    "dropout": dict(dropout_p=0.4, seed=7),
    "lengths": dict(query_lengths=torch.tensor([5, 3]), key_lengths=[2, 6]),
}


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_inputs(form):
    assert gradcheck(lambda *a: gt.attention(*a, **FORMS[form]), inputs())


@pytest.mark.parametrize("G", [1, 2])
def test_gradients_of_shared_keys(G):
    assert gradcheck(lambda *a: gt.attention(*a, is_causal=True), inputs(G))


@pytest.mark.parametrize("shape", [(), (TK,), (TQ, 1), (H, 1, 1), (B, 1, TQ, TK), (1, H, TQ, TK),
                                   (B, H, TQ, TK)], ids=str)
def test_gradients_of_a_bias(shape):
    assert gradcheck(lambda q, k, v, bias: gt.attention(q, k, v, bias=bias, is_causal=True),
                     (*inputs(), leaf(*shape)))


@pytest.mark.parametrize("shape", [(B, H), (B, H, TQ), (B, H, TQ, E)], ids=str)
def test_gradients_of_a_gate(shape):
    gate = torch.rand(shape, dtype=torch.float64).add(0.5).requires_grad_()
    assert gradcheck(lambda q, k, v, gate: gt.attention(q, k, v, gate=gate), (*inputs(2), gate))


def test_gradients_of_gate_and_bias_together():
    gate = torch.rand((B, H), dtype=torch.float64).add(0.5).requires_grad_()
    assert gradcheck(
        lambda q, k, v, g, b: gt.attention(q, k, v, gate=g, bias=b, mask=FORMS["mask"]["mask"]),
        (*inputs(), gate, leaf(H, TQ, TK)))


@pytest.mark.parametrize("options", [
    {}, dict(is_causal=True), dict(mask=visible(B, TQ, TK)),
    dict(query_lengths=[5, 3], key_lengths=torch.tensor([2, 6]))], ids=str)
def test_gradients_of_additive_attention(options):
    assert gradcheck(lambda *a: gt.additive_attention(*a, **options),
                     (leaf(B, TQ, D), leaf(B, TK, D), leaf(B, TK, E), leaf(D)))


@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_of_rotary(inverse):
    tables = F.rotary_tables(TQ, 4, dtype=np.float64)
    x = leaf(B, H, TQ, 4)
    assert gradcheck(lambda x: gt.rotary(x, *tables, inverse=inverse), (x,))
    assert torch.autograd.gradgradcheck(lambda x: gt.rotary(x, *tables, inverse=inverse), (x,))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rotary_turns_by_tables_of_either_kind(dtype):
    x = leaf(B, H, TQ, 4, dtype=dtype)
    tables = F.rotary_tables(TQ, 4, dtype=x.detach().numpy().dtype)
    turned = gt.rotary(x, *tables)
    assert turned.dtype == dtype and (turned - x)[:, :, 1:].abs().max() > 0.1
    assert torch.equal(turned, gt.rotary(x, *map(torch.tensor, tables)))
    close(gt.rotary(turned, *tables, inverse=True).detach(), x.detach())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", ["plain", "causal", "grouped", "mask", "bias"])
def test_parity_with_pytorch(form, dtype):
    leaves = inputs(2 if form == "grouped" else H, dtype)
    mask, bias = visible(B, H, TQ, TK), leaf(1, H, TQ, TK, dtype=dtype)
    ours, theirs = {"causal": (dict(is_causal=True),) * 2,
                    "grouped": ({}, dict(enable_gqa=True)),
                    "mask": (dict(mask=mask), dict(attn_mask=mask)),
                    "bias": (dict(bias=bias), dict(attn_mask=bias))}.get(form, ({}, {}))
    leaves += (bias,) * (form == "bias")
    out = gt.attention(*leaves[:3], **ours)
    expected = torch.nn.functional.scaled_dot_product_attention(*leaves[:3], **theirs)
    assert out.dtype == dtype
    close(out.detach(), expected.detach())
    dout = torch.randn_like(out)
    for a, e in zip(torch.autograd.grad(out, leaves, dout),
                    torch.autograd.grad(expected, leaves, dout), strict=True):
        close(a, e)


def test_the_options_are_those_of_the_arrays():
    for name in ("attention", "additive_attention", "rotary"):
        theirs = inspect.signature(getattr(F, name)).parameters
        wanted = {n: p.default for n, p in theirs.items() if not n.startswith(("return_", "out"))}
        ours = inspect.signature(getattr(gt, name)).parameters
        assert {n: p.default for n, p in ours.items()} == wanted


def test_a_closed_head_is_not_read():
    q, k, v = inputs()
    gate = torch.ones(B, H, dtype=torch.float64)
    gate[:, 1] = 0
    gate.requires_grad_()
    with torch.no_grad():
        q[:, 1] = torch.nan
    out = gt.attention(q, k, v, gate=gate)
    out.sum().backward()
    assert not out[:, 1].any() and out[:, 0].all()
    for grad in (q.grad, k.grad, v.grad, gate.grad):
        assert not grad[:, 1].any() and grad[:, 0].any()


@pytest.fixture
def seen(monkeypatch):
    """The arguments that the core gets, by function."""
    calls = {}

    def spy(name):
        f = getattr(_core, name)

        def call(*args):
            calls[name] = args
            return f(*args)
        monkeypatch.setattr(_core, name, call)

    for name in ("attention_forward", "attention_backward", "additive_forward", "rotary"):
        spy(name)
    return calls


def same_memory(array, tensor):
    strides = tuple(n * tensor.element_size() for n in tensor.stride())
    return (array.ctypes.data, array.shape, array.strides) == (
        tensor.data_ptr(), tuple(tensor.shape), strides)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_is_copied(seen, dtype):
    qkv = leaf(B, 7, 3, H, 8, dtype=dtype)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    assert not q.is_contiguous()
    gate, bias = torch.ones(B, H, dtype=dtype), leaf(B, H, 7, 7, dtype=dtype)
    out = gt.attention(q, k, v, gate=gate, bias=bias)
    *arrays, core_out, core_lse = (a for a in seen["attention_forward"]
                                   if isinstance(a, np.ndarray))
    for array, tensor in zip(arrays, (q, k, v, gate, bias), strict=True):
        assert same_memory(array, tensor)
    assert same_memory(core_out, out)

    dout = torch.randn(B, 7, H, 8, dtype=dtype).transpose(1, 2)
    dq, = torch.autograd.grad(out, q, dout)
    *arrays, core_dq, _, _, _, _ = (a for a in seen["attention_backward"]
                                    if isinstance(a, np.ndarray))
    lse = torch.from_numpy(core_lse)
    for array, tensor in zip(arrays, (q, k, v, gate, bias, out, lse, dout), strict=True):
        assert same_memory(array, tensor)
    assert same_memory(core_dq, dq)


def test_nothing_is_copied_by_the_others(seen):
    q, k, v, weight = leaf(B, TQ, D), leaf(B, TK, D), leaf(B, TK, E), leaf(D)
    mask = visible(B, TQ, TK)
    out = gt.additive_attention(q, k, v, weight, mask=mask)
    arrays = [a for a in seen["additive_forward"] if isinstance(a, np.ndarray)]
    for array, tensor in zip(arrays, (q, k, v, weight, mask, out), strict=False):
        assert same_memory(array, tensor)
    x = leaf(B, TQ, H, 4).transpose(1, 2)
    tables = [torch.tensor(t) for t in F.rotary_tables(TQ, 4, dtype=np.float64)]
    out = gt.rotary(x, *tables)
    for array, tensor in zip(seen["rotary"][:4], (out, x, *tables), strict=True):
        assert same_memory(array, tensor)


def test_what_needs_no_gradient_gets_none():
    q, k, v = (t.detach() for t in inputs())
    gate = torch.ones(B, H, dtype=torch.float64, requires_grad=True)
    out = gt.attention(q, k, v, gate=gate, bias=torch.zeros(TK, dtype=torch.float64))
    grads = out.grad_fn.apply(torch.ones_like(out))
    assert [g is None for g in grads] == [True] * 5 + [False, True]
    assert not gt.attention(q, k, v).requires_grad


def test_gradients_have_the_types_of_their_tensors():
    q, k, v = leaf(B, H, TQ, D, dtype=torch.float32), leaf(B, H, TK, D), leaf(B, H, TK, E)
    out = gt.attention(q, k, v)
    assert out.dtype == torch.float64
    assert [g.dtype for g in torch.autograd.grad(out.sum(), (q, k, v))] == [q.dtype] + [k.dtype] * 2


@pytest.mark.parametrize("changed", ["key", "mask", "lengths"])
def test_a_change_before_backward_is_noticed(changed):
    q, k, v = inputs()
    mask, lengths = visible(TQ, TK), torch.tensor([2, 6])
    out = gt.attention(q, k, v, mask=mask, key_lengths=lengths)
    with torch.no_grad():
        dict(key=k, mask=mask, lengths=lengths)[changed].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_change_of_tables_is_noticed():
    x, tables = leaf(B, H, TQ, 4), [torch.ones(TQ, 2, dtype=torch.float64) for _ in range(2)]
    out = gt.rotary(x, *tables)
    tables[0].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_attention_differentiates_once():
    q, k, v = inputs()
    grad, = torch.autograd.grad(gt.attention(q, k, v).square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


class Mean(torch.nn.Module):
    """The mean of a sequence, from its last step."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads = heads
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, width)
        self.gate = torch.nn.Parameter(torch.ones(heads))

    def forward(self, x):
        n, T, width = x.shape
        q, k, v = self.qkv(x).view(n, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = gt.attention(q, k, v, is_causal=True, gate=self.gate.expand(n, -1))
        return self.out(y.transpose(1, 2).reshape(n, T, width)[:, -1])


def test_a_module_trains():
    x = torch.randn(32, 6, 8)
    model = Mean()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = (model(x) - x.mean(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad.any() for p in model.parameters() if p.ndim == 2) and model.gate.grad.all()


GOOD = torch.ones(B, H, TQ, D)
MASK = torch.ones(TQ, TQ)


@pytest.mark.parametrize("bad, error, message", [
    (np.ones((B, H, TQ, D)), TypeError, "is ndarray, expected a tensor"),
    (None, TypeError, "is NoneType, expected a tensor"),
    (GOOD.to("meta"), ValueError, "is on device meta, expected cpu"),
    (GOOD.to_sparse(), TypeError, "is torch.sparse_coo, expected a dense tensor"),
    (torch.nested.as_nested_tensor([GOOD[0]], layout=torch.jagged), TypeError,
     "is nested, expected a dense tensor"),
    *((GOOD.to(dtype), TypeError, f"has dtype {dtype}, expected torch.float32 or torch.float64")
      for dtype in (torch.bfloat16, torch.float16, torch.complex64, torch.int64)),
], ids=lambda x: x if isinstance(x, str) else "")
def test_messages_about_tensors(bad, error, message):
    for i, name in enumerate(("query", "key", "value")):
        args = [GOOD] * 3
        args[i] = bad
        for f in (gt.attention, lambda *a: gt.additive_attention(*a, GOOD[0, 0, 0])):
            with pytest.raises(error) as raised:
                f(*args)
            assert str(raised.value) == f"{name} {message}"
    cases = [("x", lambda: gt.rotary(bad, GOOD, GOOD))]
    if bad is not None:
        cases += [("gate", lambda: gt.attention(GOOD, GOOD, GOOD, gate=bad)),
                  ("bias", lambda: gt.attention(GOOD, GOOD, GOOD, bias=bad)),
                  ("weight", lambda: gt.additive_attention(GOOD[0], GOOD[0], GOOD[0], bad))]
    for name, f in cases:
        with pytest.raises(error) as raised:
            f()
        assert str(raised.value) == f"{name} {message}"


@pytest.mark.parametrize("options, error, message", [
    (dict(mask=MASK), TypeError, "mask has dtype torch.float32, expected booleans or integers"),
    (dict(mask=MASK.bfloat16()), TypeError,
     "mask has dtype torch.bfloat16, expected booleans or integers"),
    (dict(mask=MASK.bool().to("meta")), ValueError, "mask is on device meta, expected cpu"),
    (dict(mask=MASK.bool().to_sparse()), TypeError,
     "mask is torch.sparse_coo, expected a dense tensor"),
    (dict(mask=np.ones((TQ, TQ))), TypeError,
     "mask has dtype float64, expected booleans or integers"),
    (dict(key_lengths=torch.ones(B)), TypeError,
     "key_lengths has dtype torch.float32, expected booleans or integers"),
    (dict(query_lengths=torch.ones(B, dtype=torch.bool)), TypeError,
     "query_lengths has dtype bool, expected integers"),
    (dict(block_mask=torch.ones(1, 1)), TypeError,
     "block_mask has dtype torch.float32, expected booleans or integers"),
    (dict(alibi_slopes=torch.ones(H).half()), TypeError,
     "alibi_slopes has dtype torch.float16, expected torch.float32 or torch.float64"),
    (dict(alibi_slopes=torch.ones(H, requires_grad=True)), ValueError,
     "alibi_slopes requires a gradient, expected a constant"),
    (dict(scale=torch.tensor(1.0)), TypeError,
     "scale is Tensor, expected a number; multiply query by a tensor instead"),
    (dict(dropout_p=0.1), ValueError,
     "seed is None, expected an integer in [0, 2**63) where dropout_p > 0"),
    (dict(gate=torch.ones(B, H, TQ + 1)), ValueError,
     f"gate has shape {(B, H, TQ + 1)}, expected {(B, H, TQ)}"),
], ids=lambda x: x if isinstance(x, str) else "")
def test_messages_about_options(options, error, message):
    with pytest.raises(error) as raised:
        gt.attention(GOOD, GOOD, GOOD, **options)
    assert str(raised.value) == message


def test_messages_about_tables():
    table = torch.ones(TQ, 1)
    x = torch.ones(B, H, TQ, 2)
    for bad, error, message in [
            (table.clone().requires_grad_(), ValueError,
             "requires a gradient, expected a constant"),
            (table.half(), TypeError,
             "has dtype torch.float16, expected torch.float32 or torch.float64")]:
        for name, tables in ("cosine", (bad, table)), ("sine", (table, bad)):
            with pytest.raises(error) as raised:
                gt.rotary(x, *tables)
            assert str(raised.value) == f"{name} {message}"
