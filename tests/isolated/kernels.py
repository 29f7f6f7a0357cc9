"""The calls whose instructions test_instructions.py counts; prints their names in this order."""

import numpy as np

from gatelearn import _core, nn
from gatelearn import functional as F


def ends(name):
    print(name)
    _core.get_isa()  # callgrind writes what it counted since the call before


rng = np.random.default_rng(0)
dout, *qkv = rng.standard_normal((4, 1, 1, 512, 64), np.float32)
for form, is_causal in (("dense", False), ("causal", True)):
    out, lse = F.attention(*qkv, is_causal=is_causal, return_lse=True)
    ends(f"attention forward, {form}")
    F.attention_backward(dout, *qkv, out, lse, is_causal=is_causal)
    ends(f"attention backward, {form}")

layer = nn.GatedHeads(256, 8).build(0, np.float32)
x, dy = rng.standard_normal((2, 1, 64, 256), np.float32)
for form, gate in (("open", [1, 1, 1, 1]), ("half closed", [0, 1, 1, 0]), ("closed", [0, 0, 0, 0])):
    y, saved = layer.forward(x, np.float32([2 * gate]))
    ends(f"heads forward, {form}")
    layer.backward(dy, saved)
    ends(f"heads backward, {form}")
