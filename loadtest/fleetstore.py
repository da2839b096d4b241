"""The object store of a simulated fleet: versitygw, an S3 server whose objects are files, so that a fault can change them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from loadtest import build
from loadtest.loopback import free_port

BUCKET = "fleet"
REGION = "us-east-1"
_ACCESS, _SECRET = "simulation", "simulated-secret"
_START_S = 20.0


class StoreMissing(Exception):
    """There is no S3 server to start; `str()` says how to install one."""


def program() -> Path:
    """The S3 server. Raises `StoreMissing`."""
    for place in (shutil.which("versitygw"), build.HERE.parent / "build" / "tools" / "versitygw"):
        if place is not None and Path(place).is_file():
            return Path(place)
    raise StoreMissing("versitygw is not installed: run tests/install-go-tools")


class S3Server:
    """One server on a loopback port, with one bucket."""

    def __init__(self, directory: Path) -> None:
        self._program = program()
        self._root = directory / "s3"
        self.bucket = self._root / BUCKET
        self.bucket.mkdir(parents=True)
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self.credentials = directory / "credentials"
        self.credentials.write_text(f"[default]\naws_access_key_id = {_ACCESS}\naws_secret_access_key = {_SECRET}\n")
        self.credentials.chmod(0o600)
        self._log = directory / "s3.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers. Raises `OSError`."""
        keys = ["--access", _ACCESS, "--secret", _SECRET, "--region", REGION]
        command = [str(self._program), "--port", f"127.0.0.1:{self._port}", *keys]
        command += ["--quiet", "--keep-alive", "posix", str(self._root)]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        give_up_s = time.monotonic() + _START_S
        while time.monotonic() < give_up_s:
            try:
                urllib.request.urlopen(self.endpoint, timeout=1).close()
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise OSError(f"the S3 server does not answer: {self._log.read_text(errors='replace')[-300:]}")

    def stop(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def section(self) -> str:
        """The keys of `[fleet]` that name the store."""
        keys = {"store": f"s3://{BUCKET}", "endpoint": self.endpoint, "region": REGION}
        keys["credentials_file"] = str(self.credentials)
        return "".join(f'{key} = "{value}"\n' for key, value in keys.items())

    def object(self, path: str) -> Path:
        """The file that holds an object."""
        return self.bucket / path

    def replace(self, path: str, data: bytes) -> bytes:
        """Change an object as somebody does who can write to the store. Returns what it was."""
        file = self.object(path)
        before = file.read_bytes()
        fd = os.open(file, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(fd, "wb") as out:
            out.write(data)
        with contextlib.suppress(OSError):  # its entity tag is of the content
            os.removexattr(file, "user.etag")
        return before


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[S3Server]:
    """A server until the end. Raises `StoreMissing` and `OSError`."""
    server = S3Server(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
