"""Files that are whole or not there: atomic writes and checkpoints."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gatelearn.errors import UserError, require

TEMPORARY_SUFFIX = ".gatelearn-tmp"


class Checkpoint(NamedTuple):
    """Arrays and the facts beside them.

    Attributes
    ----------
    arrays : dict of str to ndarray
    meta : dict
        As it was saved, tuples as lists.
    """

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file so that it is the old or the new one at any moment, even after a power cut.

    Parameters
    ----------
    path : path
        Its folder must exist.
    data : bytes

    Raises
    ------
    OSError
        If it cannot be written; what stood there before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # the rename lasts only once the folder itself is on disk
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_arrays(
    path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], **facts: int
) -> None:
    """Write arrays and `meta` as one safetensors file; `facts` stand beside `meta`."""
    # safetensors reads the memory as it lies: it must be dense, and 0-d stays 0-d
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"array '{name}' is {array.dtype}, expected bool, int or float")
        if array.dtype.byteorder == ">":
            arrays[name] = array.astype(array.dtype.newbyteorder("="))
    header = {"meta": meta, **facts}
    header["crc32"] = _crc32(arrays, json.dumps(header, default=_encode_numpy))
    # in one entry: safetensors writes several in a random order, and equal runs have equal files
    metadata = {"gatelearn": json.dumps(header, default=_encode_numpy)}
    atomic_write(path, require("safetensors.numpy").save(arrays, metadata=metadata))


def load_arrays(path: Path) -> Checkpoint:
    """Read what `save_arrays` wrote; the arrays are writable."""
    header = read_header(path)
    safetensors = require("safetensors")
    try:
        arrays = require("safetensors.numpy").load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise UserError(f"'{path}' is damaged: {error}") from None
    crc32 = header.pop("crc32")
    if crc32 != _crc32(arrays, json.dumps(header)):
        raise UserError(f"'{path}' is damaged: its checksum does not match")
    meta = json.loads(json.dumps(header["meta"]), object_hook=_decode_numpy)
    return Checkpoint({name: array.copy() for name, array in arrays.items()}, meta)


def read_header(path: Path) -> dict[str, Any]:
    """Return 'meta' and what `save_arrays` wrote beside it, without reading the arrays."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # a damaged length must not make us read gigabytes
        head = file.read(min(length, 100 << 20))
    try:
        tree = json.loads(head)
    except ValueError:
        raise UserError(f"'{path}' is damaged or not a safetensors file") from None
    try:
        header = json.loads(tree["__metadata__"]["gatelearn"])
        header["meta"], header["crc32"]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"'{path}' is not a gatelearn checkpoint: its metadata is not ours"
        ) from None
    return header


def _crc32(arrays: dict[str, np.ndarray], text: str) -> int:
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]), zlib.crc32(name.encode(), crc))
    return crc


# the state of some bit generators (MT19937, Philox, SFC64) holds arrays


def _encode_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"__ndarray__": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"meta holds {value!r}, which JSON cannot hold")


def _decode_numpy(tree: dict[str, Any]) -> Any:
    if "__ndarray__" in tree:
        return np.array(tree["__ndarray__"], dtype=tree["dtype"])
    return tree
