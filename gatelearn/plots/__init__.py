"""Figures of a study, readable in colour, in grey and by the colour-blind.

Every function returns a Matplotlib figure and leaves Matplotlib's global state alone: no pyplot, no
window, no change of backend. In a notebook a figure shows itself; `save` writes it.
"""

from gatelearn.plots.animation import save_frames
from gatelearn.plots.atari import frame_strip
from gatelearn.plots.attempts import reward_by_attempt
from gatelearn.plots.captions import attention_maps, caption_scores
from gatelearn.plots.curves import learning_curves
from gatelearn.plots.encoders import pretraining_curves, reconstructions
from gatelearn.plots.figure import save
from gatelearn.plots.gates import gate_map, score_vs_open
from gatelearn.plots.glimpses import error_by_glimpses, glimpse_paths, save_gif
from gatelearn.plots.gradients import estimators
from gatelearn.plots.pretraining import keypoints_over_frames, masks_over_frames
from gatelearn.plots.returns import model_weights, return_curves
from gatelearn.plots.speed import scaling
from gatelearn.plots.sweeps import sweep

__all__ = ["attention_maps", "caption_scores", "error_by_glimpses", "estimators", "frame_strip",
           "gate_map", "glimpse_paths", "keypoints_over_frames", "learning_curves",
           "masks_over_frames", "model_weights", "pretraining_curves", "reconstructions",
           "return_curves", "reward_by_attempt", "save", "save_frames", "save_gif", "scaling",
           "score_vs_open", "sweep"]
