"""Weight Sharing Attention: frozen pre-trained models, combined for an agent.

Each `Combination` makes one state of the embeddings of all models: `Combiner` is the method. Models
are added and removed while the agent trains: `rebuild` then carries over what it has learned.
"""

from gatelearn.wsa.base import Combination, Combined, rebuild
from gatelearn.wsa.combiner import Combiner

__all__ = ["Combination", "Combined", "Combiner", "rebuild"]
