"""The combinations that the tests go through."""

import numpy as np

from gatelearn import wsa

WIDTHS = {"state": 4, "objects": 8, "motion-2": 3}
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]], bool)


def normal(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Each combination by the name of its class, with M models of WIDTHS; further cases follow a dash.
# Every subclass of Combination under gatelearn.wsa must stand here; bases apart.
REGISTRY = {
    "Concatenation": lambda **o: wsa.Concatenation(WIDTHS, 5, **o),
    "FixedLinear": lambda **o: wsa.FixedLinear(WIDTHS, 3, **o),
    "Convolutional": lambda **o: wsa.Convolutional(WIDTHS, channels=3, size=2, **o),
    "Convolutional-3": lambda **o: wsa.Convolutional(WIDTHS, 5, convolutions=3, channels=2, size=2,
                                                     **o),
    "Mixed": lambda **o: wsa.Mixed(WIDTHS, linear=3, channels=2, size=2, **o),
    "Mixed-2": lambda **o: wsa.Mixed(WIDTHS, 5, vectors=["motion-2", "state"], linear=3,
                                     convolutions=2, channels=2, size=2, **o),
    "DotProductAttention": lambda **o: wsa.DotProductAttention(WIDTHS, 5, context="state", **o),
    "DotProductAttention-linear": lambda **o: wsa.DotProductAttention(
        WIDTHS, 5, context="state", weigh_context=True, adapter="linear", **o),
    "Combiner": lambda **o: wsa.Combiner(WIDTHS, 5, context="state", hidden=3, **o),
    "Combiner-linear": lambda **o: wsa.Combiner(
        WIDTHS, 5, context="state", weigh_context=True, hidden=0, normalisation="linear",
        adapter="linear", **o),
    "Mean": lambda **o: wsa.Mean(WIDTHS, 5, **o),
    "Mean-linear": lambda **o: wsa.Mean(WIDTHS, 5, adapter="linear", **o),
    "Single": lambda **o: wsa.Single(WIDTHS, 5, model="state", **o),
}
