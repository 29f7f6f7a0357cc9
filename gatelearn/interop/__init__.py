"""The kernels in other libraries' terms, each module imported only when asked for.

PyTorch: :mod:`gatelearn.interop.torch`. Stable-Baselines3: :mod:`gatelearn.interop.sb3`.
"""
