"""Frozen pre-trained models as encoders: observations in, embeddings out, whatever made the model.

`as_encoder` makes one of a function, an ONNX file, a PyTorch module or a file of
`gatelearn.wsa.pretraining`; `Encoders` runs several on the same observations.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import UserError
from gatelearn.wsa.base import check_name

# arrays with observations along the first axis; a mapping where an observation has parts
Observations: TypeAlias = NDArray | Mapping[str, NDArray]


@runtime_checkable
class Encoder(Protocol):
    """A frozen model. It is never trained here, and the same observation has the same embedding."""

    name: str
    """Unique among the encoders of an agent; letters, digits, hyphens and underscores."""
    width: int
    """Numbers an embedding."""

    def embed(self, observations: Any) -> NDArray:
        """Return embeddings (B, width), float32, of B observations."""


class FunctionEncoder:
    """A function of observations as an encoder; made by `as_encoder`.

    Parameters
    ----------
    function : callable
        Maps B observations to an array of B rows; further axes are flattened.
    name : str
    width : int
    """

    def __init__(self, function: Callable[[Any], Any], name: str, width: int):
        self.function, self.name, self.width = function, name, width

    def embed(self, observations: Observations) -> NDArray:
        return _rows_of(self.function(observations))


def as_encoder(model: Any, *, name: str | None = None, example: Observations | None = None,
               prepare: Callable[[Any], Any] | None = None) -> Encoder:
    """Make an encoder of a pre-trained model.

    Parameters
    ----------
    model : Encoder, callable, path or torch.nn.Module
        What maps B observations to B embeddings: an encoder, which is returned as it is unless
        there is something to change; a function of arrays; the path of an ``.onnx`` file, run by
        ONNX Runtime, or of a ``.safetensors`` file that `gatelearn.wsa.pretraining.save_encoder`
        wrote; a PyTorch module, which is copied, set to evaluation and run without gradients. An
        output of more than two axes is flattened.
    name : str, optional
        Default: its own name, that of its file, function or class.
    example : ndarray or mapping of str to ndarray, optional
        One observation or more, which is embedded to see how many numbers come out. Not needed
        where `model` says so itself.
    prepare : callable, optional
        Applied to observations before `model` sees them: to scale pixels, say, or to pick a part
        of them.

    Returns
    -------
    Encoder

    Raises
    ------
    TypeError
        If `model` is none of these.
    ValueError
        If the name is none, the width cannot be known, or there is no row for each observation.
    FloatingPointError
        If the example's embedding is not finite.
    FileNotFoundError
        If there is no such file.
    UserError
        If the file is damaged, or is none of these.
    MissingPackageError
        Without ONNX Runtime, where it is needed.

    Examples
    --------
    >>> observations = np.full((2, 4, 84, 84), 51, np.uint8)
    >>> def brightness(x):
    ...     return x.mean((2, 3)) / 255
    >>> encoder = as_encoder(brightness, example=observations)
    >>> encoder.name, encoder.width
    ('brightness', 4)
    >>> newest = as_encoder(brightness, name="newest", example=observations,
    ...                     prepare=lambda x: x[:, -1:])
    >>> newest.embed(observations)
    array([[0.2],
           [0.2]])
    """
    if isinstance(model, (str, Path)):
        return _from_file(Path(model), name, example, prepare)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from gatelearn.interop.torch_module import TorchEncoder

        name = check_name(name or type(model).__name__)
        encoder = TorchEncoder(model, name=name, prepare=prepare)
        encoder.width = _width_of(encoder.embed, name, example)
        return encoder
    if isinstance(model, Encoder):
        if name in (None, model.name) and prepare is None:
            check_name(model.name)
            return model
        name = check_name(name or model.name)
        return FunctionEncoder(_after(prepare, model.embed), name, model.width)
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}, expected an encoder, a callable, the "
                        "path of a file or a torch.nn.Module")
    name = check_name(name or getattr(model, "__name__", type(model).__name__))
    function = _after(prepare, model)
    return FunctionEncoder(function, name, _width_of(lambda x: _rows_of(function(x)), name,
                                                     example))


class Encoders:
    """Several encoders on the same observations, their embeddings side by side.

    Parameters
    ----------
    *encoders : Encoder
    batch : int, default 256
        Most observations that an encoder is given at a time, which bounds memory.

    Attributes
    ----------
    names : tuple of str
        In the order of the columns.
    widths : dict of str to int
        Numbers an embedding of each.
    width : int
        Their sum.

    Raises
    ------
    TypeError
        If one of them is no encoder.
    ValueError
        If a name is used twice or is none, a width or `batch` is below 1.

    Examples
    --------
    >>> example = np.zeros((1, 4, 84, 84), np.uint8)
    >>> encoders = Encoders(
    ...     as_encoder(lambda x: x.mean((2, 3)), name="brightness", example=example),
    ...     as_encoder(lambda x: x[:, -1, ::21, ::21], name="thumbnail", example=example))
    >>> encoders.widths, encoders.width
    ({'brightness': 4, 'thumbnail': 16}, 20)
    >>> encoders.embed(np.ones((8, 4, 84, 84), np.uint8)).shape
    (8, 20)
    """

    def __init__(self, *encoders: Encoder, batch: int = 256):
        if batch < 1:
            raise ValueError(f"batch is {batch}, expected at least 1")
        self.batch = batch
        self._encoders: dict[str, Encoder] = {}
        self.widths: dict[str, int] = {}
        for encoder in encoders:
            self.add(encoder)

    def __iter__(self):
        return iter(self._encoders.values())

    def __len__(self) -> int:
        return len(self._encoders)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.widths)

    @property
    def width(self) -> int:
        return sum(self.widths.values())

    def add(self, encoder: Encoder) -> None:
        """Add an encoder; its columns come last.

        Raises
        ------
        TypeError, ValueError
            As the constructor; nothing is then changed.
        """
        if not isinstance(encoder, Encoder):
            raise TypeError(f"encoder is {type(encoder).__name__}, expected name, width and embed; "
                            "as_encoder makes one")
        name = check_name(encoder.name)
        if name in self._encoders:
            raise ValueError(f"there is an encoder '{name}' already")
        if encoder.width < 1:
            raise ValueError(f"encoder '{name}' has width {encoder.width}, expected at least 1")
        self._encoders[name] = encoder
        # what was agreed on, should the encoder change its mind
        self.widths[name] = encoder.width

    def remove(self, name: str) -> Encoder:
        """Remove an encoder, and its columns, and return it.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        if name not in self._encoders:
            raise KeyError(f"no encoder '{name}', expected one of {', '.join(self.names)}")
        del self.widths[name]
        return self._encoders.pop(name)

    def embed(self, observations: Observations) -> NDArray[np.float32]:
        """Run all encoders.

        Parameters
        ----------
        observations : ndarray or mapping of str to ndarray
            B along the first axis of each.

        Returns
        -------
        ndarray of float32, shape (B, width)
            The embeddings side by side, in the order of `names`.

        Raises
        ------
        ValueError
            If an embedding has not the shape that was agreed on.
        FloatingPointError
            If one holds NaN or infinity. Errors name the encoder.
        """
        count = _count(observations)
        features = np.empty((count, self.width), np.float32)
        at = 0
        for encoder in self._encoders.values():
            width = self.widths[encoder.name]
            for first in range(0, count, self.batch):
                last = min(first + self.batch, count)
                features[first:last, at:at + width] = _checked(
                    encoder.embed, encoder.name, _part(observations, first, last), width, first)
            at += width
        return features


