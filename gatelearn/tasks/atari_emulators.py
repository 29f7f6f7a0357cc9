"""Emulators of one Atari game, stepped one after the other.

``ale_py.vector_env.AtariVectorEnv`` is faster, but knows neither the game's modes nor other
colours. This loop does, and on the original game it returns the same bits, odd corners included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import require
from gatelearn.tasks.atari_screens import HEIGHT, SIDE, WIDTH, PlainScreen, RecolouredScreen, shrink

if TYPE_CHECKING:
    from gatelearn.tasks.atari import Atari

PACKAGES = "'gatelearn[atari]'"


def load(game: str, *, seed: int | None = None, sticky: float = 0.0, mode: int | None = None,
         difficulty: int | None = None, ale: Any = None) -> Any:
    """Return an ``ale_py.ALEInterface`` that holds a game; its `reset_game` begins it.

    Parameters
    ----------
    game : str
        As `ale_py` names it.
    seed : int, optional
        Of the emulator's own randomness: sticky actions, and what the console's memory holds when
        it is switched on.
    sticky : float, default 0.0
        Probability that a frame repeats the action before.
    mode, difficulty : int, optional
        Of the game; without them, its usual ones.
    ale : ale_py.ALEInterface, optional
        To be used again.
    """
    ale_py = require("ale_py", install=PACKAGES)
    if ale is None:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    if seed is not None:
        ale.setInt("random_seed", seed)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    if mode is not None:
        ale.setMode(mode)
    if difficulty is not None:
        ale.setDifficulty(difficulty)
    return ale


class Machine:
    """One emulator.

    Parameters
    ----------
    game : str
    sticky : float
    mode, difficulty : int, optional
    """

    def __init__(self, game: str, sticky: float, mode: int | None = None,
                 difficulty: int | None = None):
        self._settings = {"game": game, "sticky": sticky, "mode": mode, "difficulty": difficulty}
        self.ale: Any = None  # until the first seed: loading takes a tenth of a second
        self._actions: Any = None

    def seed(self, seed: int) -> None:
        """Load the game anew with this seed."""
        self.ale = load(**self._settings, seed=seed, ale=self.ale)
        self._actions = self.ale.getMinimalActionSet()

    def reset(self) -> None:
        """Begin the game."""
        self.ale.reset_game()

    def act(self, action: int) -> int:
        """Play one frame; return its reward."""
        return self.ale.act(self._actions[action])


class Emulators:
    """Environments of one game, stepped one after the other in the thread that calls.

    It has what is used of ``AtariVectorEnv``: `reset`, `step`, and resets by itself.

    Parameters
    ----------
    machines : list of Machine
        One an environment.
    settings : Atari
        Stack, frames skipped and so on.
    same_step : bool
        Whether an environment whose episode has ended is reset in the same step, or by the next.
    recolouring : str, optional
        One of `RECOLOURINGS`.
    """

    def __init__(self, machines: list[Any], settings: Atari, *, same_step: bool,
                 recolouring: str | None = None):
        N = len(machines)
        self._machines = machines
        self._settings = settings
        self._same_step = same_step
        self._screen = RecolouredScreen(recolouring) if recolouring else PlainScreen()
        names = settings.actions
        self._fire = names.index("FIRE") if "FIRE" in names else None
        self._rng: list[Any] = [None] * N
        self._frames = np.zeros((N, 2, HEIGHT, WIDTH), np.uint8)
        self._stack = np.zeros((N, settings.stack, SIDE, SIDE), np.uint8)
        self._elapsed = np.zeros(N, int)
        self._lives = np.zeros(N, np.int32)
        self._over = np.zeros(N, bool)
        self._life_lost = np.zeros(N, bool)

    def reset(self, *, seed: NDArray | None, options: Mapping[str, Any] | None = None
              ) -> tuple[NDArray, dict[str, NDArray]]:
        """Reset all environments, or those of the mask ``options["reset_mask"]``."""
        mask = (options or {}).get("reset_mask", np.ones(len(self._machines), bool))
        which = np.flatnonzero(mask)
        for k, i in enumerate(which):
            if seed is not None:
                self._machines[i].seed(int(seed[k]))
                # the generator of std::mt19937, so that the same no-ops are drawn
                self._rng[i] = np.random.RandomState(int(seed[k]))
            self._restart(i)
        self._see(which)
        return self._stack.copy(), self._info()

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Step each environment, or reset it."""
        N = len(self._machines)
        rewards = np.zeros(N, np.int32)
        again = np.zeros(N, bool) if self._same_step else self._ended()
        for i, action in enumerate(actions):
            if again[i]:
                self._restart(i)
            else:
                rewards[i] = self._play(i, int(action))
        self._see(np.arange(N))
        terminated = self._over | (self._life_lost & self._settings.episodic_life)
        truncated = (self._elapsed >= self._settings.max_frames) & ~terminated
        final = {}
        ended = np.flatnonzero(self._ended())
        if self._same_step and len(ended):
            final["final_obs"] = self._stack.copy()
            for i in ended:
                self._restart(i)
            self._see(ended)
        return self._stack.copy(), rewards, terminated, truncated, self._info() | final

    def _play(self, i: int, action: int) -> int:
        """Play an action for as many frames as are skipped; return the sum of rewards."""
        machine, settings = self._machines[i], self._settings
        reward = 0
        for left in range(settings.frame_skip, 0, -1):
            reward += machine.act(action)
            self._elapsed[i] += 1
            self._over[i] = machine.ale.game_over()
            self._life_lost[i] = 0 < machine.ale.lives() < self._lives[i]
            # an episode's last screen is not looked at any more
            if self._ended(i):
                break
            if left <= 2:
                self._screen.read(machine.ale, self._frames[i, left - 1])
        self._lives[i] = machine.ale.lives()
        return reward

    def _restart(self, i: int) -> None:
        """Begin an episode: fire, where the game has it, and do nothing for a random time."""
        machine = self._machines[i]
        machine.reset()
        waits = self._draw(i) - (self._fire is not None)
        if self._fire is not None:
            machine.act(self._fire)
        for _ in range(waits):
            machine.act(0)
            if machine.ale.game_over():
                machine.reset()
        self._stack[i] = 0
        self._screen.read(machine.ale, self._frames[i, 0])
        self._frames[i, 1] = 0
        self._elapsed[i], self._over[i], self._life_lost[i] = 0, False, False
        self._lives[i] = machine.ale.lives()

    def _draw(self, i: int) -> int:
        """Draw in [0, noop_max), as std::uniform_int_distribution of libstdc++ does."""
        many = self._settings.noop_max
        if many <= 1:
            return 0
        while True:
            product = int(self._rng[i].randint(0, 2**32, dtype=np.uint32)) * many
            # Lemire's: the few products are refused that would make some numbers likelier
            if product % 2**32 >= 2**32 % many:
                return product >> 32

    def _see(self, which: NDArray) -> None:
        """Put the two frames of environments in one and push it on their stacks."""
        for i in which:
            self._screen.pool(*self._frames[i])
        self._stack[which, :-1] = self._stack[which, 1:]
        self._stack[which, -1] = shrink(self._screen.gray(self._frames[which, 0]))

    def _ended(self, i: Any = slice(None)) -> Any:
        """Return whether episodes have ended, all or the i-th."""
        return (self._over[i] | (self._elapsed[i] >= self._settings.max_frames)
                | (self._life_lost[i] & self._settings.episodic_life))

    def _info(self) -> dict[str, NDArray]:
        emulators = [machine.ale for machine in self._machines]
        return {
            "env_id": np.arange(len(emulators), dtype=np.int32),
            "lives": self._lives.copy(),
            "frame_number": np.array([ale.getFrameNumber() for ale in emulators], np.int32),
            "episode_frame_number": np.array([ale.getEpisodeFrameNumber() for ale in emulators],
                                             np.int32),
        }
