"""What a worker imports: every module costs each of them memory, and time at its start."""

from __future__ import annotations

import subprocess
import sys

NOT_IN_A_WORKER = {
    "aiohttp", "aioquic", "argparse", "cryptography", "difflib", "email", "feeds", "h2", "http", "idna", "prometheus_client",
    "pytz", "shutil", "sqlite3", "tempfile", "tomllib", "typer", "unicodedata", "zoneinfo",
    "pdns.cli", "pdns.config.load", "pdns.config.rules", "pdns.config.shape", "pdns.config.system", "pdns.event_store",
    "pdns.events", "pdns.explain", "pdns.fast.https", "pdns.fast.tls", "pdns.history", "pdns.http", "pdns.page", "pdns.quic",
    "pdns.reference", "pdns.report", "pdns.supervisor",
}  # fmt: skip


def imported_by(*modules: str) -> set[str]:
    """All modules, and what they are in, of a new process that imports `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_worker_imports_no_more_than_it_needs() -> None:
    """No command, no rules of the configuration file, no HTTP, no tables of Unicode, no encryption before it is configured."""
    imported = imported_by("pdns.worker.__main__")
    assert "pdns.worker.runtime" in imported
    assert sorted(NOT_IN_A_WORKER & imported) == []
