"""Rows of a table by index."""

import numpy as np


def embedding(table, idx):
    return table[idx]


def embedding_backward(dout, idx, size):
    dtable = np.zeros((size, dout.shape[-1]), dout.dtype)
    np.add.at(dtable, idx, dout)
    return dtable
