"""Vectors of independent Gaussian variables with one fixed deviation."""

import numpy as np


def gaussian_sample(mean, normals, std):
    actions = mean + std * normals
    return actions, gaussian_log_prob(mean, actions, std)


def gaussian_log_prob(mean, actions, std):
    z = (actions - mean) / std
    return -(z**2 / 2 + np.log(std) + np.log(2 * np.pi) / 2).sum(-1)


def gaussian_entropy(mean, std):
    return np.full(mean.shape[:-1], mean.shape[-1] * (np.log(std) + np.log(2 * np.pi * np.e) / 2))


def gaussian_backward(mean, actions, dlogp, std):
    return dlogp[..., None] * (actions - mean) / std**2


def gaussian_kl(mean_p, mean_q, std):
    return (((mean_p - mean_q) / std) ** 2 / 2).sum(-1)


def gaussian_kl_backward(dkl, mean_p, mean_q, std):
    dp = dkl[..., None] * (mean_p - mean_q) / std**2
    return dp, -dp
