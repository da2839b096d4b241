"""Shared memory: its size is fixed, and a reader's descriptor does not write."""

from __future__ import annotations

import io
import mmap
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from pdns.files.pieces import PIECE_BYTES, write_in_pieces
from pdns.files.sealed import give_back, new_memory, read_only, sealed_memory, take_up


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


def test_pages_are_at_hand_and_given_back() -> None:
    """Reading what was taken up waits for no page; what was given back is still there, and is fetched again."""
    content = os.urandom(4096) * 1000 + b"end"
    fd = sealed_memory("test", [content])
    with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as memory:
        try:
            memory.madvise(22, 0, 4096)
        except OSError:
            pytest.skip("Linux before 5.14 has no MADV_POPULATE_READ")
        take_up(memory)
        assert _faults(memory) < 5
        give_back(memory)
        assert _faults(memory) > 20
        assert memory[:] == content
    os.close(fd)


def _faults(memory: mmap.mmap) -> int:
    """How often reading a byte of each page has to wait for one."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for at in range(0, len(memory), 4096):
        memory[at]
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def test_large_content_is_written_in_pieces(tmp_path: Path) -> None:
    """No system call writes more than a piece: one that writes 20 MB keeps the core from others for 47 ms."""
    content = os.urandom(3 * PIECE_BYTES + 1)
    sizes = []

    class Recorded(io.FileIO):
        def write(self, data: Any) -> int:
            sizes.append(len(data))
            return super().write(data)

    with Recorded(tmp_path / "file", "wb") as file:
        write_in_pieces(file, memoryview(content).cast("B"))
    assert (tmp_path / "file").read_bytes() == content
    assert sizes == [PIECE_BYTES] * 3 + [1]
    fd = sealed_memory("test", [content, b"end"])
    assert os.pread(fd, len(content) + 3, 0) == content + b"end"
    os.close(fd)
