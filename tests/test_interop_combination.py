"""Combinations of models for PyTorch: gradients, shared memory, training, messages."""

import copy
import threading

import numpy as np
import pytest
from combination_cases import PRESENT, REGISTRY, normal
from helpers import close, same_bits

from gatelearn import nn, wsa

torch = pytest.importorskip("torch")
gt = pytest.importorskip("gatelearn.interop.torch")


def made(name, dtype=np.float64, **options):
    """A layer, and tensors of features and parameters."""
    layer = REGISTRY[name](**options).build(0, dtype)
    layer.params += 0.1 * normal(len(layer.params), dtype=dtype)
    features = torch.tensor(normal(5, 15, dtype=dtype), requires_grad=layer.input_gradient)
    return layer, features, torch.nn.Parameter(torch.from_numpy(layer.params))


@pytest.mark.parametrize("present", [None, PRESENT, torch.tensor(PRESENT)],
                         ids=["all", "array", "tensor"])
@pytest.mark.parametrize("name", REGISTRY)
def test_gradients(name, present):
    layer, features, params = made(name, input_gradient=True)
    assert torch.autograd.gradcheck(
        lambda f, p: gt.combination(layer, f, p, present), (features, params))
    # of the parameters alone, from memory that is not the layer's
    layer, features, params = made(name)
    assert torch.autograd.gradcheck(lambda p: gt.combination(layer, features, p * 1, present),
                                    (params,))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REGISTRY)
def test_the_layer_and_the_function_agree(name, dtype):
    layer, features, params = made(name, dtype, input_gradient=True)
    state, weights = gt.combination(layer, features, params, PRESENT, return_weights=True)
    dstate = torch.randn_like(state)
    state.backward(dstate)
    own = REGISTRY[name](input_gradient=True).build(0, dtype)
    own.params[...] = params.detach().numpy()
    expected, saved = own.forward(features.detach().numpy(), PRESENT)
    same_bits(state.detach().numpy(), expected)
    same_bits(features.grad.numpy(), own.backward(dstate.numpy(), saved))
    same_bits(params.grad.numpy(), own.grads)
    assert (weights is None) == (saved.weights is None)
    if weights is not None:
        same_bits(weights.numpy(), saved.weights)
        assert not weights.requires_grad


def test_the_parameters_are_the_memory_of_the_tensor():
    layer, features, params = made("Mean")
    gt.combination(layer, features, params)
    assert layer.params.ctypes.data == params.data_ptr()
    with torch.no_grad():
        params.zero_()
    assert not layer.named_parameters()["adapter.state.0.weight"].any()


@pytest.mark.parametrize("name", ["Concatenation", "Combiner-linear"])
def test_other_parameters_copies_and_a_new_build_are_noticed(name):
    layer, features, params = made(name)
    x = features.numpy()
    first = gt.combination(layer, features, params)
    other = torch.zeros_like(params)
    assert not gt.combination(layer, features, other).any()
    same_bits(gt.combination(layer, features, params).detach().numpy(), first.detach().numpy())
    # a copy's parameters are no views of its flat array: they are bound anew
    twin = copy.deepcopy(layer)
    theirs = torch.from_numpy(twin.params)
    theirs.zero_()
    assert not gt.combination(twin, features, theirs).any()
    same_bits(gt.combination(layer, features, params).detach().numpy(), first.detach().numpy())
    layer.build(3, np.float64)
    expected, _ = layer.forward(x)
    same_bits(gt.combination(layer, features, torch.from_numpy(layer.params)).numpy(), expected)
    same_bits(gt.combination(layer, features, params).detach().numpy(), first.detach().numpy())


def test_backward_uses_the_parameters_of_its_forward():
    layer, features, params = made("Mean")
    other = torch.nn.Parameter(torch.randn_like(params))
    gt.combination(layer, features, params).sum().backward()
    expected = params.grad.clone()
    params.grad = None
    first, second = (gt.combination(layer, features, p) for p in (params, other))
    second.sum().backward()
    first.sum().backward()
    same_bits(params.grad.numpy(), expected.numpy())
    assert not torch.equal(other.grad, expected)


