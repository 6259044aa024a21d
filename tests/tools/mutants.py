"""Faults drawn at random that no test notices, by Cosmic Ray: ``python -m tests.tools.mutants train 50``.

The faults are put into one package of `fastlstm`, and its own tests should notice them. A last number is the seed.
(Kernels are left out: a change there compiles all of them anew.)
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[2]
CONFIG, SESSION = "mutants.toml", "mutants.sqlite"
TESTS = {"train": "tests/train", "nn": "tests/nn", "engine": "tests/engine tests/kernels/test_pair.py tests/nn"}
"""Of each package, the tests that should notice."""


def run(folder: Path, *command: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    packages = os.pathsep.join([str(folder), str(folder / "kernels")])  # of processes that tests start, too
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": packages}, check=True)


def place(item: Any) -> tuple[Any, ...]:
    """What tells an item from others in every session alike; the job's name does not."""
    (mutation,) = item.mutations
    return str(mutation.module_path), mutation.start_pos, mutation.operator_name, mutation.occurrence


def leave(session: WorkDB, count: int, seed: int) -> None:
    """Skip all faults but `count`."""
    waiting = sorted(session.pending_work_items, key=place)
    kept = {item.job_id for item in random.Random(seed).sample(waiting, min(count, len(waiting)))}
    print(f"{len(kept)} of {len(waiting)} faults")
    for item in waiting:
        if item.job_id not in kept:
            session.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))


def report(session: WorkDB) -> None:
    results = [result for _, result in session.results if result.worker_outcome != WorkerOutcome.SKIPPED]
    unnoticed = [result for result in results if not result.is_killed]
    print(*(result.diff for result in unnoticed), sep="\n\n")
    print(f"{len(results) - len(unnoticed)} of {len(results)} faults were noticed")


def main(package: str, count: int, seed: int = 0) -> None:
    settings = (ROOT / "tests" / "tools" / "mutants.toml").read_text("utf-8")
    settings = settings.replace("PACKAGE", f"fastlstm/{package}").replace("TESTS", TESTS[package])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"  # faults are put where the files lie
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".asv", "__pycache__"))
        (copy / CONFIG).write_text(settings, "utf-8")
        run(copy, "cosmic-ray", "init", CONFIG, SESSION)
        run(copy, "cr-filter-operators", SESSION, CONFIG)
        with use_db(copy / SESSION) as session:
            leave(session, count, seed)
        run(copy, "cosmic-ray", "baseline", CONFIG)  # without any fault; compiles the kernels too
        run(copy, "cosmic-ray", "exec", CONFIG, SESSION)
        with use_db(copy / SESSION) as session:
            report(session)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
