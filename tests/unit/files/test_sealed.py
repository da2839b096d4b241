"""Shared memory: its size is fixed, and a reader's descriptor does not write."""

from __future__ import annotations

import mmap
import os

import pytest

from pdns.files.sealed import new_memory, read_only, sealed_memory


def test_its_size_is_fixed() -> None:
    """It can be written, and neither cut nor extended."""
    fd = new_memory("test", 4096)
    os.pwrite(fd, b"x", 0)
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)


def test_a_reader_does_not_write() -> None:
    """What is read-only sees what is written, and writes in no way: by the call, a mapping, or another descriptor."""
    fd = new_memory("test", 4096)
    reader = read_only(fd)
    os.pwrite(fd, b"x", 0)
    assert os.pread(reader, 1, 0) == b"x"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(reader, b"y", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(reader, 4096, access=mmap.ACCESS_WRITE)
    assert os.fstat(reader).st_mode & 0o777 == 0o400
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.open(f"/proc/self/fd/{reader}", os.O_RDWR)
    os.close(reader)
    os.close(fd)


def test_sealed_memory_never_changes() -> None:
    """It has its parts, and no one writes it."""
    fd = sealed_memory("test", [b"ab", memoryview(b"c")])
    assert os.pread(fd, 10, 0) == b"abc"
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    os.close(fd)