@pytest.mark.parametrize("name", ["DotProductAttention", "Combiner"])
def test_threads_may_share_a_layer(name):
    layer, features, params = made(name)
    tensors = [torch.nn.Parameter(params.detach() * (1 + i)) for i in range(6)]
    expected = []
    for p in tensors:
        state = gt.combination(layer, features, p)
        expected.append((state.detach(), torch.autograd.grad(state.square().sum(), p)[0]))
    wrong = []

    def work(i):
        for _ in range(30):
            state = gt.combination(layer, features, tensors[i])
            grad, = torch.autograd.grad(state.square().sum(), tensors[i])
            if not (torch.equal(state, expected[i][0]) and torch.equal(grad, expected[i][1])):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_module_trains_while_models_come_and_go():
    torch.manual_seed(0)
    layer = wsa.Mean({"a": 3, "b": 4}, 16).build(0)

    def loss_after(steps):
        params = torch.nn.Parameter(torch.from_numpy(layer.params))
        head = torch.nn.Linear(16, 1)
        optimizer = torch.optim.Adam([params, *head.parameters()], lr=0.01)
        x = torch.randn(64, sum(layer.widths.values()))
        for _ in range(steps):
            loss = (head(gt.combination(layer, x, params))[:, 0] - x[:, :3].sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    assert loss_after(150) < 0.3 < 1.5 < loss_after(1)
    before = layer.params.copy()
    layer.add("c", 2)
    wsa.rebuild(layer, None, np.random.default_rng(0))
    same_bits(layer.params[:len(before)], before)
    assert loss_after(150) < 0.5


def test_what_needs_no_gradient_gets_none():
    layer, features, params = made("Mean", input_gradient=True)
    state = gt.combination(layer, features.detach(), params)
    assert [g is None for g in state.grad_fn.apply(torch.ones_like(state), None)] == [
        True, True, True, False]
    assert not gt.combination(layer, features.detach(), params.detach()).requires_grad


def test_a_change_before_backward_is_noticed():
    for changed in ("features", "params", "present"):
        layer, features, params = made("Mean")
        tensors = dict(features=features, params=params, present=torch.tensor(PRESENT))
        state = gt.combination(layer, **tensors)
        with torch.no_grad():
            tensors[changed].zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            state.sum().backward()


def test_it_differentiates_once():
    layer, features, params = made("Mean")
    grad, = torch.autograd.grad(gt.combination(layer, features, params).square().sum(), params,
                                create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_parameters_of_any_stride():
    layer, features, params = made("Mean")
    expected = gt.combination(layer, features, params)
    wide = torch.stack([params.detach(), torch.ones_like(params)], 1).requires_grad_()
    state = gt.combination(layer, features, wide[:, 0])
    close(state.detach(), expected.detach())
    state.sum().backward()
    expected.sum().backward()
    close(wide.grad[:, 0], params.grad)


def test_messages():
    layer, features, params = made("Mean")
    size = len(params)
    for arguments, error, message in [
            ((np.ones((5, 15)), params), TypeError, "features is ndarray, expected a tensor"),
            ((features, layer.params), TypeError, "params is ndarray, expected a tensor"),
            ((features, params[1:]), ValueError,
             rf"params has shape \({size - 1},\), expected \({size},\)"),
            ((features.float(), params), TypeError, "float32, expected float64"),
            ((features[:, 1:], params), ValueError, r"features has shape \(5, 14\), expected"),
            ((features, params, PRESENT[1:]), ValueError, r"present has shape \(4, 3\)"),
            ((features, params, torch.ones(5, 3)), TypeError, "present has dtype torch.float32"),
            ((features.clone().requires_grad_(), params), ValueError,
             "features requires a gradient, expected a constant: .* input_gradient=False")]:
        with pytest.raises(error, match=message):
            gt.combination(layer, *arguments)
    # nothing was changed by what failed
    same_bits(gt.combination(layer, features, params).detach().numpy(),
              nn.Sequential(layer).forward(features.numpy())[0])
