"""What deploy/systemd ships can be used as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pdns.config.schema import Server
from pdns.supervisor.systemd import REMEDY_S

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "deploy/systemd"
SERVICE = SHIPPED / "protective-dns.service"
UNIT = SERVICE.read_text()
DROP_INS = sorted(SHIPPED.glob("protective-dns.service.d/*.conf.example"))
WORST = {"": 1.6, "sockets.conf.example": 1.3}  # exposure of 10, as docs/high-availability.md says

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def _installed(directory: Path, drop_in: Path | None = None) -> str:
    """The units, with a program that is there."""
    for unit in (*SHIPPED.glob("*.service"), *SHIPPED.glob("*.socket")):
        (directory / unit.name).write_text(
            re.sub(r"/usr/((?:local/)?s?bin|libexec/\S*|share/\S*)/?\S*(?= |$)", "/bin/true", unit.read_text())
        )
    if drop_in is not None:
        (directory / f"{SERVICE.name}.d").mkdir()
        shutil.copy(drop_in, directory / f"{SERVICE.name}.d" / drop_in.name.removesuffix(".example"))
    return str(directory / SERVICE.name)


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda path: path.name if path is not None else "alone")
def test_systemd_accepts_the_unit(tmp_path: Path, drop_in: Path | None) -> None:
    """`systemd-analyze verify` has nothing to say about it, alone and with each example."""
    command = ["systemd-analyze", "verify", "--man=no", _installed(tmp_path, drop_in)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", sorted(path.name for path in SHIPPED.iterdir() if path.is_file()))
def test_systemd_accepts_every_unit(tmp_path: Path, unit: str) -> None:
    """The same for each other unit."""
    _installed(tmp_path)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("drop_in", sorted(WORST))
def test_systemd_finds_it_locked_down(tmp_path: Path, drop_in: str) -> None:
    """`systemd-analyze security` puts its exposure no higher than the documentation says."""
    with_it = SHIPPED / "protective-dns.service.d" / drop_in if drop_in else None
    threshold = round(WORST[drop_in] * 10)
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={threshold}", "--no-pager"]
    done = subprocess.run([*command, _installed(tmp_path, with_it)], capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze knows no --offline")
    assert done.returncode == 0, done.stdout
    page = (ROOT / "docs/high-availability.md").read_text()
    assert f"exposure level {WORST[drop_in]}" in page


def test_a_fleet_may_write_to_its_store() -> None:
    """The store that docs/fleet.md makes is what the example lets the service write to: the unit alone does not."""
    page = (ROOT / "docs/fleet.md").read_text()
    stores = set(re.findall(r'store = "file://(/[^"]*)"', page))
    example = (SHIPPED / "protective-dns.service.d/paths.conf.example").read_text()
    assert "ProtectSystem=strict" in UNIT
    assert stores == set(re.findall(r"^ReadWritePaths=-?(.*)$", example, re.MULTILINE))
    assert "paths.conf.example" in page


def _seconds(key: str) -> int:
    (seconds,) = (int(line.partition("=")[2]) for line in UNIT.splitlines() if line.startswith(f"{key}="))
    return seconds


def test_systemd_waits_for_the_drain() -> None:
    """The unit gives the end more time than it takes by default."""
    assert _seconds("TimeoutStopSec") > Server().drain_s + 2


def test_the_watchdog_leaves_time_for_remedies() -> None:
    """The service manager does not end the service before the supervisor has tried to replace its workers."""
    assert _seconds("WatchdogSec") >= REMEDY_S


def test_drop_ins_are_examples() -> None:
    """The service manager reads none of them before an administrator has chosen it."""
    assert len(DROP_INS) >= 5
    assert [path.name for path in (SHIPPED / "protective-dns.service.d").iterdir() if path not in DROP_INS] == []
