"""The certificates and keys of encrypted listeners. The supervisor reads and watches the files; workers get sealed memory.

A renewed certificate, or a new ticket key, is sent as new memory. If new files cannot be used, the previous ones stay in force.
See `docs/decisions/0072-certificates.md`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from pdns.clock import boottime_s
from pdns.config.certificate_files import CertificateDetails, CertificatePair, read_client_authority, read_pair
from pdns.config.designation import designation_of
from pdns.config.listener_rules import certificate_pairs, listener_notes
from pdns.config.schema import Config
from pdns.errors import InvalidCertificate, PdnsError
from pdns.files.sealed import sealed_memory
from pdns.ipc.encryption_secrets import CertificateSecrets, EncryptionSecrets, ListenerSecrets, encode
from pdns.ipc.messages import TakeSecrets
from pdns.supervisor.renewed_files import RenewedFiles
from pdns.supervisor.ticket_keys import TicketKeys

LOOK_S: Final = 0.25
_NO_AUTHORITY: Final = b"", b""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class SecretsReceiver(Protocol):
    """A process that serves encrypted listeners: `pdns.supervisor.child.Child`."""

    def send(self, message: TakeSecrets, fds: Sequence[int] = (), /) -> bool: ...


class ServedCertificate(NamedTuple):
    """One certificate of a listener."""

    section: int  # index in `config.listener`
    listener: str  # its transport and first address: "tls://0.0.0.0:853"
    details: CertificateDetails
    problem: str  # why newer files are not used; "" where they are

    @property
    def name(self) -> str:
        """The first name or address of the certificate."""
        return next(iter((*self.details.names, *self.details.addresses)), "")


class ListenerCertificates:
    """What the listeners of one configuration have in force, and the sealed memory with it."""

    def __init__(
        self,
        config: Config,
        tickets: TicketKeys,
        numbers: Iterator[int],
        count_failure: Callable[[], object],
        before: ListenerCertificates | None = None,
    ) -> None:
        """Reads the files of `config`, except those that `before` has: what is in force stays, also if they are broken.
        `numbers` are the generations of the memory.

        Raises `PdnsError` that names the key.
        """
        self.generation = 0
        self.fd = -1
        self._sealed: tuple[object, ...] = ()
        self._config, self._tickets, self._numbers, self._count_failure = config, tickets, numbers, count_failure
        self._files: dict[tuple[str, ...], RenewedFiles[CertificatePair]] = {}
        self._authorities: dict[tuple[str, ...], RenewedFiles[tuple[bytes, bytes]]] = {}
        for index, listener in enumerate(config.listener):
            for key, pair in certificate_pairs(listener, f"listener[{index}]"):
                self._watch_pair(key, (pair.cert_file, pair.key_file), before)
            if listener.client_ca_file:
                self._watch_authority(f"listener[{index}]", (listener.client_ca_file, listener.client_crl_file), before)
        self.seal()

    @property
    def in_force(self) -> list[ServedCertificate]:
        """Each certificate of each listener."""
        return [
            ServedCertificate(index, f"{one.transport}://{one.listen[0]}", files.value.details, files.problem)
            for index, one in enumerate(self._config.listener)
            for pair in one.pairs
            for files in [self._files[pair.cert_file, pair.key_file]]
        ]

    @property
    def held(self) -> frozenset[tuple[str, ...]]:
        """The pairs of files, and of authorities, whose content is in memory."""
        return frozenset((*self._files, *self._authorities))

    def pair_files(self, names: tuple[str, ...]) -> RenewedFiles[CertificatePair] | None:
        """The files of a certificate and its key, if a listener has them."""
        return self._files.get(names)

    def authority_files(self, names: tuple[str, ...]) -> RenewedFiles[tuple[bytes, bytes]] | None:
        """The files of an authority of client certificates and its revocation list, if a listener has them."""
        return self._authorities.get(names)

    @property
    def problems(self) -> list[str]:
        """Why new files are not used, one line each."""
        problems = [*(one.problem for one in self._files.values()), *(one.problem for one in self._authorities.values())]
        return [problem for problem in problems if problem]

    @property
    def is_stale(self) -> bool:
        """Whether something is newer than the memory."""
        return self._contents() != self._sealed

    def look(self, now_s: float) -> bool:
        """Read new files. True when discovery has to say something else since: another name, another address."""
        changed = [files for files in self._files.values() if files.look(now_s)]
        for files in changed:
            details = files.value.details
            until = datetime.fromtimestamp(details.not_after_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
            names = ", ".join((*details.names, *details.addresses)) or "no name"
            _log.info("%s: new certificate for %s, valid until %s: new connections get it", files.key, names, until)
        for authority in self._authorities.values():
            if authority.look(now_s):
                _log.info("%s: the authority of client certificates or its revocation list has changed", authority.key)
        return bool(changed) and designation_of(self._config.server, self._config.listener) != self._config.designation

    def seal(self) -> None:
        """Make the memory anew. Raises `OSError` with the present memory unchanged."""
        generation, contents = next(self._numbers), self._contents()
        listeners = {
            index: ListenerSecrets(
                tuple(self._secrets(pair.cert_file, pair.key_file) for pair in one.pairs),
                *(self._authorities[one.client_ca_file, one.client_crl_file].value if one.client_ca_file else _NO_AUTHORITY),
            )
            for index, one in enumerate(self._config.listener)
        }
        keys = self._tickets.keys if listeners else ()
        fd = sealed_memory("pdns-secrets", [encode(EncryptionSecrets(generation, listeners, keys))])
        self.close()
        self.fd, self.generation, self._sealed = fd, generation, contents

    def send_to(self, receiver: SecretsReceiver, *, with_next: bool = False) -> None:
        """Send it the memory. `with_next`: it is for the configuration that is sent next."""
        receiver.send(TakeSecrets(self.generation, with_next), [self.fd])

    def close(self) -> None:
        """Close the memory. Those who were sent it keep it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _contents(self) -> tuple[object, ...]:
        authorities = (files.value for files in self._authorities.values())
        return self._tickets.keys, *(files.value for files in self._files.values()), *authorities

    def _secrets(self, cert_file: str, key_file: str) -> CertificateSecrets:
        pair = self._files[cert_file, key_file].value
        return CertificateSecrets(pair.chain_pem, pair.key_pem)

    def _watch_pair(self, key: str, names: tuple[str, str], before: ListenerCertificates | None) -> None:
        if names not in self._files:
            cert, private = map(Path, names)
            kept = None if before is None else before.pair_files(names)
            self._files[names] = kept or self._followed(key, (cert, private), lambda: read_pair(cert, private))

    def _watch_authority(self, key: str, names: tuple[str, str], before: ListenerCertificates | None) -> None:
        if names not in self._authorities:
            ca, crl = Path(names[0]), Path(names[1]) if names[1] else None
            files = (ca,) if crl is None else (ca, crl)
            known = None if before is None else before.authority_files(names)
            self._authorities[names] = known or self._followed(key, files, lambda: read_client_authority(ca, crl))

    def _followed(self, key: str, files: tuple[Path, ...], read: Callable[[], T]) -> RenewedFiles[T]:
        try:
            return RenewedFiles(key, files, read, self._count_failure)
        except InvalidCertificate as error:
            raise PdnsError(f"{key}.{error.key}: {error.reason}") from None


