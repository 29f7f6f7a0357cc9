"""Adam with decoupled weight decay."""

import numpy as np


def adamw_step(param, m, v, grad, *, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
               weight_decay=0.0, decay=None, grad_scale=1.0):
    """In place."""
    g = grad_scale * grad
    param *= 1 - lr * weight_decay * (1 if decay is None else decay)
    m[:] = betas[0] * m + (1 - betas[0]) * g
    v[:] = betas[1] * v + (1 - betas[1]) * g * g
    m_hat, v_hat = m / (1 - betas[0]**step), v / (1 - betas[1]**step)
    param -= lr * m_hat / (np.sqrt(v_hat) + eps)


def grad_norm(grad):
    return float(np.sqrt(np.sum(np.square(grad, dtype=np.float64))))
