"""PyTorch modules as frozen encoders, for `gatelearn.wsa.as_encoder`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import require

torch = require("torch", install="torch")

__all__ = ["TorchEncoder"]


class TorchEncoder:
    """A copy of a module on the CPU, in evaluation mode, without gradients.

    The user's module is left alone, and training it further does not change the encoder. Calls from
    several threads at a time are safe where those of the module are.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a tensor (B, ...) to a tensor (B, ...), whose further axes are flattened.
    name : str
    prepare : callable, optional
        Applied to the array of observations before it becomes a tensor.

    Attributes
    ----------
    width : int
        0 until it is set: a module does not say.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    >>> encoder = TorchEncoder(module, name="linear")
    >>> encoder.embed(np.ones((2, 2, 3), np.float32)).shape
    (2, 3)
    """

    def __init__(self, module: torch.nn.Module, *, name: str,
                 prepare: Callable[[Any], Any] | None = None):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module is {type(module).__name__}, expected a torch.nn.Module")
        self.module = copy.deepcopy(module).cpu().eval().requires_grad_(False)
        self.name, self.prepare, self.width = name, prepare, 0

    def embed(self, observations: NDArray) -> NDArray[np.float32]:
        """Return embeddings.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)

        Returns
        -------
        ndarray of float32, shape (B, width)

        Raises
        ------
        TypeError
            If the module returns no tensor, or `prepare` no array.
        """
        x = observations if self.prepare is None else self.prepare(observations)
        if not isinstance(x, np.ndarray):
            raise TypeError(f"encoder '{self.name}': observations is {type(x).__name__}, expected "
                            "an array; prepare can make one")
        # a tensor must not share memory that is read-only
        x = np.require(x, requirements=["C", "W"])
        with torch.inference_mode():
            y = self.module(torch.from_numpy(x))
        if not isinstance(y, torch.Tensor):
            raise TypeError(f"encoder '{self.name}' returned {type(y).__name__}, expected a tensor")
        return (y.flatten(1) if y.ndim > 2 else y).float().numpy()
