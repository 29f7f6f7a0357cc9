"""Modifications of games by HackAtari, played frame by frame like the original.

Of HackAtari only the functions that change the console's memory are used; frames, stack and rewards
are made as for every other variant. It ignores names that it does not know, so the names are here.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from gatelearn.errors import UserError, require, suggest
from gatelearn.tasks.atari_emulators import Machine

PACKAGE = "'gatelearn[hackatari]'"
COLOURS = ("black", "white", "red", "blue", "green")

# game: (module of HackAtari, names)
MODIFICATIONS = {
    "breakout": ("breakout", ("right_drift", "left_drift", "gravity", "inverse_gravity",
                              *(f"color_player_and_ball_{name}" for name in COLOURS),
                              *(f"color_all_blocks_{name}" for name in COLOURS))),
    "ms_pacman": ("mspacman", ("caged_ghosts", "disable_orange", "disable_red", "disable_cyan",
                               "disable_pink", "set_level_0", "set_level_1", "set_level_2")),
    "pong": ("pong", ("lazy_enemy", "up_drift", "down_drift", "left_drift", "right_drift")),
}
REFUSED = {
    ("ms_pacman", "edible_ghosts"): "HackAtari has the name, but it changes nothing",
    ("ms_pacman", "end_game"): "it draws from a generator that no seed reaches",
}


def modifications(game: str) -> tuple[str, ...]:
    """Return the names of a game's modifications; none if HackAtari is not installed."""
    if game not in MODIFICATIONS or importlib.util.find_spec("hackatari") is None:
        return ()
    return MODIFICATIONS[game][1]


def check_modification(game: str, name: str) -> None:
    """Refuse what HackAtari would ignore.

    Raises
    ------
    UserError
        If the game has no such modification, or one that does not do what it says.
    MissingPackageError
        If HackAtari is not installed.
    """
    if (game, name) in REFUSED:
        raise UserError(f"variant 'hackatari-{name}' of {game} is refused: {REFUSED[game, name]}")
    if game not in MODIFICATIONS:
        raise UserError(f"variant 'hackatari-{name}' is unknown: modifications are there for "
                        f"{', '.join(sorted(MODIFICATIONS))}, not for {game}")
    if name not in MODIFICATIONS[game][1]:
        hint = suggest(name, MODIFICATIONS[game][1])
        raise UserError(f"variant 'hackatari-{name}' of {game} is unknown{hint}")
    require("hackatari", install=PACKAGE)


class ModifiedMachine(Machine):
    """An emulator whose memory is changed before each frame.

    Parameters
    ----------
    game : str
        One of `MODIFICATIONS`.
    sticky : float
    name : str
        Of the modification.
    """

    def __init__(self, game: str, sticky: float, name: str):
        super().__init__(game, sticky)
        module = MODIFICATIONS[game][0]
        self._name = name
        self._modify = require(f"hackatari.games.{module}", install=PACKAGE).modif_funcs
        self._each_frame: list[Any] = []

    # what HackAtari's functions ask of an environment

    def get_ram(self) -> Any:
        """Return the console's memory (128,) uint8."""
        return self.ale.getRAM()

    def set_ram(self, address: int, value: int) -> None:
        """Write a byte of it."""
        self.ale.setRAM(int(address), int(value))

    def reset(self) -> None:
        """Begin the game and, with it, the modification: it counts frames."""
        super().reset()
        self._each_frame, at_reset, after_detection = self._modify(self, [self._name])
        if after_detection or not (self._each_frame or at_reset):
            raise UserError(f"the installed HackAtari does not know '{self._name}' any more")
        for change in at_reset:
            change()

    def act(self, action: int) -> int:
        """Change the memory and play one frame; return its reward."""
        for change in self._each_frame:
            change()
        return super().act(action)
