"""Keys and values of positions that were read, for the heads that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gatelearn.nn.gated import HeadsSaved


class HeadsCache:
    """Keys and values of one `GatedHeads`: a row for each open pair of a sample and a head.

    Attributes
    ----------
    kv : ndarray, shape (2, P, S, D)
        Keys and values of the P pairs, with room for S positions.
    head, sample : ndarray of int64, shape (P,)
        The pairs, ordered by head, then by sample.
    first : ndarray of int64, shape (H,)
        The first pair of each head, or where it would stand.
    factor : ndarray, shape (P,)
        Their gates.
    """

    def __init__(self, gate: NDArray, capacity: int, head_width: int):
        self.head, self.sample = (np.ascontiguousarray(i) for i in np.nonzero(gate.T))
        self.first = np.searchsorted(self.head, np.arange(gate.shape[1]))
        self.factor = gate[self.sample, self.head]
        self.kv = np.empty((2, len(self.head), capacity, head_width), gate.dtype)

    def fill(self, saved: HeadsSaved) -> None:
        """Take over the keys and values of a forward pass."""
        for b in range(len(saved.x)):
            qkv = saved.open_heads(b)[1]
            pairs = np.flatnonzero(self.sample == b)
            self.kv[:, pairs, :len(qkv)] = qkv[:, 1:].transpose(1, 2, 0, 3)

    def grown(self, capacity: int) -> NDArray:
        """Return a larger copy of `kv`."""
        kv = np.empty((*self.kv.shape[:2], capacity, self.kv.shape[3]), self.kv.dtype)
        kv[:, :, :self.kv.shape[2]] = self.kv
        return kv


class KVCache:
    """What a `Transformer` keeps of the positions that it has read, one set of gates a sample.

    Closed heads keep nothing: memory falls in proportion to the share of pairs of a sample and a
    head that is closed. Gates stay as they are for the life of a cache. Made by
    `Transformer.prefill` or `Transformer.cache`, extended by `Transformer.decode`.

    Attributes
    ----------
    lengths : ndarray of int64, shape (B,)
        Positions read so far.
    capacity : int
        Positions that there is room for.
    grow : bool
        Whether the room doubles when it is full; if not, a further step raises ValueError.
    previous : ndarray, shape (L, B, C)
        The normalised row of the last position, which the token shift of the next one needs.
    nbytes : int
        Bytes of keys and values: ``2 * capacity * D`` numbers for each open head of a sample.
        `previous`, which depends on no gate, is not counted.

    Examples
    --------
    >>> from gatelearn import nn
    >>> net = nn.Transformer(10, width=16, layers=1, heads=2).build(seed=0)
    >>> net.cache(np.array([[[1.0, 1, 1]]]), 100).nbytes
    12800
    >>> net.cache(np.array([[[1.0, 0, 1]]]), 100).nbytes
    6400
    """

    def __init__(self, B: int, layers: int, width: int, dtype: np.dtype, capacity: int, grow: bool):
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, expected at least 1")
        self.capacity, self.grow = int(capacity), grow
        self.lengths = np.zeros(B, np.int64)
        self.previous = np.zeros((layers, B, width), dtype)
        self.heads: list[HeadsCache] = []
        self.mlp_gates: list[NDArray] = []

    @property
    def nbytes(self) -> int:
        return sum(heads.kv.nbytes for heads in self.heads)

    def add_layer(self, gate: NDArray, head_width: int) -> HeadsCache:
        """Make room for the next layer, whose gates are (B, H + 1)."""
        self.heads.append(HeadsCache(gate[:, :-1], self.capacity, head_width))
        self.mlp_gates.append(gate[:, -1].copy())
        return self.heads[-1]

    def reserve(self, n: int) -> None:
        """Make room for n more positions of every sample.

        Raises
        ------
        ValueError
            If the cache is full and may not grow.
        """
        need = int(self.lengths.max(initial=0)) + n
        if need <= self.capacity:
            return
        if not self.grow:
            raise ValueError(f"the cache has room for {self.capacity} positions, expected {need}: "
                             "it is full, and was made not to grow")
        capacity = max(need, 2 * self.capacity)
        grown = [heads.grown(capacity) for heads in self.heads]
        for heads, kv in zip(self.heads, grown, strict=True):
            heads.kv = kv
        self.capacity = capacity
