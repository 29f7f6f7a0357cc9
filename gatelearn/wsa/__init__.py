"""Weight Sharing Attention: frozen pre-trained models, combined for an agent.

Each `Combination` makes one state of the embeddings of all models. Models are added and removed
while the agent trains: `rebuild` then carries over what it has learned.
"""

from gatelearn.wsa.base import Combination, Combined, rebuild

__all__ = ["Combination", "Combined", "rebuild"]
