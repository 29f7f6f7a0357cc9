"""ONNX files as frozen encoders, run by ONNX Runtime, for `gatelearn.wsa.as_encoder`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn._config import get_num_threads
from gatelearn.errors import UserError, require

onnxruntime = require("onnxruntime", install="'gatelearn[onnx]'")

__all__ = ["OnnxEncoder"]

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
          "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32,
          "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


class OnnxEncoder:
    """A graph with one input and an output that has a row for each of the input's.

    Calls from several threads at a time are safe. A graph whose batch is fixed at b is run on b
    rows at a time; where the last part has fewer, zeros fill it up.

    Parameters
    ----------
    path : path
        An ``.onnx`` file.
    name : str
    output : str, optional
        Which output; the first by default. Its further axes are flattened.
    prepare : callable, optional
        Applied to observations before the graph sees them.

    Attributes
    ----------
    width : int
        Numbers an embedding; 0 where the graph does not say.
    shape : tuple
        Of the input; None where any length will do.
    dtype : dtype
        Of the input.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UserError
        If ONNX Runtime cannot read it, it has another number of inputs than one, no output of that
        name, or an input of an unknown type.
    """

    def __init__(self, path: str | Path, *, name: str, output: str | None = None,
                 prepare: Callable[[Any], Any] | None = None):
        self.path, self.name, self.output, self.prepare = Path(path), name, output, prepare
        self._open()

    def _open(self) -> None:
        path = self.path
        if not path.is_file():
            raise FileNotFoundError(f"'{path}' is no file, expected an ONNX graph")
        options = onnxruntime.SessionOptions()
        # the caller's threads are ours to use, no more
        options.intra_op_num_threads = get_num_threads()
        options.inter_op_num_threads = 1
        # 3: errors, which are raised anyway, and nothing less
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # its exceptions have no class of their own to catch
            raise UserError(f"'{path}' cannot be read by ONNX Runtime: {error}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise UserError(f"'{path}' has the inputs {[i.name for i in inputs]}, expected one")
        named = {out.name: out for out in outputs}
        if self.output is not None and self.output not in named:
            raise UserError(f"'{path}' has no output '{self.output}', expected one of "
                            f"{list(named)}")
        if inputs[0].type not in _TYPES:
            raise UserError(f"'{path}' has an input of type {inputs[0].type}, expected one of "
                            f"{list(_TYPES)}")
        self.dtype = np.dtype(_TYPES[inputs[0].type])
        self._input = inputs[0].name
        # axes without a fixed length have a name, or None
        self.shape = tuple(n if isinstance(n, int) else None for n in inputs[0].shape)
        if not self.shape:
            raise UserError(f"'{path}' has an input without axes, expected observations along one")
        chosen = outputs[0] if self.output is None else named[self.output]
        self._output = chosen.name
        rest = list(chosen.shape)[1:]
        self.width = math.prod(rest) if all(isinstance(n, int) for n in rest) else 0

    def __getstate__(self) -> dict[str, Any]:
        # a session cannot be pickled: the file is opened anew
        return {key: getattr(self, key) for key in ("path", "name", "output", "prepare", "width")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()
        self.width = state["width"]

    def embed(self, observations: NDArray) -> NDArray:
        """Return embeddings.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)
            As `shape` and `dtype` say, unless `prepare` makes them so.

        Returns
        -------
        ndarray, shape (B, width)

        Raises
        ------
        TypeError, ValueError
            If type or shape do not fit the graph's input.
        """
        x = observations if self.prepare is None else self.prepare(observations)
        x = self._fitting(x)
        fixed = self.shape[0]
        if fixed is None:
            return self._run(x)
        parts = [self._run(_filled(x[at:at + fixed], fixed))
                 for at in range(0, max(len(x), 1), fixed)]
        return np.concatenate(parts)[:len(x)]

    def _fitting(self, x: Any) -> NDArray:
        where = f"encoder '{self.name}': observations"
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{where} is {type(x).__name__}, expected an array; prepare can make "
                            "one")
        if x.dtype != self.dtype:
            raise TypeError(f"{where} has dtype {x.dtype}, expected {self.dtype} as the graph's "
                            f"input '{self._input}'; prepare can convert")
        expected = self.shape[1:]
        if x.ndim != len(self.shape) or any(
                want not in (None, has) for want, has in zip(expected, x.shape[1:], strict=True)):
            shape = ", ".join(["B", *("any" if n is None else str(n) for n in expected)])
            raise ValueError(f"{where} has shape {x.shape}, expected ({shape}) as the graph's "
                             f"input '{self._input}'")
        return np.ascontiguousarray(x)

    def _run(self, x: NDArray) -> NDArray:
        y = self._session.run([self._output], {self._input: x})[0]
        return y.reshape(len(y), math.prod(y.shape[1:])) if y.ndim > 1 else y


def _filled(x: NDArray, rows: int) -> NDArray:
    if len(x) == rows:
        return x
    return np.concatenate([x, np.zeros((rows - len(x), *x.shape[1:]), x.dtype)])
