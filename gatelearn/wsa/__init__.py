"""Weight Sharing Attention: frozen pre-trained models, combined for an agent.

`as_encoder` makes an encoder of whatever the model is, `Encoders` runs several on one observation.
`Combiner` is the method: it makes one state of their embeddings. It is one of several ways to do
so, each a `Combination`: `DotProductAttention`, `Mean`, `Single`, `Concatenation`, `FixedLinear`,
`Convolutional` and `Mixed`. `Reservoir` is a network of fixed random weights that remembers the
embeddings of an episode, on the side of the environments (`ReservoirEnv`). Models are added and
removed while the agent trains: `rebuild` then carries over what it has learned. The models that the
library trains itself are in :mod:`gatelearn.wsa.pretraining`.
"""

from gatelearn.wsa.attention import DotProductAttention
from gatelearn.wsa.averaging import Mean, Single
from gatelearn.wsa.base import Combination, Combined, rebuild
from gatelearn.wsa.combiner import Combiner
from gatelearn.wsa.concatenation import Concatenation, FixedLinear
from gatelearn.wsa.convolutional import Convolutional, Mixed
from gatelearn.wsa.encoders import Encoder, Encoders, as_encoder
from gatelearn.wsa.reservoir import Reservoir, ReservoirEnv

__all__ = ["Combination", "Combined", "Combiner", "Concatenation", "Convolutional",
           "DotProductAttention", "Encoder", "Encoders", "FixedLinear", "Mean", "Mixed",
           "Reservoir", "ReservoirEnv", "Single", "as_encoder", "rebuild"]
