"""Good and refused calls, thousands of times: no Python object, no array, no memory is left.

Run as ``python leaks.py CALLS``.
"""

import functools
import gc
import resource
import sys
import tracemalloc

import numpy as np
from calls import FUNCTIONS, REFUSALS, Caller

from gatelearn import _core, nn
from gatelearn import functional as F

calls = int(sys.argv[1])


def grown(work, turns):
    """What `turns` calls leave: blocks of Python, traced bytes (arrays among them), KiB in all."""
    for _ in range(200):
        work()
    gc.collect()
    tracemalloc.start()
    work()
    before = sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0], peak()
    for _ in range(turns):
        work()
    gc.collect()
    after = sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0], peak()
    tracemalloc.stop()
    return [a - b for a, b in zip(after, before, strict=True)]


def peak():
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib // 1024 if sys.platform == "darwin" else kib


def check(label, work, turns):
    """A leak of one block a call, or of 16 bytes of C a call, would show."""
    blocks, traced, kib = grown(work, turns)
    assert blocks < turns / 20 + 100, f"{label}: {blocks} blocks after {turns} calls"
    assert traced < 8 * turns + 20_000, f"{label}: {traced} bytes after {turns} calls"
    assert kib < 16 * turns // 1024 + 4096, f"{label}: {kib} KiB after {turns} calls"


def refused(f, args):
    def work():
        try:
            f(*args)
        except REFUSALS:
            return
        raise AssertionError("not refused")
    return work


for name in FUNCTIONS:
    caller = next(c for c in (Caller(name, seed) for seed in range(100)) if c.settle())
    f, good = caller.function, list(caller.args.values())
    check(f"{name}, good", lambda f=f, good=good: f(*good), calls)
    at = next(i for i, a in enumerate(good) if isinstance(a, np.ndarray))
    bad = {"no argument": [],
           "a list": [*good[:at], [1.0], *good[at + 1:]],
           "another type": [*good[:at], np.zeros(good[at].shape, np.int16), *good[at + 1:]],
           "another shape": [*good[:at], np.zeros((1, 2, 3, 4, 5, 6), good[at].dtype),
                             *good[at + 1:]]}
    for kind, args in bad.items():
        check(f"{name}, {kind}", refused(f, args), calls // 4)

x = np.ones((2, 2, 9, 4), np.float32)
check("values refused by the core", refused(
    functools.partial(F.attention, key_lengths=[99, 0]), (x, x, x)), calls)
check("threads refused", refused(_core.set_num_threads, (0,)), calls)
check("threads refused by type", refused(_core.set_num_threads, ("x",)), calls)
check("an index out of range", refused(
    _core.embedding_forward, (np.ones((1, 2)), np.ones((3, 2)), np.array([7]))), calls)

heads, mlp = nn.GatedHeads(8, 2).build(), nn.GatedMLP(8, 9).build()
z, gate = np.ones((2, 5, 8), np.float32), np.array([[1, 0], [0.5, 1]])


def train():
    y, saved_heads = heads.forward(z, gate)
    y, saved_mlp = mlp.forward(y, gate[:, 0])
    dy, _ = mlp.backward(y, saved_mlp)
    heads.backward(dy, saved_heads)
    out, lse = F.attention(x, x, x, return_lse=True)
    F.attention_backward(out, x, x, x, out, lse)


check("layers", train, calls // 4)
print("nothing is left")