class Certificates:
    """One for each supervisor: what is in force now, the ticket keys, and how often new files could not be used."""

    def __init__(self, receivers: Callable[[], Iterable[SecretsReceiver]]) -> None:
        """Each of `receivers()` gets whatever is new."""
        self.failures = 0
        self._receivers = receivers
        self._renamed = self._unsent = False
        self._tickets, self._numbers = TicketKeys(boottime_s()), itertools.count(1)
        self._live: ListenerCertificates | None = None
        self._next: ListenerCertificates | None = None  # read, and not live yet
        self._lifetime_s = 0.0

    @property
    def live(self) -> ListenerCertificates | None:
        """None where there was no encrypted listener yet."""
        return self._live

    @property
    def in_force(self) -> list[ServedCertificate]:
        return [] if self._live is None else self._live.in_force

    @property
    def held(self) -> frozenset[tuple[str, ...]]:
        """Files that a configuration may name although they are broken now: their previous content is in force."""
        return frozenset() if self._live is None else self._live.held

    @property
    def remarks(self) -> list[str]:
        """For people: why new files are not used."""
        return [] if self._live is None else self._live.problems

    def read(self, config: Config) -> ListenerCertificates | None:
        """What `config` needs, to be sent to workers with it; None where neither it nor the live one has encrypted listeners.

        Then call `adopt` or `discard`. Raises `PdnsError`.
        """
        if not config.listener and self._live is None:
            return None
        self._next = ListenerCertificates(config, self._tickets, self._numbers, self._count_failure, self._live)
        return self._next

    def adopt(self, made: ListenerCertificates | None, config: Config) -> None:
        """`made`, which `read` returned for `config`, is live now."""
        if self._live is not None and self._live is not made:
            self._live.close()
        self._next = None
        self._live, self._lifetime_s = made, config.encrypted.ticket_key_lifetime_s
        for note in listener_notes(config.listener):
            _log.warning("%s: %s", note.key, note.text)

    def discard(self) -> None:
        """What `read` returned could not go live."""
        if self._next is not None:
            self._next.close()
            self._next = None

    def take_renamed(self) -> bool:
        """Whether `Config.designation` is not what the files say any more. True once: the configuration has to be read again."""
        renamed, self._renamed = self._renamed, False
        return renamed

    async def run(self) -> None:
        """Watch the files and rotate the ticket keys. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._live is not None:
                await self.look(boottime_s())

    async def look(self, now_s: float) -> None:
        """Send everything that is new."""
        if self._live is None:
            return
        if await asyncio.to_thread(self._live.look, now_s):  # a file may be far away
            self._renamed = True
        self._tickets.rotate(now_s, self._lifetime_s)
        if self._live.is_stale and self._next is None:  # what is sent must be for the listeners that workers have
            try:
                self._live.seal()
            except OSError as error:  # no descriptor, no memory: the next look may find some
                if not self._unsent:
                    _log.error("new certificates or ticket keys cannot be sent yet: %s", error.strerror)
                self._unsent = True
                return
            self._unsent = False
            for receiver in self._receivers():
                self._live.send_to(receiver)

    def close(self) -> None:
        """Close the memory."""
        if self._live is not None:
            self._live.close()

    def _count_failure(self) -> None:
        self.failures += 1
