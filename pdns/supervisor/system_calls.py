"""The system calls that nothing can replace here: asked for once, at the start, so that a refusal is an error that says so."""

from __future__ import annotations

import ctypes
import errno
from typing import Final

from pdns.errors import PdnsError

_REFUSED: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS)
_NO_DESCRIPTOR: Final = -1


def require_system_calls() -> None:
    """Raises `PdnsError` that names the calls which the kernel, or a seccomp profile around this process, refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    harmless = {  # each of these fails, whatever else is true: the question is only how
        "memfd_create": (None, 0),
        "recvmmsg": (_NO_DESCRIPTOR, None, 0, 0, None),
        "sendmmsg": (_NO_DESCRIPTOR, None, 0, 0),
    }
    refused = []
    for name, arguments in harmless.items():
        ctypes.set_errno(0)
        if getattr(libc, name)(*arguments) == -1 and ctypes.get_errno() in _REFUSED:
            refused.append(name)
    if refused:
        raise PdnsError(
            f"this system refuses {', '.join(refused)}, which cannot be done without: allow it in the seccomp profile of the"
            " container or of the service (SystemCallFilter= in a systemd unit)"
        )
