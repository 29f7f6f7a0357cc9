"""Rotation by position."""

import numpy as np


def rotary(x, angle):
    """Turn the pairs (d, d + D/2) of each row by its angles (T, D/2)."""
    a, b = np.split(x, 2, -1)
    c, s = np.cos(angle), np.sin(angle)
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def rotary_angle(T, D, base=10000.0):
    """Angles (T, D/2): t times a frequency that falls with d."""
    return np.arange(T)[:, None] * base ** (-np.arange(0, D, 2) / D)