def _from_file(path: Path, name: str | None, example: Observations | None,
               prepare: Callable | None) -> Encoder:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is no file, expected a pre-trained model")
    if path.suffix == ".safetensors":
        from gatelearn.wsa.pretraining import load_encoder

        return as_encoder(load_encoder(path), name=name, prepare=prepare)
    if path.suffix != ".onnx":
        raise UserError(f"'{path}' has the suffix '{path.suffix}', expected .onnx or .safetensors")
    from gatelearn.interop.onnx import OnnxEncoder

    name = check_name(name or path.stem)
    encoder = OnnxEncoder(path, name=name, prepare=prepare)
    if encoder.width == 0 or example is not None:
        encoder.width = _width_of(encoder.embed, name, example)
    return encoder


def _after(prepare: Callable | None, function: Callable) -> Callable:
    if prepare is None:
        return function
    return lambda observations: function(prepare(observations))


def _width_of(embed: Callable, name: str, example: Observations | None) -> int:
    """Return how many numbers come out for an example."""
    if example is None:
        raise ValueError(f"example is None, expected observations: they show how wide the "
                         f"embeddings of '{name}' are")
    if _count(example) == 0:
        raise ValueError("example holds no observation, expected at least one")
    return _checked(embed, name, example, None, 0).shape[1]


def _checked(embed: Callable, name: str, observations: Observations, width: int | None,
             first: int) -> NDArray[np.float32]:
    """Return embeddings as float32, or raise an error that names the encoder."""
    try:
        result = np.asarray(embed(observations))
    except Exception as error:
        error.add_note(f"raised by encoder '{name}'")
        raise
    count = _count(observations)
    if result.dtype.kind not in "fiub":
        raise TypeError(f"encoder '{name}' returned dtype {result.dtype}, expected real numbers")
    if result.ndim != 2 or len(result) != count or width not in (None, result.shape[1]):
        raise ValueError(f"encoder '{name}' returned shape {result.shape}, expected "
                         f"({count}, {'width' if width is None else width})")
    # what is too large for float32 becomes infinity, and is reported as such
    with np.errstate(over="ignore"):
        result = result.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(result).all(1))
    if bad.size:
        row = result[bad[0]]
        raise FloatingPointError(f"encoder '{name}' returned {row[~np.isfinite(row)][0]} for "
                                 f"observation {first + bad[0]}, expected finite numbers")
    return result


def _rows_of(result: Any) -> NDArray:
    result = np.asarray(result)
    return result if result.ndim < 3 else result.reshape(len(result), math.prod(result.shape[1:]))


def _count(observations: Observations) -> int:
    if isinstance(observations, Mapping):
        counts = {key: len(value) for key, value in observations.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"observations has lengths {counts}, expected one length")
        return next(iter(counts.values()))
    return len(observations)


def _part(observations: Observations, first: int, last: int) -> Observations:
    if isinstance(observations, Mapping):
        return {key: value[first:last] for key, value in observations.items()}
    return observations[first:last]
