"""Real measurements that come with the package."""

from importlib.resources import files
from io import StringIO

import numpy

from fastlstm.checks import Array


def sunspots() -> tuple[Array, Array]:
    """Monthly mean sunspot numbers, January 1749 to December 2008.

    Returns
    -------
    months : (3120,) datetime64[M] array
    numbers : (3120,) float64 array
        International sunspot number (the series of before 2015), without unit.

    Notes
    -----
    Public domain: compiled by the National Geophysical Data Center of the United States' National Oceanic and
    Atmospheric Administration, "Monthly Mean Sunspot Numbers". February 1824 was not observed and is interpolated.
    """
    text = files("fastlstm").joinpath("data/sunspots.csv").read_text("ascii")
    table = numpy.genfromtxt(StringIO(text), delimiter=",", skip_header=1, dtype=None, encoding="ascii")
    return table["f0"].astype("datetime64[M]"), table["f1"].astype(numpy.float64)
