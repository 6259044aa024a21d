"""The pictures of the two examples."""

import os
from collections.abc import Mapping, Sequence

import numpy
from matplotlib.figure import Figure

from fastlstm import atomic
from fastlstm.demo.sunspots import AHEAD, SPLIT, SunspotForecaster
from fastlstm.demo.truncation import DISTANCE


def draw(forecaster: SunspotForecaster, path: str | os.PathLike[str]) -> None:
    """Draw the data and the forecasts of a trained forecaster.

    Parameters
    ----------
    forecaster : SunspotForecaster
    path : path
        Of the PNG file to write.
    """
    months, numbers = forecaster.months, forecaster.numbers
    forecast, errors = forecaster.forecasts()["LSTM"], forecaster.errors()
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    upper.plot(months, numbers, color="0.65", linewidth=0.8, label="observed")
    upper.plot(months, forecast, color="tab:red", linewidth=0.9, label=f"LSTM, {AHEAD} months ahead")
    upper.set_ylabel("monthly sunspot number")
    upper.set_xlim(SPLIT - numpy.timedelta64(600, "M"), months[-1])
    upper.set_ylim(0)
    upper.legend(loc="upper left", frameon=False)
    rivals = ", ".join(f"{name} {error:.1f}" for name, error in errors.items())
    upper.set_title(
        f"Sunspots forecast {AHEAD} months ahead\nroot mean square error on held-out months: {rivals}", fontsize=11
    )
    lower.plot(months, forecast - numbers, color="tab:red", linewidth=0.7)
    lower.axhline(0, color="0.65", linewidth=0.8)
    lower.set_ylabel("forecast - observed")
    for axes in (upper, lower):
        axes.axvline(SPLIT, color="black", linestyle="--", linewidth=1)
    upper.annotate(
        "held out", (SPLIT, 1), (6, -12), xycoords=("data", "axes fraction"), textcoords="offset points"
    )
    _save(figure, path)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with atomic.replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_memory(accuracies: Mapping[int, Sequence[float]], path: str | os.PathLike[str]) -> None:
    """Draw how well the symbol is remembered against how far back the gradient reaches.

    Parameters
    ----------
    accuracies : mapping of int to sequence of float
        For each truncation K, the accuracy of each seed.
    path : path
        Of the PNG file to write.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for truncate, found in accuracies.items():
        axes.plot([truncate] * len(found), found, "o", color="tab:red", markersize=5, alpha=0.6)
    means = [sum(found) / len(found) for found in accuracies.values()]
    axes.plot(list(accuracies), means, color="tab:red", linewidth=1)
    axes.axvline(DISTANCE, color="black", linestyle="--", linewidth=1)
    axes.annotate("needed", (DISTANCE, 0), (4, 6), xycoords=("data", "axes fraction"), textcoords="offset points")
    axes.axhline(0.5, color="0.65", linewidth=0.8)
    axes.annotate(
        "coin toss", (1, 0.5), (-4, 4), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right"
    )
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("K: steps back from each error")
    axes.set_ylabel("remembered symbol predicted right")
    axes.set_title(f"Embedded Reber grammar: a symbol to be remembered for {DISTANCE} steps", fontsize=11)
    _save(figure, path)
