"""Figures of a study, readable in colour, in grey and by the colour-blind.

Every function returns a Matplotlib figure and leaves Matplotlib's global state alone: no pyplot, no
window, no change of backend. In a notebook a figure shows itself; `save` writes it.
"""

from gatelearn.plots.captions import attention_maps, caption_scores
from gatelearn.plots.curves import learning_curves
from gatelearn.plots.figure import save
from gatelearn.plots.gates import gate_map, score_vs_open
from gatelearn.plots.gradients import estimators
from gatelearn.plots.speed import scaling

__all__ = ["attention_maps", "caption_scores", "estimators", "gate_map", "learning_curves", "save",
           "scaling", "score_vs_open"]
