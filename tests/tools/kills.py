"""Trainings that are killed at random moments and go on from their checkpoints: ``python -m tests.tools.kills 50``."""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = "1"  # the process forks

from fastlstm import train
from fastlstm.train import checkpoint
from tests.tools import streams

EPOCHS, LENGTHS = 6, (4, 2, 5, 3)


def make() -> train.Trainer:
    return streams.trainer(k1=3, k2=7, seed=11)


def go_on(trainer: train.Trainer, path: Path | None, every: int | None) -> None:
    """Train to the end, on data that are shuffled anew in every epoch."""
    trainer.fit(
        streams.Shuffled(streams.chunks(LENGTHS)), epochs=EPOCHS - trainer.epoch,
        validation=streams.chunks([4, 4]), callbacks=[train.EarlyStopping(4)],
        checkpoint=path, checkpoint_every=None if path is None else every,
    )


def start(path: Path, every: int | None) -> int:
    """A child that goes on from the checkpoint, if there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's threads, which the child does without
        child = os.fork()
    if child:
        return child
    try:
        trainer = train.Trainer.load(path) if path.exists() else make()
        if not trainer.stopped:
            go_on(trainer, path, every)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def kill(path: Path, every: int | None, delay: float | None) -> bool:
    """Start a child and kill it after a while; whether it had come to its end before, as it must without a delay."""
    child = start(path, every)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)  # it is still to be waited for, whether it has ended or not
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the training failed with status {status}"
    return status == 0


def run(count: int, seed: int) -> str:
    """Kill trainings so many times, and bring the last one to its end; all must end with the same weights."""
    expected: Any = make()
    go_on(expected, None, None)
    dice, kills, saving, ended = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        began = time.perf_counter()
        go_on(make(), path, 1)
        span = time.perf_counter() - began
        path.unlink()
        over = False
        while kills < count or not over:
            last = kills >= count
            over = kill(path, dice.choice((1, 5, None)), None if last else dice.uniform(0, span / 2))
            saving += any(path.parent.glob("*.tmp"))
            if path.exists():
                checkpoint.read(path)
            if not over:
                kills += 1
                continue
            found = train.Trainer.load(path)
            streams.assert_same(expected, found)
            found.save(path)
            assert [*path.parent.iterdir()] == [path]  # whatever the kills have left there
            ended += 1
            path.unlink()
    return f"{kills} kills, {saving} of them while saving; {ended} trainings ended, as the one that was left alone"


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
