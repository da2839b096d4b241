"""Keys of a fleet, used as nodes use them: by the updater of TUF."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import FetcherInterface, Updater

from feeds.fleet import trust
from feeds.fleet.signing import TIMESTAMP_PATH, PublisherKeys, snapshot_path, target_path, targets_path
from feeds.fleet.trust import TrustError

NOW_S = 1_900_000_000.0
CONTENT = b'{"format":1}'


class StoreFetcher(FetcherInterface):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _fetch(self, url: str) -> list[bytes]:  # type: ignore[override]  # it goes through it once
        path = self._directory / url.removeprefix("store:///")
        if not path.exists():
            raise DownloadHTTPError("not there", 404)
        return [path.read_bytes()]


class FleetHere:
    """A publisher's keys and store, and one node, all in one directory."""

    def __init__(self, directory: Path, roots: int = 1, threshold: int = 1, passphrase: str = "") -> None:
        self.keys, self.store, self.node = directory / "keys", directory / "store", directory / "node"
        for path in (self.keys, self.store / "metadata", self.node):
            path.mkdir(parents=True)
        self.said = trust.make_keys(self.keys, roots, threshold, passphrase, now_s=NOW_S)
        self.first_root = (self.keys / "root.json").read_bytes()
        self.sequence = 0

    def offline(self, directory: Path) -> list[Path]:
        """Move the root keys away."""
        directory.mkdir()
        moved = [directory / path.name for path in sorted(self.keys.glob("root-*.pem"))]
        for path in moved:
            shutil.move(self.keys / path.name, path)
        return moved

    def publish(self, keys: PublisherKeys | None = None) -> None:
        self.sequence += 1
        keys = keys or PublisherKeys(self.keys)
        signed = keys.sign(self.sequence, {"urgent.json": CONTENT}, NOW_S, 3600.0)
        files = {f"metadata/{version}.root.json": data for version, data in keys.versions.items()} | {
            snapshot_path(self.sequence): signed.snapshot,
            targets_path(self.sequence): signed.targets,
            TIMESTAMP_PATH: signed.timestamp,
            target_path("urgent.json", CONTENT): CONTENT,
        }
        for path, data in files.items():
            (self.store / path).parent.mkdir(exist_ok=True)
            (self.store / path).write_bytes(data)

    def update(self) -> int:
        """What a node with the first root metadata finds: the version of the root metadata. Raises `RepositoryError`."""
        updater = Updater(
            str(self.node), "store:///metadata/", str(self.node), "store:///targets/",
            fetcher=StoreFetcher(self.store), bootstrap=self.first_root,
        )  # fmt: skip
        updater.refresh()
        info = updater.get_targetinfo("urgent.json")
        assert info is not None
        assert Path(updater.download_target(info)).read_bytes() == CONTENT
        return Metadata[Root].from_bytes((self.node / "root.json").read_bytes()).signed.version


@pytest.fixture
def fleet(tmp_path: Path) -> FleetHere:
    return FleetHere(tmp_path)


def test_keys_are_made(fleet: FleetHere) -> None:
    """Private keys are for their owner only, the root key is to be moved away, and nothing is overwritten."""
    modes = {path.name.partition("-")[0]: path.stat().st_mode & 0o777 for path in fleet.keys.glob("*.pem")}
    assert modes == {"root": 0o600, "online": 0o600}
    assert any("root-" in line and "offline" in line for line in fleet.said)
    with pytest.raises(TrustError, match="there are keys already"):
        trust.make_keys(fleet.keys, now_s=NOW_S)
    fleet.publish()
    assert fleet.update() == 1


def test_online_key_is_rotated(fleet: FleetHere, tmp_path: Path) -> None:
    """A new online key is used once a root key has signed for it; nodes follow, and the old key signs nothing any more."""
    fleet.publish()
    assert fleet.update() == 1
    (root_key,) = fleet.offline(tmp_path / "safe")
    stolen = PublisherKeys(fleet.keys)
    trust.rotate(fleet.keys, "online", now_s=NOW_S)
    fleet.publish()  # the new root metadata is not signed yet: nothing changes
    assert fleet.update() == 1
    assert "complete" in trust.sign(fleet.keys, root_key)[0]
    fleet.publish()
    assert fleet.update() == 2
    fleet.publish(stolen)
    with pytest.raises(RepositoryError):
        fleet.update()
    fleet.publish()
    assert fleet.update() == 2


def test_stolen_key_and_a_high_number(fleet: FleetHere, tmp_path: Path) -> None:
    """After a revocation nodes accept lower numbers than those that the stolen key had signed."""
    (root_key,) = fleet.offline(tmp_path / "safe")
    fleet.sequence = 1_000_000
    fleet.publish()
    assert fleet.update() == 1
    online = next(line for line in trust.describe(fleet.keys) if line.startswith("online key")).split()[-1]
    trust.revoke(fleet.keys, online, now_s=NOW_S)
    trust.sign(fleet.keys, root_key)
    fleet.sequence = 10
    fleet.publish()
    assert fleet.update() == 2


