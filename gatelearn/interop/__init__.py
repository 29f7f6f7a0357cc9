"""The kernels in other libraries' terms, each module imported only when asked for.

PyTorch: :mod:`gatelearn.interop.torch`; its modules and ONNX files as frozen encoders:
:mod:`gatelearn.interop.torch_module` and :mod:`gatelearn.interop.onnx`.
"""
