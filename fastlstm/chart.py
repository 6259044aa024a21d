"""The demo's picture: observed, forecast, split line and error."""

import os

from matplotlib.figure import Figure

from fastlstm.forecast import AHEAD, SPLIT, SunspotForecaster


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
    upper.set_xlim(SPLIT - 600, months[-1])
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
    figure.savefig(path, dpi=120)
