"""Files of frozen encoders: parameters, what makes the network again, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gatelearn._files import load_arrays, save_arrays
from gatelearn._version import __version__
from gatelearn.errors import UserError, suggest
from gatelearn.wsa.pretraining.base import FrozenEncoder


def save_encoder(path: str | Path, encoder: FrozenEncoder, provenance: Mapping[str, Any], *,
                 overwrite: bool = False) -> None:
    """Write an encoder as one safetensors file, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``; its folder must exist.
    encoder : FrozenEncoder
    provenance : mapping
        Where it comes from, of what JSON holds: game, frames, steps, seed. The library's version is
        added.
    overwrite : bool, default False
        Whether a file that stands there may be replaced.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    UserError
        If the path ends otherwise.
    OSError
        If it cannot be written; what stood there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> from gatelearn.wsa.pretraining import ContrastiveEncoder, ContrastiveNetwork
    >>> path = Path(tempfile.mkdtemp(), "contrastive.safetensors")
    >>> encoder = ContrastiveEncoder(ContrastiveNetwork((36, 36), 1).build(seed=0))
    >>> save_encoder(path, encoder, {"game": "Pong", "seed": 0})
    >>> loaded = load_encoder(path)
    >>> loaded.name, loaded.width, loaded.provenance["game"]
    ('contrastive', 1024, 'Pong')
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"'{path}' has the suffix '{path.suffix}', expected .safetensors")
    if path.exists() and not overwrite:
        raise FileExistsError(f"'{path}' exists: choose another path, or overwrite=True")
    arrays = {f"network.{k}": v for k, v in encoder.network.named_parameters().items()}
    arrays["centre"] = encoder.centre
    facts = {"model": encoder.model, "name": encoder.name, "scale": encoder.scale,
             "network": encoder.network.settings, "options": encoder.options,
             "provenance": {**provenance, "version": __version__}}
    save_arrays(path, arrays, {"encoder": facts})


def load_encoder(path: str | Path) -> FrozenEncoder:
    """Read an encoder that `save_encoder` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    FrozenEncoder
        With what was said of it as ``provenance``. It embeds to the same bits as the one saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UserError
        If it is damaged or no encoder of ours.
    """
    # here, since the registry's package holds this file
    from gatelearn.wsa.pretraining import MODELS

    path = Path(path)
    arrays, meta = load_arrays(path)
    facts = meta.get("encoder")
    if not isinstance(facts, dict):
        raise UserError(f"'{path}' holds no encoder, expected a file of save_encoder")
    model = facts.get("model")
    if model not in MODELS:
        raise UserError(f"'{path}' holds an encoder of the unknown model '{model}'"
                        f"{suggest(str(model), MODELS)}")
    try:
        network = MODELS[model].network(**facts["network"])
        network.build(0)
        prefix = "network."
        network.load({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
        encoder = MODELS[model].encoder(network, name=facts["name"], **facts["options"])
        centre = arrays["centre"]
        if centre.shape != (encoder.width,):
            raise ValueError(f"centre has shape {centre.shape}, expected ({encoder.width},)")
        encoder.centre, encoder.scale = centre.astype(np.float32), float(facts["scale"])
        encoder.provenance = dict(facts["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"'{path}' does not fit this version of the library: {error}") from None
    return encoder
