"""Weight Sharing Attention: frozen pre-trained models, combined for an agent.

Each `Combination` makes one state of the embeddings of all models: `Combiner` is the method, and
`DotProductAttention`, `Mean`, `Single`, `Concatenation`, `FixedLinear`, `Convolutional` and `Mixed`
are what it is compared with. `Reservoir` is a network of fixed random weights that remembers the
embeddings of an episode; it stands on the side of the environments (`ReservoirEnv`). Models are
added and removed while the agent trains: `rebuild` then carries over what it has learned.
"""

from gatelearn.wsa.attention import DotProductAttention
from gatelearn.wsa.averaging import Mean, Single
from gatelearn.wsa.base import Combination, Combined, rebuild
from gatelearn.wsa.combiner import Combiner
from gatelearn.wsa.concatenation import Concatenation, FixedLinear
from gatelearn.wsa.convolutional import Convolutional, Mixed
from gatelearn.wsa.reservoir import Reservoir, ReservoirEnv

__all__ = ["Combination", "Combined", "Combiner", "Concatenation", "Convolutional",
           "DotProductAttention", "FixedLinear", "Mean", "Mixed", "Reservoir", "ReservoirEnv",
           "Single", "rebuild"]
