"""AdGuard's dnsproxy, in Go: a forwarder with a cache that knows every encrypted transport. It blocks nothing."""

from __future__ import annotations

from loadtest.peers.peer import EncryptedListen, Peer, Setup

_CACHE_BYTES = 256 * 1024 * 1024  # holds all that is asked for


def _configure(setup: Setup) -> list[str]:
    arguments = [
        f"--listen={setup.listen.host}",
        f"--port={setup.listen.port}",
        f"--upstream={setup.upstream}",
        "--cache",
        f"--cache-size={_CACHE_BYTES}",
    ]
    return arguments if setup.encrypted is None else [*arguments, *_encrypted(setup.encrypted)]


def _encrypted(listen: EncryptedListen) -> list[str]:
    return [
        f"--tls-port={listen.tls.port}",
        f"--https-port={listen.https.port}",
        f"--quic-port={listen.quic.port}",
        f"--tls-crt={listen.certificate}",
        f"--tls-key={listen.key}",
    ]


PEER = Peer(
    name="dnsproxy",
    package="",
    program="dnsproxy",
    version_arguments=("--version",),
    list_form="",
    configure=_configure,
    go_package="github.com/AdguardTeam/dnsproxy@v0.84.1",
    encrypted=("tls", "https", "quic"),
)
