"""Weight Sharing Attention: frozen pre-trained models, combined for an agent.

The models that the library trains itself are in :mod:`gatelearn.wsa.pretraining`.
"""
