"""The kernels in other libraries' terms, each module imported only when asked for.

PyTorch: :mod:`gatelearn.interop.torch`.
"""
