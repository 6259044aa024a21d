"""The command line: ``fastlstm demo``."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from fastlstm.chart import draw
from fastlstm.cores import borrowed
from fastlstm.forecast import AHEAD, LENGTH, SPLIT, SunspotForecaster
from fastlstm.version import __version__

app = typer.Typer(add_completion=False, help="LSTMs on the CPU as Numba kernels.", no_args_is_help=True)

EPOCHS, QUICK_EPOCHS = 40, 10
ORACLE_BUDGET = 1.0
"""Seconds for timing the oracle."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@app.callback()
def command() -> None:
    """LSTMs on the CPU as Numba kernels."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK_EPOCHS} epochs instead of {EPOCHS}.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for forecast.png and model.npz.", file_okay=False)] = Path(),
) -> None:
    """Forecast sunspots a year ahead: train on 1749 to 1949, judge on 1950 to 2008.

    Writes forecast.png and, after every epoch, model.npz; Ctrl-C leaves the last completed epoch there.
    """
    console = Console()
    output.mkdir(parents=True, exist_ok=True)
    chart, saved = output / "forecast.png", output / "model.npz"
    forecaster, completed = SunspotForecaster(), 0
    console.print(
        f"Monthly sunspot numbers {forecaster.months[0]} to {forecaster.months[-1]}, held out from {SPLIT}; "
        f"forecasting {AHEAD} months ahead with {forecaster.model}"
    )
    try:
        start = time.perf_counter()
        with console.status("compiling the kernels (the first time; later starts read them from the cache)"):
            SunspotForecaster().epoch()
        console.print(f"Kernels ready after {time.perf_counter() - start:.1f} s.")
        with _progress(console) as progress:
            task = progress.add_task("training", total=float(QUICK_EPOCHS if quick else EPOCHS), loss="", speed="")
            while completed < (QUICK_EPOCHS if quick else EPOCHS):
                epoch = forecaster.epoch(lambda share: progress.advance(task, share))
                forecaster.model.save(saved)
                completed += 1
                speed = f"{epoch.steps / epoch.seconds:,.0f} steps/s"
                progress.update(task, completed=completed, loss=f"loss {epoch.loss:.4f}", speed=speed)
        _judge(console, forecaster)
        draw(forecaster, chart)
        console.print(f"Wrote {chart} and {saved}.")
        _compare(console, forecaster, epoch.seconds)
    except KeyboardInterrupt:
        kept = f"{saved} holds epoch {completed}" if completed else "no epoch was completed"
        console.print(f"Stopped; {kept}.")
        raise typer.Exit(INTERRUPTED) from None


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(), console=console,
    )


def _judge(console: Console, forecaster: SunspotForecaster) -> None:
    errors = forecaster.errors()
    table = Table(title=f"Held-out months, {AHEAD} months ahead")
    table.add_column("forecast")
    table.add_column("root mean square error", justify="right")
    for name, error in errors.items():
        table.add_row(name, f"{error:.1f}")
    console.print(table)
    best = min(error for name, error in errors.items() if name != "LSTM")
    won = "beats both baselines" if errors["LSTM"] < best else "does not beat both baselines"
    console.print(f"The LSTM {won}: {errors['LSTM'] / best:.2f} of the better one's error.")


def _compare(console: Console, forecaster: SunspotForecaster, seconds: float) -> None:
    with console.status("timing the oracle"):
        oracle, timed, sequences = forecaster.oracle_seconds(ORACLE_BUDGET)
    with borrowed(forecaster.model.n_threads, 1 << 40) as threads:
        console.print(
            f"One epoch of {sequences} sequences of {LENGTH} months: {seconds:.2f} s in the kernels "
            f"({threads} threads), {oracle:.0f} s in the NumPy oracle (from {timed} of the sequences): "
            f"{oracle / seconds:.0f} times faster."
        )
