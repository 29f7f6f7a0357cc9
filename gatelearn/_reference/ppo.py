"""The clipped loss of proximal policy optimisation."""

import numpy as np


def ppo_loss(logp, logp_old, advantage, entropy, value=None, returns=None, value_old=None,
             clip=0.2, value_clip=0.2, value_coefficient=0.5, entropy_coefficient=0.0):
    n = len(logp)
    r = np.exp(logp - logp_old)
    free, held = r * advantage, np.clip(r, 1 - clip, 1 + clip) * advantage
    stats = {
        "policy_loss": -np.minimum(free, held).mean(),
        "value_loss": 0.0,
        "entropy": entropy.mean(),
        "approx_kl": (r - 1 - (logp - logp_old)).mean(),
        "clip_fraction": ((r < 1 - clip) | (r > 1 + clip)).mean(),
    }
    dlogp = np.where(held < free, 0, -free) / n
    dentropy = np.full(n, -entropy_coefficient / n)
    dvalue = None
    if value is not None:
        free = held = value - returns
        if value_old is not None:
            held = value_old + np.clip(value - value_old, -value_clip, value_clip) - returns
        stats["value_loss"] = np.maximum(free**2, held**2).mean() / 2
        dvalue = value_coefficient * np.where(held**2 > free**2, 0, free) / n
    stats["loss"] = (stats["policy_loss"] + value_coefficient * stats["value_loss"]
                     - entropy_coefficient * stats["entropy"])
    return stats, dlogp, dvalue, dentropy
