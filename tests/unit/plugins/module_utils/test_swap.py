from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._swap import Files, SwapFile, Wanted

MIB = 1 << 20


class Machine:
    """A kernel of files: /proc/swaps follows swapon and swapoff, mkswap writes the real signature."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "swapfile"
        self.proc = tmp_path / "proc-swaps"
        self.files = Files(
            str(self.proc), str(tmp_path / "meminfo"), str(tmp_path / "fstab"), str(tmp_path / "swappiness")
        )
        self.sysctl = tmp_path / "sysctl.d" / "90-swap.conf"
        (tmp_path / "meminfo").write_text("MemTotal: 4096000 kB\nMemAvailable:  2048000 kB\n")
        (tmp_path / "fstab").write_text("UUID=1 / ext4 defaults 0 1\n# a comment\n")
        (tmp_path / "swappiness").write_text("60\n")
        self.commands: list[str] = []
        self.refuse: dict[str, Callable[[], bool]] = {}
        self.swaps({})

    def swaps(self, areas: dict[str, int]) -> None:
        lines = [f"{path}\tfile\t4096\t{used}\t-2\n" for path, used in areas.items()]
        self.proc.write_text("Filename\tType\tSize\tUsed\tPriority\n" + "".join(lines))

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        name, target = argv[0], argv[-1]
        self.commands.append(name)
        if name in self.refuse and self.refuse[name]():
            return 1, "", f"{name}: {target}: Invalid argument\n"
        if name == "fallocate":
            with open(target, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, int(argv[2].removesuffix("MiB")) * MIB)
        elif name == "mkswap":
            with open(target, "r+b") as file:
                file.seek(os.sysconf("SC_PAGESIZE") - 10)
                file.write(b"SWAPSPACE2")
        elif name in ("swapon", "swapoff"):
            self.swaps({target: 0} if name == "swapon" else {})
        return 0, "", ""

    def keep(self, size_mib: int = 4, swappiness: int | None = 10) -> SwapFile:
        return SwapFile(Wanted(str(self.path), size_mib, swappiness, str(self.sysctl)), self.run, self.files)

    def converge(self, size_mib: int = 4, swappiness: int | None = 10) -> list[str]:
        self.commands.clear()
        plan = self.keep(size_mib, swappiness).plan()
        plan.execute()
        return [f"{step['action']} {step['target'].replace(str(self.path.parent), '')}" for step in plan.describe()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_clean_machine_gets_everything_once(machine: Machine):
    assert machine.converge() == [
        "create /swapfile",
        "run mkswap /swapfile",
        "run swapon /swapfile",
        "update /fstab",
        "create /sysctl.d/90-swap.conf",
        "update vm.swappiness",
    ]
    assert machine.commands == ["fallocate", "mkswap", "swapon"]
    assert machine.path.stat().st_size == 4 * MIB
    assert machine.path.stat().st_mode & 0o777 == 0o600
    assert Path(machine.files.fstab).read_text() == (
        f"UUID=1 / ext4 defaults 0 1\n# a comment\n{machine.path} none swap sw 0 0\n"
    )
    assert machine.sysctl.read_text().endswith("vm.swappiness = 10\n")
    assert Path(machine.files.swappiness).read_text() == "10"
    assert machine.converge() == []
    assert machine.commands == []


def test_planning_changes_nothing(machine: Machine, tmp_path: Path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert machine.keep().plan().changed
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert machine.commands == []


@pytest.mark.parametrize("size", [2, 6])
def test_a_wrong_size_is_switched_off_and_made_anew(machine: Machine, size: int):
    machine.converge()
    assert machine.converge(size) == [
        "run swapoff /swapfile",
        "update /swapfile",
        "run mkswap /swapfile",
        "run swapon /swapfile",
    ]
    assert machine.commands == ["swapoff", "fallocate", "mkswap", "swapon"]
    assert machine.path.stat().st_size == size * MIB
    assert machine.converge(size) == []


def test_a_file_with_holes_is_made_anew(machine: Machine):
    with machine.path.open("wb") as file:
        file.truncate(4 * MIB)
    assert "update /swapfile" in machine.converge()
    assert machine.path.stat().st_blocks * 512 >= 4 * MIB


def test_an_inactive_formatted_file_is_only_activated(machine: Machine):
    machine.converge()
    machine.swaps({})
    assert machine.converge() == ["run swapon /swapfile"]


def test_an_unformatted_file_is_formatted(machine: Machine):
    machine.path.write_bytes(b"x" * 4 * MIB)
    machine.path.chmod(0o600)
    assert machine.converge(swappiness=None)[:2] == ["run mkswap /swapfile", "run swapon /swapfile"]


def test_a_readable_swap_file_is_closed(machine: Machine):
    machine.converge()
    machine.path.chmod(0o644)
    assert machine.converge() == ["update /swapfile"]
    assert machine.path.stat().st_mode & 0o777 == 0o600


def test_a_file_system_without_fallocate_is_written_to(machine: Machine):
    machine.refuse["fallocate"] = lambda: True
    machine.converge()
    assert machine.path.stat().st_size == 4 * MIB
    assert machine.commands == ["fallocate", "mkswap", "swapon"]


def test_preallocated_blocks_that_swapon_refuses_are_written(machine: Machine):
    answers = iter([True, False])
    machine.refuse["swapon"] = lambda: next(answers)
    machine.converge()
    assert machine.commands == ["fallocate", "mkswap", "swapon", "mkswap", "swapon"]
    assert machine.converge() == []


def test_a_file_system_that_carries_no_swap_is_named(machine: Machine):
    machine.refuse["swapon"] = lambda: True
    with pytest.raises(StackError) as caught:
        machine.converge()
    assert caught.value.message == (f"swapon {machine.path} failed (1): swapon: {machine.path}: Invalid argument.")
    assert "overlayfs never does" in caught.value.hint
    assert caught.value.result["failed_step"] == f"run swapon {machine.path}"


def test_an_interrupted_creation_is_completed(machine: Machine):
    machine.path.write_bytes(b"x" * MIB)
    machine.converge()
    assert machine.path.stat().st_size == 4 * MIB
    assert machine.converge() == []


def test_a_disk_that_is_too_small_is_named_before_anything_changes(machine: Machine):
    machine.converge()
    with pytest.raises(StackError, match=r"needs 1073741824 MiB, but .* has only \d+ MiB free"):
        machine.converge(1 << 30)
    assert machine.commands == []


def test_swap_in_use_that_does_not_fit_in_memory_is_not_switched_off(machine: Machine):
    machine.converge()
    machine.swaps({str(machine.path): 3_072_000})
    with pytest.raises(StackError, match=r"3000 MiB of it are in use and only 2000 MiB of memory are available"):
        machine.converge(6)
    assert machine.commands == []


@pytest.mark.parametrize(
    "entry", ["{path} none swap sw,noauto 0 0", "{path} /data ext4 defaults 0 0", "{path} none swap sw 0 0\n" * 2]
)
def test_a_wrong_fstab_entry_is_replaced_and_others_stay(machine: Machine, entry: str):
    machine.converge()
    fstab = Path(machine.files.fstab)
    fstab.write_text(
        "UUID=1 / ext4 defaults 0 1\n" + entry.format(path=machine.path).strip() + "\n/other none swap sw 0 0\n"
    )
    assert machine.converge() == ["update /fstab"]
    assert fstab.read_text() == (
        f"UUID=1 / ext4 defaults 0 1\n/other none swap sw 0 0\n{machine.path} none swap sw 0 0\n"
    )


def test_an_operators_own_options_in_fstab_stay(machine: Machine):
    machine.converge()
    Path(machine.files.fstab).write_text(f"{machine.path} none swap sw,pri=5 0 0\n")
    assert machine.converge() == []


def test_a_path_with_a_blank_is_recognised(tmp_path: Path):
    (tmp_path / "a b").mkdir()
    machine = Machine(tmp_path / "a b")
    machine.converge()
    machine.swaps({str(machine.path).replace(" ", "\\040"): 0})
    assert machine.converge() == []


def test_a_missing_folder_is_named(machine: Machine):
    machine.path = machine.path.parent / "none" / "swapfile"
    with pytest.raises(StackError, match=r"^The folder .*/none of the swap file cannot be used: No such file"):
        machine.converge()
