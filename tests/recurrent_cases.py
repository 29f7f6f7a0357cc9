"""Inputs of the recurrent functions, and both sides of a comparison with the twin."""

import numpy as np

from gatelearn import functional as F
from gatelearn._reference import recurrent as ref
from gatelearn.functional.recurrent import by_gate

GATES = {"rnn": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
CELLS = list(GATES)
FORWARD = {1: F.rnn, 3: F.gru, 4: F.lstm}
BACKWARD = {1: F.rnn_backward, 3: F.gru_backward, 4: F.lstm_backward}
GRADIENTS = ("x", "state", "wx", "wh", "bias", "bias_hidden")


class Case:
    """Inputs of one cell; what is run on them may be changed by name."""

    def __init__(self, rng, cell, dtype=np.float64, shape=(3, 7, 5, 9), lengths=False,
                 reverse=False):
        B, T, width, H = shape
        self.G = G = GATES[cell]
        state = (B, 2, H) if G == 4 else (B, H)
        shapes = dict(x=(B, T, width), wx=(width, G * H), wh=(H, G * H), bias=(G * H,),
                      bias_hidden=(H,), state=state, dy=(B, T, H), dlast=state)
        self.arrays = {k: rng.standard_normal(s).astype(dtype) for k, s in shapes.items()}
        # so that a ReLU does not grow without end
        for name in ("wx", "wh"):
            self.arrays[name] /= max(1, len(self.arrays[name])) ** 0.5
        self.options = dict(lengths=rng.integers(0, T + 1, B) if lengths else None,
                            reverse=reverse)
        self.extra = {"nonlinearity": "relu"} if cell == "rnn-relu" else {}

    def forward(self, **changes):
        """Return y, state and, but for an RNN, trace."""
        a = self.arrays | changes
        names = ["x", "wx", "wh", "bias"] + ["bias_hidden"] * (self.G == 3) + ["state"]
        return FORWARD[self.G](*(a[n] for n in names), **self.options, **self.extra)

    def backward(self, **changes):
        """Return the gradients in the order of GRADIENTS, from a forward pass of its own."""
        a = self.arrays | changes
        y, _, *trace = self.forward(**changes)
        return BACKWARD[self.G](a["dy"], a["x"], a["wx"], a["wh"], y, *trace, a["state"],
                                dlast=a["dlast"], **self.options, **self.extra)

    def twin(self):
        """Return y, state and the gradients of the twin, in float64."""
        a, G = {k: v.astype(np.float64) for k, v in self.arrays.items()}, self.G
        for name in ("wx", "wh", "bias"):
            a[name] = by_gate(a[name], G)
        for name in ("state", "dlast"):
            a[name] = a[name] if G == 4 else a[name][:, None]
        options = dict(self.options, relu=bool(self.extra))
        inputs = [a[n] for n in ("x", "state", "wx", "wh", "bias", "bias_hidden")]
        grads = ref.recurrent_backward(a["dy"], a["dlast"], *inputs, **options)
        return *ref.recurrent(*inputs, **options), *grads
