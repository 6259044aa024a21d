"""How many cores a process may use, on made-up systems."""

import os

import pytest

from fastlstm_kernels import quota


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Writes what the system says: affinity, the groups of the process, and files of groups."""

    def write(affinity, member, files):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
        monkeypatch.setattr(quota, "GROUPS", tmp_path / "groups")
        monkeypatch.setattr(quota, "MEMBER", tmp_path / "member")
        if member is not None:
            (tmp_path / "member").write_bytes(os.fsencode(member))
        for name, text in files.items():
            (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "groups" / name).write_text(text)
        return quota.own_cores.__wrapped__()

    return write


VERSION_1 = "4:cpu,cpuacct:/box\n3:cpuset:/other\n"


@pytest.mark.parametrize(
    ("affinity", "member", "files", "wanted"),
    [
        (1, None, {}, 1),
        (6, None, {}, 6),
        (6, "0::/\n", {"cpu.max": "max 100000\n"}, 6),
        (6, "0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        (6, "0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        (6, "0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        (2, "0::/\n", {"cpu.max": "400000 100000\n"}, 2),
        (6, "0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # one above it
        (6, "0::/not/to/be/seen\n", {"cpu.max": "300000 100000\n"}, 3),  # a container's own is the root there
        (6, VERSION_1, {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, 6),
        (6, VERSION_1, {"cpu/box/cpu.cfs_quota_us": "50000\n", "cpu/box/cpu.cfs_period_us": "25000\n"}, 2),
        (6, VERSION_1, {"cpu/other/cpu.max": "100000 100000\n"}, 6),
        (6, "0::/\n", {"cpu.max": "nonsense"}, 6),
        (6, "nonsense", {"cpu.max": "300000 100000\n"}, 6),
        (6, "0::/\udcff\n", {"\udcff/cpu.max": "300000 100000\n"}, 3),  # no UTF-8
    ],
)
def test_what_the_system_says(system, affinity, member, files, wanted):
    assert system(affinity, member, files) == wanted


def test_without_affinity_all_cores_count(system, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    system(3, None, {})
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert quota.own_cores.__wrapped__() == 1
