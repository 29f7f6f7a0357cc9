"""Pushing with a robot's arm, seen as an image and as numbers.

MuJoCo's own renderer needs a graphics driver and, without a graphics card, a tenth of a second an
image. The view from above is drawn here, by NumPy: the same bits on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import UserError, require, suggest
from gatelearn.tasks.atari import AUTORESETS, check_count

PACKAGES = "'gatelearn[mujoco]'"
SIDE = 84
LEFT, BOTTOM, WIDTH = -0.25, -1.0, 1.4  # of the square that is seen, in metres
GROUND, GOAL, ARM, OBJECT = 30, 100, 170, 255  # gray
GOAL_RADIUS, ARM_RADIUS, FINGER_RADIUS, OBJECT_RADIUS = 0.08, 0.04, 0.02, 0.05


@dataclass(frozen=True)
class Pusher:
    """MuJoCo's Pusher: an arm of seven joints pushes a cylinder to a goal.

    Attributes
    ----------
    max_steps : int
        After as many steps an episode is truncated.

    Raises
    ------
    UserError
        If a number is out of range.

    Examples
    --------
    >>> env = Pusher().make(2, seed=0)
    >>> observations, _ = env.reset()
    >>> {name: (array.shape, str(array.dtype)) for name, array in observations.items()}
    {'image': ((2, 1, 84, 84), 'uint8'), 'state': ((2, 23), 'float32')}
    """

    max_steps: int = 100

    def __post_init__(self):
        check_count("max_steps", self.max_steps, 1)

    def make(self, envs: int, *, seed: int | None = None, autoreset: str = "next_step") -> Any:
        """Return a Gymnasium vector environment.

        Parameters
        ----------
        envs : int
            How many environments, N.
        seed : int, optional
            Of the first reset, if that is not given one.
        autoreset : {"next_step", "same_step"}
            When an environment is reset whose episode has ended.

        Returns
        -------
        gymnasium.vector.VectorEnv
            Observations are a dict: ``image`` uint8 (N, 1, 84, 84), as `top_view` draws it, and
            ``state`` float32 (N, 23): angles and speeds of seven joints, and the places of
            fingers, object and goal. Actions are torques (N, 7) in [-2, 2].

        Raises
        ------
        UserError
            If a number is out of range or `autoreset` unknown.
        MissingPackageError
            Without ``gymnasium`` or ``mujoco``.
        """
        check_count("envs", envs, 1)
        if autoreset not in AUTORESETS:
            raise UserError(f"autoreset is '{autoreset}'{suggest(autoreset, AUTORESETS)}")
        require("gymnasium", install=PACKAGES)
        require("mujoco", install=PACKAGES)
        # not above: it imports Gymnasium
        from gatelearn.tasks.pusher_vector import PusherVector

        return PusherVector(envs, self.max_steps, same_step=autoreset == "same_step", seed=seed)


def top_view(arm: NDArray, fingers: NDArray, object_at: NDArray,
             goal_at: NDArray) -> NDArray[np.uint8]:
    """Draw the table from above, gray.

    Parameters
    ----------
    arm : ndarray, shape (P, 2)
        Shoulder, joints and hand, in metres; x to the right, y upwards.
    fingers : ndarray, shape (2, 2)
    object_at, goal_at : ndarray, shape (2,)

    Returns
    -------
    ndarray of uint8, shape (84, 84)
        From back to front: the goal, the arm, the object. Edges are smoothed, so that a movement of
        less than a pixel shows.

    Examples
    --------
    >>> away = np.full((2, 2), 9.0)
    >>> image = top_view(away, away, np.array([0.45, -0.3]), np.array([9.0, 9.0]))
    >>> int(image[42, 42]), int(image[0, 0])
    (255, 30)
    """
    image = np.full((SIDE, SIDE), GROUND, float)
    _draw(image, goal_at, goal_at, GOAL_RADIUS, GOAL)
    for start, end in pairwise(arm):
        _draw(image, start, end, ARM_RADIUS, ARM)
    for finger in fingers:
        _draw(image, arm[-1], finger, FINGER_RADIUS, ARM)
    _draw(image, object_at, object_at, OBJECT_RADIUS, OBJECT)
    return np.rint(image).astype(np.uint8)


_PIXEL = WIDTH / SIDE
_X = LEFT + _PIXEL * (np.arange(SIDE) + 0.5)
_Y = BOTTOM + _PIXEL * (np.arange(SIDE)[::-1] + 0.5)


def _draw(image: NDArray, start: NDArray, end: NDArray, radius: float, gray: float) -> None:
    """Draw a line with round ends, or a disc where it has no length."""
    (left, bottom), (right, top) = np.minimum(start, end), np.maximum(start, end)
    edge = radius + _PIXEL
    columns = slice(*np.searchsorted(_X, (left - edge, right + edge)))
    rows = slice(*np.searchsorted(-_Y, (-top - edge, -bottom + edge)))
    x, y = _X[columns] - start[0], _Y[rows, None] - start[1]
    along = end - start
    square = along @ along
    at = np.clip((x * along[0] + y * along[1]) / square, 0, 1) if square > 0 else 0.0
    away = np.sqrt((x - at * along[0])**2 + (y - at * along[1])**2)
    cover = np.clip((radius - away) / _PIXEL + 0.5, 0, 1)
    part = image[rows, columns]
    part += cover * (gray - part)
