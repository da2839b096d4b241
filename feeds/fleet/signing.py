"""Signs what a publisher says: targets, snapshot and timestamp of one sequence number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import JSONSerializer

from feeds.fleet import trust
from feeds.fleet.trust import ONLINE_ROLES, TrustError

TIMESTAMP_PATH: Final = "metadata/timestamp.json"
_SERIALIZER: Final = JSONSerializer(compact=True)


class SignedFiles(NamedTuple):
    """The three files of a sequence number, to be written in this order; the first one must not exist."""

    snapshot: bytes
    targets: bytes
    timestamp: bytes


class SignedPointer(NamedTuple):
    """What a store's timestamp says."""

    sequence: int
    expires_s: float
    sha256: str  # of its bytes


def root_path(version: int) -> str:
    return f"metadata/{version}.root.json"


def snapshot_path(sequence: int) -> str:
    return f"metadata/{sequence}.snapshot.json"


def targets_path(sequence: int) -> str:
    return f"metadata/{sequence}.targets.json"


def target_path(name: str, data: bytes) -> str:
    """Where in a store the target `name` with that content is (TUF, consistent snapshots)."""
    folder, _, base = name.rpartition("/")
    return f"targets/{folder and folder + '/'}{hashlib.sha256(data).hexdigest()}.{base}"


class PublisherKeys:
    """The root metadata in force, and those of the keys in its directory that it lists."""

    def __init__(self, directory: Path) -> None:
        """Raises `TrustError` and `OSError`."""
        self.root = trust.latest_root(directory).signed
        self.versions = trust.root_versions(directory)
        self._signers = [trust.load_key(path) for path in sorted(directory.glob("online-*.pem"))]
        for role in ONLINE_ROLES:
            if not self._of(role):
                raise TrustError(f"{directory}: none of the keys in it may sign as {role}, as root.json says")

    def _of(self, role: str) -> list[CryptoSigner]:
        return [signer for signer in self._signers if signer.public_key.keyid in self.root.roles[role].keyids]

    def sign(self, sequence: int, targets: Mapping[str, bytes], now_s: float, valid_s: float) -> SignedFiles:
        """The metadata for `targets`, valid for `valid_s` from `now_s` on."""
        expires = datetime.fromtimestamp(int(now_s), UTC) + timedelta(seconds=int(valid_s))
        files = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in targets.items()}
        listed = self._signed(Metadata(Targets(version=sequence, expires=expires, targets=files)), "targets")
        meta = {"targets.json": MetaFile.from_data(sequence, listed, ["sha256"])}
        snapshot = self._signed(Metadata(Snapshot(version=sequence, expires=expires, meta=meta)), "snapshot")
        pointed = MetaFile.from_data(sequence, snapshot, ["sha256"])
        timestamp = self._signed(Metadata(Timestamp(version=sequence, expires=expires, snapshot_meta=pointed)), "timestamp")
        return SignedFiles(snapshot, listed, timestamp)

    def pointer(self, timestamp: bytes) -> SignedPointer | None:
        """What `timestamp` says; None if it is not one that these keys signed."""
        try:
            metadata = Metadata[Timestamp].from_bytes(timestamp)
            self.root.verify_delegate("timestamp", metadata.signed_bytes, metadata.signatures)
        except (SerializationError, RepositoryError, ValueError):
            return None
        signed: object = metadata.signed  # of whatever role the text says
        if not isinstance(signed, Timestamp):
            return None
        return SignedPointer(signed.version, signed.expires.timestamp(), hashlib.sha256(timestamp).hexdigest())

    def _signed(self, metadata: Metadata, role: str) -> bytes:  # type: ignore[type-arg]  # of any role
        for signer in self._of(role):
            metadata.sign(signer, append=True)
        return metadata.to_bytes(_SERIALIZER)
