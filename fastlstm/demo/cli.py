"""The command line: ``fastlstm demo``."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fastlstm import atomic
from fastlstm.demo.plots import draw, draw_memory
from fastlstm.demo.sunspots import AHEAD, LENGTH, SPLIT, SunspotForecaster
from fastlstm.demo.truncation import DISTANCE, REACHES, accuracy
from fastlstm.engine.cores import useful
from fastlstm.train import Callback, Trainer
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
    output: Annotated[Path, typer.Option(help="Folder for what it writes.", file_okay=False)] = Path(),
) -> None:
    """Forecast sunspots a year ahead: train on 1749 to 1949, judge on 1950 to 2008.

    Writes forecast.png and, after every epoch, model.safetensors; Ctrl-C leaves the last completed epoch there.
    """
    console = Console()
    chart, saved = output / "forecast.png", Saved(output / "model.safetensors")
    _prepare(chart, saved.path)
    forecaster, epochs = SunspotForecaster(), QUICK_EPOCHS if quick else EPOCHS
    console.print(
        f"Monthly sunspot numbers {forecaster.months[0]} to {forecaster.months[-1]}, held out from {SPLIT}; "
        f"forecasting {AHEAD} months ahead with an LSTM of {forecaster.hidden_size} units, errors walked "
        f"{forecaster.truncate} months back"
    )
    try:
        start = time.perf_counter()
        with console.status("compiling the kernels (the first time; later starts read them from the cache)"):
            _fit(SunspotForecaster(), updates=1)
        console.print(f"Kernels ready after {time.perf_counter() - start:.1f} s.")
        start = time.perf_counter()
        _fit(forecaster, epochs=epochs, callbacks=[saved], progress=True)
        seconds = (time.perf_counter() - start) / epochs
        _judge(console, forecaster)
        draw(forecaster, chart)
        console.print(f"Wrote {chart} and {saved.path}.")
        _compare(console, forecaster, seconds)
    except KeyboardInterrupt:
        kept = f"{saved.path} holds epoch {saved.epochs}" if saved.epochs else "no epoch was completed"
        console.print(f"Stopped; {kept}.")
        raise typer.Exit(INTERRUPTED) from None


def _prepare(*paths: Path) -> None:
    """Find out whether the files can be written, before hours of work are lost."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.check(path)


def _fit(forecaster: SunspotForecaster, **how: Any) -> None:
    """Train; Ctrl-C goes on as an exception once the trainer has ended in good order."""
    forecaster.trainer.fit(forecaster.batches, validation=forecaster.known(), **how)
    if forecaster.trainer.interrupted:
        raise KeyboardInterrupt


class Saved(Callback):
    """Writes a checkpoint after every epoch."""

    def __init__(self, path: Path) -> None:
        self.path, self.epochs = path, 0

    def on_epoch(self, trainer: Trainer) -> None:
        """Save."""
        trainer.save(self.path)
        self.epochs += 1


@app.command()
def grammar(
    seeds: Annotated[int, typer.Option(min=1, help="Trainings for each K.")] = 3,
    output: Annotated[Path, typer.Option(help="Folder for what it writes.", file_okay=False)] = Path(),
) -> None:
    """Learn a grammar in which a symbol must be remembered: how far back must the gradient reach? Writes memory.png."""
    console, chart = Console(), output / "memory.png"
    _prepare(chart)
    table = Table(title=f"A symbol to be remembered for {DISTANCE} steps")
    for heading in ("K", *(f"seed {seed}" for seed in range(seeds))):
        table.add_column(heading, justify="right")
    found = {}
    for truncate in track(REACHES, "training", console=console):
        found[truncate] = [accuracy(truncate, seed) for seed in range(seeds)]
        table.add_row(str(truncate), *(f"{share:.0%}" for share in found[truncate]))
    console.print(table)
    draw_memory(found, chart)
    console.print(f"Wrote {chart}.")


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
    threads = useful(None, 1 << 40)
    console.print(
        f"One epoch of {sequences} sequences of {LENGTH} months: {seconds:.2f} s in the kernels "
        f"({threads} threads), {oracle:.0f} s in the NumPy oracle (from {timed} of the sequences): "
        f"{oracle / seconds:.0f} times faster."
    )
