"""Checks once, at the start, that the required system calls are allowed, so that a refusal gives a clear error."""

from __future__ import annotations

import ctypes
import errno
from typing import Final

from pdns.errors import PdnsError

_REFUSED: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS)
_NO_DESCRIPTOR: Final = -1


def require_system_calls() -> None:
    """Raises `PdnsError` with the names of the calls that the kernel or a seccomp profile refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    harmless = {  # each of these fails; the error tells whether the call is refused
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
            f"this system refuses {', '.join(refused)}, which pdns needs: allow it in the seccomp profile of the"
            " container or of the service (SystemCallFilter= in a systemd unit)"
        )