def test_root_keys_are_rotated(tmp_path: Path) -> None:
    """New root keys need the signatures of two of the three old ones and of two of the new ones."""
    fleet = FleetHere(tmp_path, 3, 2, "a pass phrase")
    fleet.publish()
    old = fleet.offline(tmp_path / "safe")
    trust.rotate(fleet.keys, "root", "another", now_s=NOW_S)
    new = fleet.offline(tmp_path / "safer")
    with pytest.raises(TrustError, match="passphrase is wrong"):
        trust.sign(fleet.keys, old[0], "wrong")
    with pytest.raises(TrustError, match="needs a passphrase"):
        trust.sign(fleet.keys, old[0])
    assert "1 of the old root keys and 2 of the new" in trust.sign(fleet.keys, old[0], "a pass phrase")[0]
    assert "still needs" in trust.sign(fleet.keys, old[0], "a pass phrase")[0]
    assert "needs signatures of 2 of the new" in trust.sign(fleet.keys, old[2], "a pass phrase")[0]
    assert fleet.update() == 1
    trust.sign(fleet.keys, new[0], "another")
    assert "complete" in trust.sign(fleet.keys, new[1], "another")[0]
    fleet.publish()
    assert fleet.update() == 2
    assert not (fleet.keys / "new.root.json").exists()


def test_root_key_is_revoked(tmp_path: Path) -> None:
    """A lost root key is replaced by the others."""
    fleet = FleetHere(tmp_path, 3, 2)
    fleet.publish()
    lost, *others = fleet.offline(tmp_path / "safe")
    trust.revoke(fleet.keys, lost.stem.removeprefix("root-"), now_s=NOW_S)
    new = fleet.offline(tmp_path / "safer")
    assert len(new) == 1
    for key in others:
        said = trust.sign(fleet.keys, key)
    assert "complete" in said[0]
    fleet.publish()
    assert fleet.update() == 2
    trust.renew(fleet.keys, now_s=NOW_S + 86400)
    with pytest.raises(TrustError, match="not a root key of this fleet"):
        trust.sign(fleet.keys, lost)
    assert "needs signatures of 1 of the root keys" in trust.sign(fleet.keys, new[0])[0]
    assert "version 3 is complete" in trust.sign(fleet.keys, others[0])[0]
    with pytest.raises(TrustError, match="nothing waits for signatures; version 3 is in force"):
        trust.sign(fleet.keys, others[0])
    fleet.publish()
    assert fleet.update() == 3


def _junk(keys: Path) -> None:
    (keys / "root.json").write_bytes(b"{}")


def _no_online_key(keys: Path) -> None:
    for path in keys.glob("online-*.pem"):
        path.unlink()


def _not_a_key(keys: Path) -> None:
    (keys / "online-0.pem").write_text("secret")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(_junk, "not root metadata"), (_no_online_key, "may sign as timestamp"), (_not_a_key, "online-0.pem: not a private key")],
)
def test_unusable_directories(fleet: FleetHere, spoil: Callable[[Path], None], reason: str) -> None:
    """A publisher says what is wrong with its keys, and nothing of what is in them."""
    spoil(fleet.keys)
    with pytest.raises(TrustError, match=reason) as caught:
        PublisherKeys(fleet.keys)
    assert "secret" not in str(caught.value)


def test_refusals(fleet: FleetHere, tmp_path: Path) -> None:
    """Thresholds that cannot be met, unknown keys and roles, and a second change at a time are refused."""
    for roots, threshold in ((1, 2), (0, 0), (17, 1)):
        with pytest.raises(TrustError, match="threshold"):
            trust.make_keys(tmp_path, roots, threshold, now_s=NOW_S)
    with pytest.raises(TrustError, match="0 keys begin with zzz"):
        trust.revoke(fleet.keys, "zzz", now_s=NOW_S)
    with pytest.raises(TrustError, match="no role"):
        trust.rotate(fleet.keys, "targets", now_s=NOW_S)
    trust.renew(fleet.keys, now_s=NOW_S)
    with pytest.raises(TrustError, match="waits for signatures"):
        trust.rotate(fleet.keys, "online", now_s=NOW_S)


def test_pointer(fleet: FleetHere) -> None:
    """A timestamp is read only if the online key has signed it."""
    keys = PublisherKeys(fleet.keys)
    signed = keys.sign(7, {}, NOW_S, 100.0)
    pointer = keys.pointer(signed.timestamp)
    assert pointer is not None
    assert (pointer.sequence, pointer.expires_s) == (7, NOW_S + 100)
    for bad in (b"", b"<html>", signed.targets, signed.timestamp.replace(b'"version":7', b'"version":8')):
        assert keys.pointer(bad) is None
