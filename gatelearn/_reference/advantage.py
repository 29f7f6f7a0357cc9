"""Generalised advantage estimation, and the leave-one-out baseline."""

import numpy as np


def gae(rewards, values, last, terminated, truncated, final=None, gamma=0.99, lam=0.95):
    advantages = np.empty_like(rewards)
    carry = np.zeros_like(last)
    for t in reversed(range(len(rewards))):
        follows = last if t == len(rewards) - 1 else values[t + 1]
        if final is not None:
            follows = np.where(truncated[t], final[t], follows)
        follows = np.where(terminated[t], 0, follows)
        carry = np.where(terminated[t] | truncated[t], 0, carry)
        carry = rewards[t] + gamma * follows - values[t] + gamma * lam * carry
        advantages[t] = carry
    return advantages, advantages + values


def leave_one_out(rewards):
    others = (rewards.sum(0) - rewards) / (len(rewards) - 1)
    return rewards - others
