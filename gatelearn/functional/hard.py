"""Hard attention: each query draws one position and takes its value."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, as_uniforms
from gatelearn.functional.attention import _options


def _common(query: NDArray, key: NDArray, is_causal: bool, scale: float | None,
            mask: ArrayLike | None, key_lengths: ArrayLike | None) -> tuple:
    """The options in the order of the core."""
    done = _options(query, key, mask=mask, scale=scale, key_lengths=key_lengths)
    return done.key_lengths, done.mask, done.scale, bool(is_causal)


def hard_attention(query: ArrayLike, key: ArrayLike, value: ArrayLike, uniforms: ArrayLike, *,
                   is_causal: bool = False, scale: float | None = None,
                   mask: ArrayLike | None = None, key_lengths: ArrayLike | None = None
                   ) -> tuple[NDArray, NDArray[np.int64], NDArray, NDArray, NDArray]:
    """Draw one position a query and take its value: a policy over positions [1]_ [2]_.

    ``z ~ Categorical(softmax(scale * query @ key^T))``, ``out = value[z]``. A draw has no
    derivative; with ``dlogp = reward - baseline``, `hard_attention_backward` gives the
    score-function gradient (REINFORCE) [3]_. Scores, softmax and draw are one pass in blocks: the
    matrix of scores is never held, and of `value` only the rows that were drawn are read.

    Parameters
    ----------
    query : array_like, shape (B, H, Tq, D)
        Batch, heads, time, width. Heads and time may be strided views, as the split of one
        projection gives them; no copy is made. float32 and float64 are kept.
    key : array_like, shape (B, H, Tk, D)
    value : array_like, shape (B, H, Tk, E)
    uniforms : array_like, shape (B, H, Tq)
        In [0, 1), as ``rng.random`` gives them. The position is the first at which the cumulative
        probability exceeds it.
    is_causal : bool, default False
        Query ``t`` sees keys ``0 .. t`` only.
    scale : float, optional
        Factor of the scores, ``1 / sqrt(D)`` by default.
    mask : array_like of bool, broadcasts to (B, H, Tq, Tk), optional
        True where a query may see a key.
    key_lengths : array_like of int, shape (B,), optional
        How many keys of each sample count.

    Returns
    -------
    out : ndarray, shape (B, H, Tq, E)
    actions : ndarray of int64, shape (B, H, Tq)
        The positions, in ``[0, Tk)``.
    logp : ndarray, shape (B, H, Tq)
        Log-probability of each action.
    entropy : ndarray, shape (B, H, Tq)
        Of the distribution over positions, in nats.
    lse : ndarray, shape (B, H, Tq)
        Log-sum-exp of the scores, which `hard_attention_backward` needs.

    Raises
    ------
    FloatingPointError
        If a query sees no key, or a score that is not finite. The message names the row
        ``(b * H + h) * Tq + t``.
    TypeError
        If a dtype is not real, a length not an integer, or the mask not of booleans or integers.
    ValueError
        If a uniform number is outside [0, 1), shapes do not match, a length is out of range, or
        `scale` is not finite.

    See Also
    --------
    categorical_sample : the same draw from logits that are at hand.

    References
    ----------
    .. [1] K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual
       Attention", ICML 2015.
    .. [2] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NeurIPS 2014.
    .. [3] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> query, key = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 4, 2))
    >>> value = np.arange(4.0).reshape(1, 1, 4, 1)
    >>> out, actions, logp, entropy, lse = hard_attention(query, key, value, [[[0.6]]])
    >>> out.item(), actions.item(), round(logp.item(), 3), round(entropy.item(), 3)
    (2.0, 2, -1.386, 1.386)
    """
    query, key, value = as_reals((query, "query"), (key, "key"), (value, "value"), ndim=4,
                                 strided=True)
    uniforms = as_uniforms(uniforms, "uniforms", query.dtype)
    common = _common(query, key, is_causal, scale, mask, key_lengths)
    rows = query.shape[:3]
    out, actions = np.empty((*rows, value.shape[3]), query.dtype), np.empty(rows, np.int64)
    logp, entropy, lse = (np.empty(rows, query.dtype) for _ in range(3))
    _core.hard_attention_forward(query, key, *common, value, uniforms, out, actions, logp, entropy,
                                 lse)
    return out, actions, logp, entropy, lse


def hard_attention_log_prob(query: ArrayLike, key: ArrayLike, actions: ArrayLike, *,
                            is_causal: bool = False, scale: float | None = None,
                            mask: ArrayLike | None = None, key_lengths: ArrayLike | None = None
                            ) -> tuple[NDArray, NDArray, NDArray]:
    """Log-probability of given actions, as PPO needs it, and entropy.

    Parameters
    ----------
    query, key
        As of `hard_attention`.
    actions : array_like of int, shape (B, H, Tq)
        In ``[0, Tk)``.
    is_causal, scale, mask, key_lengths
        As of `hard_attention`.

    Returns
    -------
    logp : ndarray, shape (B, H, Tq)
        ``-inf`` where the query does not see the position.
    entropy : ndarray, shape (B, H, Tq)
    lse : ndarray, shape (B, H, Tq)
        Log-sum-exp of the scores, which `hard_attention_backward` needs.

    Raises
    ------
    IndexError
        If an action is out of range.
    FloatingPointError, TypeError, ValueError
        As `hard_attention`.

    Examples
    --------
    >>> import numpy as np
    >>> query, key = np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2))
    >>> hard_attention_log_prob(query, key, [[[0, 0]]], is_causal=True)[0].round(3)
    array([[[ 0.   , -0.693]]])
    """
    query, key = as_reals((query, "query"), (key, "key"), ndim=4, strided=True)
    actions = as_index(actions, "actions", ndim=3)
    common = _common(query, key, is_causal, scale, mask, key_lengths)
    logp, entropy, lse = (np.empty(query.shape[:3], query.dtype) for _ in range(3))
    _core.hard_attention_log_prob(query, key, *common, actions, logp, entropy, lse)
    return logp, entropy, lse


def hard_attention_backward(dout: ArrayLike | None, dlogp: ArrayLike | None,
                            dentropy: ArrayLike | None, query: ArrayLike, key: ArrayLike,
                            value: ArrayLike, actions: ArrayLike, lse: ArrayLike,
                            entropy: ArrayLike, *, is_causal: bool = False,
                            scale: float | None = None, mask: ArrayLike | None = None,
                            key_lengths: ArrayLike | None = None
                            ) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `hard_attention`, of its output, log-probability and entropy.

    The actions are constants: `dout` reaches the values that were drawn and nothing else, `dlogp`
    and `dentropy` reach queries and keys.

    Parameters
    ----------
    dout : array_like, shape (B, H, Tq, E), or None
        Gradient with respect to the output; None is 0.
    dlogp, dentropy : array_like, shape (B, H, Tq), or None
        Gradient with respect to `logp`, such as ``-(reward - baseline)`` of a loss, and `entropy`;
        None is 0.
    query, key, value
        As in the forward pass; of `value` only the shape counts.
    actions, lse, entropy : array_like, shape (B, H, Tq)
        What the forward pass, or `hard_attention_log_prob`, returned.
    is_causal, scale, mask, key_lengths
        As in the forward pass.

    Returns
    -------
    dquery : ndarray, shape (B, H, Tq, D)
    dkey : ndarray, shape (B, H, Tk, D)
    dvalue : ndarray, shape (B, H, Tk, E)

    Raises
    ------
    IndexError
        If an action is out of range.
    TypeError, ValueError
        As `hard_attention`.

    Examples
    --------
    >>> import numpy as np
    >>> query, key = np.ones((1, 1, 1, 1)), np.array([[[[0.0], [0.0]]]])
    >>> value = np.array([[[[3.0], [4.0]]]])
    >>> out, actions, logp, entropy, lse = hard_attention(query, key, value, [[[0.7]]])
    >>> dquery, dkey, dvalue = hard_attention_backward(
    ...     np.ones_like(out), np.ones_like(logp), None, query, key, value, actions, lse, entropy)
    >>> dkey[0, 0, :, 0], dvalue[0, 0, :, 0]
    (array([-0.5,  0.5]), array([0., 1.]))
    """
    query, key, value, *more = as_reals(
        (query, "query"), (key, "key"), (value, "value"),
        *([] if dout is None else [(dout, "dout")]), ndim=4, strided=True)
    common = _common(query, key, is_causal, scale, mask, key_lengths)
    dlogp, dentropy = (None if a is None else as_real(a, name, dtype=query.dtype)
                       for a, name in ((dlogp, "dlogp"), (dentropy, "dentropy")))
    lse, entropy = (as_real(a, name, dtype=query.dtype)
                    for a, name in ((lse, "lse"), (entropy, "entropy")))
    dquery, dkey = np.empty_like(query), np.empty_like(key)
    # rows that nobody drew are not even touched: zeros come from the system
    dvalue = np.zeros(value.shape, query.dtype)
    _core.hard_attention_backward(query, key, *common, value, as_index(actions, "actions"), lse,
                                  entropy, more[0] if more else None, dlogp, dentropy, dquery, dkey,
                                  dvalue)
    return dquery, dkey, dvalue
