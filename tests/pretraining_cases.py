"""What the tests of pre-trained models share: frames of moving things, and checks of a trainer."""

import numpy as np
from helpers import same_bits

import gatelearn as gl
from gatelearn.wsa.pretraining import Frames


def moving_dots(count=120, size=(20, 20), episodes=3, seed=0):
    """Frames in which a bright square of 3 x 3 moves at constant speed over a still background."""
    rng = np.random.default_rng(seed)
    height, width = size
    still = np.random.default_rng(99).integers(20, 60, size, dtype=np.uint8)
    images = np.broadcast_to(still, (count, *size)).copy()
    episode = np.arange(count) * episodes // count
    for e in range(episodes):
        of = np.flatnonzero(episode == e)
        (y, x), (dy, dx) = rng.integers(0, 17, 2), rng.integers(1, 3, 2)
        for t, i in enumerate(of):
            top, left = (y + t * dy) % (height - 2), (x + t * dx) % (width - 2)
            images[i, top:top + 3, left:left + 3] = 230
    return Frames(images, episode)


def check_gradient(trainer, *, seed=0, step=1e-6, tolerance=1e-6, most=400):
    """Compare the gradient of the whole loss with central differences, in float64.

    At most `most` parameters are tried, drawn over all of them; the draws of `gradient` itself, if
    it has any, must be the same each time.
    """
    network, rng = trainer.network, np.random.default_rng(seed)
    assert network.params.dtype == np.float64
    network.params += 0.05 * rng.standard_normal(network.params.shape)
    batch = trainer.draw(trainer.frames, np.random.default_rng(seed))
    state = trainer.rng.bit_generator.state

    def loss():
        trainer.rng.bit_generator.state = state
        return trainer.gradient(*batch)["loss"]

    loss()
    grads, params = network.grads.copy(), network.params
    scale = max(1.0, np.abs(grads).max())
    # some of every array, so that none is passed over
    paths, at, tried = network.named_parameters(), 0, []
    for path, value in paths.items():
        n = min(value.size, -(-most // len(paths)))
        tried += [(path, i) for i in at + rng.permutation(value.size)[:n]]
        at += value.size
        assert np.any(grads[at - value.size:at]), f"{path}: gradient is 0 throughout"
    for path, i in tried:
        kept = params[i]
        params[i] = kept + step
        above = loss()
        params[i] = kept - step
        below = loss()
        params[i] = kept
        expected = (above - below) / (2 * step)
        assert abs(grads[i] - expected) <= tolerance * scale, (
            f"{path}: gradient {grads[i]:.9g}, expected {expected:.9g}")


def check_resume(make, steps=4):
    """Assert that a trainer goes on to the same bits from its state, on any number of threads."""
    whole = make()
    for _ in range(2 * steps):
        whole.step()
    for threads in (1, 3):
        with gl.num_threads(threads):
            first, second = make(), make()
            for _ in range(steps):
                first.step()
            second.load_state(*first.state())
            for _ in range(steps):
                second.step()
        same_bits(second.network.params, whole.network.params)
