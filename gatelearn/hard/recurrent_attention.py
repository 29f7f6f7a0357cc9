"""The recurrent attention model: look, remember, choose where to look next, name what was seen."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn._convert import as_real, check_finite, check_shape
from gatelearn.hard.glimpse_network import GlimpseNetwork, GlimpseSaved
from gatelearn.nn import GRU, LSTM, RNN, Layer, Linear, ReLU, Sequential, Tanh
from gatelearn.nn.recurrent import RecurrentSaved
from gatelearn.rl import Categorical, Distribution, Gaussian


class Episode(NamedTuple):
    """M passes over each of B images, of T glimpses each; and what `backward` needs.

    All but the first place are drawn from the policy: action t is place t + 1.
    """

    locations: NDArray  # (T, B, M, 2)
    policy: NDArray     # (T - 1, B, M, 2): means; (T - 1, B, M, G * G): logits of the cells
    actions: NDArray    # (T - 1, B, M, 2): places; (T - 1, B, M): cells
    values: NDArray     # (T - 1, B, M): what the baseline expects as reward
    seen: GlimpseSaved
    core: RecurrentSaved
    read: NDArray       # (B * M, H): what the classifier was given
    relaxed: NDArray | None = None  # (T - 1, B, M, G * G): softened choices, at a temperature
    cells: NDArray | None = None    # (B, G * G, S * C * P * P): patches of all cells
    temperature: float | None = None


class RecurrentAttention(Layer):
    """The recurrent attention model [1]_.

    At each of T steps a `GlimpseNetwork` looks at one place, a recurrent core remembers, and a
    locator chooses the next place from the core's state: a Gaussian round a mean in [-1, 1], or
    with `grid` one of G x G cells. A classifier names the image behind the last glimpse. A baseline
    predicts the reward at each step.

    Parameters
    ----------
    channels, classes : int
        C of the images, K of the classifier.
    size, scales : int, default 8 and 1
        P and S of a glimpse, as :func:`gatelearn.functional.glimpse` has them.
    glimpses : int, default 6
        T.
    hidden : int, default 256
        H, width of core and glimpse network.
    core : {'rnn', 'lstm', 'gru'}, default 'rnn'
        The first with rectifiers, as in the paper.
    std : float, default 0.1
        Of the Gaussian; without use where there is a grid.
    grid : int, optional
        G. The places are then the centres of G x G cells.
    first : {'centre', 'random'}, default 'centre'
        The first place; without a generator always the centre.
    classify : {'last', 'every'}, default 'last'
        Whether the classifier reads the last state, or the mean of all.
    detach : bool, default True
        Whether the gradients of locator and baseline stop at the state: the core then learns from
        the classifier alone.
    locator, what, where : int, default 128
        Hidden units of the locator, and of the glimpse network.
    filters : int, optional
        Of a convolution over patches, as in `GlimpseNetwork`.

    Raises
    ------
    ValueError
        If a name is unknown, or a number out of range.

    Notes
    -----
    Places are samples: no gradient passes through them, in whatever way they were chosen. What
    trains the locator is a gradient of `Episode.policy`, such as that of a log-probability, which
    `backward` takes beside that of the logits.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.

    Examples
    --------
    >>> net = RecurrentAttention(1, 10, size=8, scales=3).build(seed=0)
    >>> images = np.ones((4, 1, 60, 60), np.float32)
    >>> logits, episode = net.forward(images, np.random.default_rng(0), samples=2)
    >>> logits.shape, episode.locations.shape, episode.values.shape
    ((4, 2, 10), (6, 4, 2, 2), (5, 4, 2))
    >>> dlogp = np.ones((5, 4, 2), np.float32)
    >>> dpolicy = net.distribution.gradient(episode.policy, episode.actions, dlogp)
    >>> net.backward(np.ones_like(logits), episode, dpolicy)

    The same places again:

    >>> again, _ = net.forward(images, locations=episode.locations)
    >>> bool((again == logits).all())
    True
    """

    def __init__(self, channels: int, classes: int, *, size: int = 8, scales: int = 1,
                 glimpses: int = 6, hidden: int = 256, core: str = "rnn", std: float = 0.1,
                 grid: int | None = None, first: str = "centre", classify: str = "last",
                 detach: bool = True, locator: int = 128, what: int = 128, where: int = 128,
                 filters: int | None = None):
        for name, value, known in (("core", core, ("rnn", "lstm", "gru")),
                                   ("first", first, ("centre", "random")),
                                   ("classify", classify, ("last", "every"))):
            if value not in known:
                raise ValueError(f"{name} is {value!r}, expected one of {known}")
        if glimpses < 1:
            raise ValueError(f"glimpses is {glimpses}, expected at least 1")
        if grid is not None and grid < 1:
            raise ValueError(f"grid is {grid}, expected at least 1")
        self.classes, self.glimpses, self.grid = classes, glimpses, grid
        self.first, self.classify, self.detach = first, classify, detach
        self.distribution: Distribution = Gaussian(std) if grid is None else Categorical()
        self.choices = 2 if grid is None else grid * grid

        self.glimpse = GlimpseNetwork(channels, size, scales, hidden, what=what, where=where,
                                      filters=filters)
        cores = {"rnn": lambda *widths: RNN(*widths, "relu"), "lstm": LSTM, "gru": GRU}
        self.core = cores[core](hidden, hidden)
        self.classifier = Linear(hidden, classes)
        # small last weights: looking starts at the centre, or anywhere alike
        layers = [Linear(hidden, locator, gain=math.sqrt(2)), ReLU(),
                  Linear(locator, self.choices, gain=0.01)]
        self.locator = Sequential(*layers, *([Tanh()] if grid is None else []))
        self.baseline = Linear(hidden, 1, gain=0.01)

    def children(self) -> dict[str, Layer]:
        return {"glimpse": self.glimpse, "core": self.core, "classifier": self.classifier,
                "locator": self.locator, "baseline": self.baseline}

    def forward(self, images: NDArray, rng: np.random.Generator | None = None, *, samples: int = 1,
                locations: ArrayLike | None = None, distribution: Distribution | None = None,
                temperature: float | None = None) -> tuple[NDArray, Episode]:
        """Look at each image M times, at T places each.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
            Of the type of the parameters.
        rng : numpy.random.Generator, optional
            Draws the places; without it the likeliest are taken, which for a Gaussian are the
            means.
        samples : int, default 1
            M, passes over each image. All of them are computed as one batch.
        locations : array_like, shape (T, B, M, 2), optional
            Places to look at instead. M is then theirs. With a grid, the actions of the episode are
            the cells nearest to them.
        distribution : Distribution, optional
            What draws the places, instead of the network's own: such as a Gaussian of a larger
            deviation, to explore.
        temperature : float, optional
            With it, cells are drawn by Gumbel noise, and `backward` gives the locator the gradient
            of straight-through Gumbel-softmax [1]_: that of the logits passes the drawn cells as if
            each glimpse were a mean of all cells, weighted by the softened choice. Biased, the more
            the patches of cells differ. Needs a grid, `detach`, and `rng`; costs G * G more
            glimpses an image.

        Returns
        -------
        logits : ndarray, shape (B, M, K)
        episode : Episode

        Raises
        ------
        TypeError
            If `images` is not of the type of the parameters, or `distribution` not of that of the
            network's own.
        ValueError
            If shapes do not match, `samples` is below 1, `temperature` not above 0 and finite, or
            what it needs is missing.
        FloatingPointError
            If a place is NaN or infinite.

        References
        ----------
        .. [1] E. Jang, S. Gu and B. Poole, "Categorical Reparameterization with Gumbel-Softmax",
           ICLR 2017.
        """
        self.glimpse.check(images)
        images, B, T = np.ascontiguousarray(images), len(images), self.glimpses
        given = None
        if locations is not None:
            given = as_real(locations, "locations", dtype=images.dtype, ndim=4)
            samples = given.shape[2]
            check_finite(check_shape(given, "locations", (T, B, samples, 2)), "locations")
        if samples < 1:
            raise ValueError(f"samples is {samples}, expected at least 1")
        M, N = samples, B * samples
        draws = self.distribution if distribution is None else distribution
        if type(draws) is not type(self.distribution):
            raise TypeError(f"distribution is {draws}, expected a "
                            f"{type(self.distribution).__name__}")
        if temperature is not None:
            self._check_relaxed(temperature, rng, given)

        seen = self.glimpse.room(T, B, M)
        policy = np.empty((T - 1, B, M, self.choices), images.dtype)
        actions = np.empty_like(seen.locations[1:]) if self.grid is None else np.empty(
            (T - 1, B, M), np.int64)
        relaxed = None if temperature is None else np.empty_like(policy)
        steps: list[RecurrentSaved] = []
        state = None
        seen.locations[0] = self._first(rng, (B, M, 2)) if given is None else given[0]
        for t in range(T):
            now = GlimpseSaved(*(a[t] for a in seen))
            self.glimpse.look(images, now)
            h, step = self.core.forward(now.y.reshape(N, 1, now.y.shape[-1]), state)
            state = step.state
            steps.append(step)
            if t < T - 1:
                policy[t] = self.locator.forward(h[:, 0])[0].reshape(policy.shape[1:])
                if relaxed is None:
                    actions[t], seen.locations[t + 1] = self._choose(
                        policy[t], rng, None if given is None else given[t + 1], draws)
                else:
                    actions[t], relaxed[t] = draws.relax(policy[t], temperature, rng)
                    seen.locations[t + 1] = self.places(actions[t])

        core = _joined(steps)
        read = core.y[:, -1] if self.classify == "last" else core.y.mean(1)
        logits, read = self.classifier.forward(read)
        values = self.baseline.forward(core.y[:, :-1])[0].reshape(B, M, T - 1)
        return logits.reshape(B, M, self.classes), Episode(
            seen.locations, policy, actions, np.moveaxis(values, -1, 0), seen, core, read, relaxed,
            None if relaxed is None else self._cells(images), temperature)

    def backward(self, dy: NDArray, saved: Episode, dpolicy: NDArray | None = None,
                 dvalues: NDArray | None = None) -> None:
        """Add the gradients of the parameters.

        Parameters
        ----------
        dy : ndarray, shape (B, M, K)
            Gradient with respect to the logits.
        saved : Episode
        dpolicy : ndarray, shape of ``saved.policy``, optional
            Gradient with respect to it; None is 0.
        dvalues : ndarray, shape of ``saved.values``, optional
            Gradient with respect to it; None is 0.
        """
        core, T = saved.core, self.glimpses
        N = len(core.y)
        B, M = saved.locations.shape[1:3]
        check_shape(dy, "dy", (B, M, self.classes))

        # forward: logits = classifier(read), read = the last state or the mean of all
        dread = self.classifier.backward(dy.reshape(N, self.classes), saved.read)
        dstates = np.zeros_like(core.y)
        if self.classify == "last":
            dstates[:, -1] = dread
        else:
            dstates += dread[:, None] / T

        self._head(self.baseline, 1, dvalues, "dvalues", saved.values, core, dstates)
        if saved.relaxed is None:
            self._head(self.locator, self.choices, dpolicy, "dpolicy", saved.policy, core, dstates)
        dseen = self.core.backward(dstates, core).swapaxes(0, 1)
        dinputs = self.glimpse.backward(dseen, saved.seen, inputs=saved.relaxed is not None)
        if saved.relaxed is None:
            return

        # as if forward were: patches = relaxed @ cells, locations = relaxed @ places
        dpatches, dlocations = (d[1:] for d in dinputs)
        drelaxed = (dpatches @ saved.cells.swapaxes(1, 2)
                    + dlocations @ self.places(np.arange(self.choices)).T)
        through = self.distribution.relax_gradient(saved.policy, saved.relaxed, drelaxed,
                                                   saved.temperature)
        dpolicy = through if dpolicy is None else through + dpolicy
        self._head(self.locator, self.choices, dpolicy, "dpolicy", saved.policy, core, dstates)

    def _head(self, layer: Layer, width: int, d: NDArray | None, name: str, own: NDArray,
              core: RecurrentSaved, dstates: NDArray) -> None:
        """Backward of a layer that reads the state at each step but the last, all steps at once."""
        N, T, _ = core.y.shape
        if d is None or T == 1:
            return
        d = check_shape(d, name, own.shape).reshape(T - 1, N, width).swapaxes(0, 1)
        # those without a gradient, such as passes whose advantage is 0, cost nothing
        rows = d.any(-1)
        _, inside = layer.forward(core.y[:, :-1][rows])
        dstate = layer.backward(d[rows], inside)
        if not self.detach:
            dstates[:, :-1][rows] += dstate

    def places(self, cells: ArrayLike) -> NDArray:
        """Return the centres of cells of the grid, (..., 2); they are counted row by row."""
        row, column = np.divmod(np.asarray(cells), self.grid)
        dtype = self.classifier.param["weight"].dtype
        return ((2 * np.stack((column, row), -1) + 1) / self.grid - 1).astype(dtype)

    def _cells(self, images: NDArray) -> NDArray:
        """Return the patches of every cell, (B, G * G, S * C * P * P)."""
        B = len(images)
        every = np.tile(self.places(np.arange(self.choices)), (B, 1, 1))
        patches = F.glimpse(images, every, self.glimpse.size, self.glimpse.scales)
        return patches.reshape(B, self.choices, math.prod(patches.shape[2:]))

    def _check_relaxed(self, temperature: float, rng: np.random.Generator | None,
                       given: NDArray | None) -> None:
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature}, expected above 0 and finite")
        if self.grid is None or not self.detach or rng is None or given is not None:
            raise ValueError("temperature is given, expected it with a grid, detach and rng only, "
                             "and without locations")

    def _first(self, rng: np.random.Generator | None, shape: tuple[int, ...]) -> Any:
        return rng.uniform(-1, 1, shape) if rng is not None and self.first == "random" else 0

    def _choose(self, policy: NDArray, rng: np.random.Generator | None,
                given: NDArray | None, draws: Distribution) -> tuple[NDArray, NDArray]:
        """Return actions and their places."""
        if given is None:
            action = draws.mode(policy) if rng is None else draws.sample(policy, rng)
            return action, action if self.grid is None else self.places(action)
        if self.grid is None:
            return given, given
        column, row = np.moveaxis(np.clip((given + 1) / 2 * self.grid, 0, self.grid - 1), -1, 0)
        return row.astype(np.int64) * self.grid + column.astype(np.int64), given


def _joined(steps: list[RecurrentSaved]) -> RecurrentSaved:
    """What one pass over all steps would have saved."""
    x, y = (np.concatenate([getattr(s, name) for s in steps], 1) for name in ("x", "y"))
    trace = None if steps[0].trace is None else np.concatenate([s.trace for s in steps], 1)
    return RecurrentSaved(x, steps[0].first, None, y, trace, steps[-1].state, False)
