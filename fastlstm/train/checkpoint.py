"""Checkpoint files: named arrays and a JSON document, in the safetensors format, whole or not at all."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy

from fastlstm import atomic, checks
from fastlstm.checks import Array

FORMAT = 2
"""Of the files that `write` writes; `read` reads up to this one. In format 1 there were no schedules."""


def require() -> Any:
    """The library that writes and reads the files.

    Returns
    -------
    module
        safetensors.

    Raises
    ------
    ModuleNotFoundError
        It is not installed; the message says how.
    """
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}. Checkpoints need the extra 'train': pip install 'fastlstm[train]'"
        ) from None
    return safetensors


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Write a file, replacing an old one in one step: whenever the process or the machine stops, one of them is whole.

    Parameters
    ----------
    path : path
        Of the file.
    arrays : mapping of str to array
        Of real numbers, of at most 64 bits each.
    metadata : mapping
        What JSON can hold; NaN and infinities too.

    Raises
    ------
    TypeError, ValueError
        JSON or the format cannot hold it. Nothing is written.
    OSError
        The file cannot be written; an old one is as it was.
    ModuleNotFoundError
        safetensors is not installed.

    Notes
    -----
    The file is on the disk when this returns. A digest covers every byte of arrays and metadata.
    """
    library = require()
    held = {name: _storable(name, array) for name, array in arrays.items()}
    content = json.dumps(metadata)
    form = str(FORMAT)
    header = {"library": "fastlstm", "format": form, "digest": _digest(form, content, held), "content": content}
    # The library would write the file itself, with errors of its own for a full disk.
    data = library.numpy.save(held, header)
    with atomic.replacing(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    arrays : dict of str to array
    metadata : dict

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is truncated, damaged, of a newer format, or no such file at all.
    ModuleNotFoundError
        safetensors is not installed.
    """
    library = require()
    with open(path, "rb"):  # by Python, for its errors
        pass
    try:
        with library.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (library.SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is no checkpoint, or a truncated or damaged one: {error}") from None
    found = header.get("format", "")
    if header.get("library") != "fastlstm" or not found.isdecimal():
        raise ValueError(f"{path} is no checkpoint of fastlstm, though a safetensors file")
    if int(found) > FORMAT:
        raise ValueError(f"{path} has format {found}, which is newer than this version of fastlstm, which reads "
                         f"format {FORMAT}")
    content = header.get("content", "")
    if header.get("digest") != _digest(found, content, arrays):
        raise ValueError(f"{path} is damaged: its digest is not that of what it holds")
    metadata: dict[str, Any] = json.loads(content)
    return {name: numpy.require(array, requirements=["W"]) for name, array in arrays.items()}, metadata


def _storable(name: str, value: Any) -> Array:
    array = checks.real_array(name, value)
    if array.dtype.itemsize > 8:
        raise TypeError(f"{name} must hold numbers of at most 64 bits, got dtype {array.dtype}")
    return numpy.require(array, array.dtype.newbyteorder("<"), ["C"])


def _digest(form: str, content: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(f"{form}\0{content}".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.name}{array.shape}".encode())
        digest.update(array.reshape(-1).view(numpy.uint8).data)
    return digest.hexdigest()
