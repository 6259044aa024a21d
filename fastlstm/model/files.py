"""Model files: NumPy archives of plain arrays and settings, without pickled objects."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from fastlstm import atomic
from fastlstm.checks import Array

FORMAT = 1


def _path(path: str | os.PathLike[str]) -> Path:
    given = Path(path)
    return given if given.suffix == ".npz" else given.with_name(given.name + ".npz")


def write_model(
    path: str | os.PathLike[str], kind: str, settings: Mapping[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Write a model file, replacing an old one in one step, so that a reader never meets half of it.

    Parameters
    ----------
    path : path
        Of the file; ".npz" is added where it is missing.
    kind : str
        Which model it is.
    settings : mapping
        What JSON can hold.
    arrays : mapping of str to array

    Raises
    ------
    OSError
        The file cannot be written; an old one is as it was.
    """
    header = json.dumps({"format": FORMAT, "kind": kind, "settings": dict(settings)})
    with atomic.replacing(_path(path)) as file:
        numpy.savez(file, allow_pickle=False, header=numpy.array(header), **arrays)


def read_model(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a model file.

    Parameters
    ----------
    path : path
        Of the file; ".npz" is added where it is missing.
    kind : str
        Which model it must be.

    Returns
    -------
    settings : dict
    arrays : dict of str to array

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a file of this kind and format.
    """
    source = _path(path)
    try:
        with numpy.load(source, allow_pickle=False) as archive:
            arrays = dict(archive)
        header = json.loads(str(arrays.pop("header")))
        found = (header["format"], header["kind"])
        settings: dict[str, Any] = header["settings"]
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is not a fastlstm model file: {error}") from None
    if found != (FORMAT, kind):
        raise ValueError(f"{source} must hold a {kind} in format {FORMAT}, got a {found[1]} in format {found[0]}")
    return settings, arrays
