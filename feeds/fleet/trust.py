"""Keys of a fleet, as the administrator of its publisher handles them: TUF root metadata, offline root keys, online keys.

root.json, N.root.json     who may sign what; `root.json` is the latest, which new nodes get
new.root.json              the next one, which waits for signatures
root-ID.pem                a root key: it belongs on no machine that is connected
online-ID.pem              a key that signs targets, snapshot and timestamp; the publisher needs it
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from feeds.fleet.packed import MissingLibrary
from pdns.errors import PdnsError
from pdns.files.safe_files import read_bounded, remove, write_whole

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root
    from tuf.api.serialization import SerializationError
    from tuf.api.serialization.json import JSONSerializer
except ImportError:
    raise MissingLibrary("fleets need the library tuf: pip install 'protective-dns[fleet]'") from None

ROOT: Final = "root"
ONLINE_ROLES: Final = ("timestamp", "snapshot", "targets")
ROOT_FILE: Final = "root.json"
NEW_ROOT_FILE: Final = "new.root.json"
ROOT_VALID_DAYS: Final = 730
MAX_FILE_BYTES: Final = 512 * 1024
_ID_CHARACTERS: Final = 8


class TrustError(PdnsError):
    """Keys or root metadata that cannot be used, or that would be overwritten."""


def make_keys(directory: Path, roots: int = 1, threshold: int = 1, passphrase: str = "", *, now_s: float) -> list[str]:
    """Make `roots` root keys, of which `threshold` must sign a change of keys, an online key and version 1 of the root metadata.

    They are written to `directory`. Root keys are encrypted with `passphrase` unless it is empty.

    Returns what was done, and what is to be done now. Raises `TrustError` if there are keys already, and `OSError`.
    """
    if not 1 <= threshold <= roots <= 16:
        raise TrustError("the threshold is at least 1 and at most the number of root keys, of which there are at most 16")
    for path in (*directory.glob("*.root.json"), *directory.glob("*.pem"), directory / ROOT_FILE):
        if path.exists():
            raise TrustError(f"{path}: there are keys already; nothing is overwritten")
    root = Root(version=1, expires=_root_expiry(now_s), consistent_snapshot=True)
    signers = [_new_key(directory, ROOT, passphrase) for _ in range(roots)]
    for signer in signers:
        root.add_key(signer.public_key, ROOT)
    root.roles[ROOT].threshold = threshold
    online = _new_key(directory, "online", "")
    for role in ONLINE_ROLES:
        root.add_key(online.public_key, role)
    metadata = Metadata(root)
    for signer in signers:
        metadata.sign(signer, append=True)
    _keep(directory, metadata)
    return [
        f"made {directory / ROOT_FILE}, version 1, valid until {_day(root.expires)}: nodes get it as fleet.root_file",
        f"made {_file_of(directory, 'online', online)}: the publisher signs with it",
        *(
            f"made {_file_of(directory, ROOT, signer)}: move it to a place that is offline, each to another one"
            for signer in signers
        ),
        f"a change of keys needs {threshold} of {roots} root keys; without them no key can ever be replaced: keep copies",
    ]


def rotate(directory: Path, role: str, passphrase: str = "", *, now_s: float) -> list[str]:
    """Prepare root metadata in which new keys replace all of `role`: `online`, or `root`. It is in force once it is signed.

    Raises `TrustError` and `OSError`.
    """
    if role not in ("online", ROOT):
        raise TrustError(f"no role {role}: online or root")
    root = latest_root(directory).signed
    old = list(root.roles[ROOT if role == ROOT else ONLINE_ROLES[0]].keyids)
    return _replace(directory, role, old, passphrase, now_s)


def revoke(directory: Path, key_id: str, passphrase: str = "", *, now_s: float) -> list[str]:
    """The same for one key, of which `key_id` is the beginning of its identifier: a new key takes its place."""
    root = latest_root(directory).signed
    found = [known for known in root.keys if key_id and known.startswith(key_id)]
    if len(found) != 1:
        raise TrustError(
            f"{len(found)} keys begin with {key_id or 'nothing'}; keys: {', '.join(_short(known) for known in root.keys)}"
        )
    role = ROOT if found[0] in root.roles[ROOT].keyids else "online"
    return _replace(directory, role, found, passphrase, now_s)


def renew(directory: Path, *, now_s: float) -> list[str]:
    """Prepare root metadata with the same keys that is valid for longer. Raises `TrustError` and `OSError`."""
    return _replace(directory, "", [], "", now_s)


def sign(directory: Path, key_file: Path, passphrase: str = "") -> list[str]:
    """Sign the root metadata that waits with the root key in `key_file`. It is in force when enough old and new keys have signed.

    Raises `TrustError` and `OSError`.
    """
    before = latest_root(directory)
    waiting = directory / NEW_ROOT_FILE
    if not waiting.exists():
        raise TrustError(f"{directory}: nothing waits for signatures; version {before.signed.version} is in force")
    new = _root_in(waiting)
    signer = load_key(key_file, passphrase)
    key_id = signer.public_key.keyid
    if key_id not in before.signed.roles[ROOT].keyids and key_id not in new.signed.roles[ROOT].keyids:
        raise TrustError(f"{key_file}: not a root key of this fleet, neither of the old nor of the new version")
    new.sign(signer, append=True)
    result = new.signed.get_root_verification_result(before.signed, new.signed_bytes, new.signatures)
    if result.verified:
        _keep(directory, new)
        remove(waiting)
        files = ", ".join((ROOT_FILE, f"{new.signed.version}.root.json", "online-*.pem"))
        return [
            f"{directory / ROOT_FILE}: version {new.signed.version} is complete",
            f"copy {files} to keys_dir of the publisher: it uses them within seconds, and nodes follow by themselves",
        ]
    write_whole(waiting, new.to_bytes(_SERIALIZER))
    same = set(before.signed.roles[ROOT].keyids) == set(new.signed.roles[ROOT].keyids)
    parts = (("", result.first),) if same else (("old ", result.first), ("new ", result.second))
    missing = [f"{part.threshold - len(part.signed)} of the {name}root keys" for name, part in parts if not part.verified]
    return [f"signed with {_short(key_id)}; still needs signatures of {' and '.join(missing)}"]


def describe(directory: Path) -> list[str]:
    """The keys that are in force, and what waits. Raises `TrustError`."""
    root = latest_root(directory).signed
    lines = [f"root metadata: version {root.version}, valid until {_day(root.expires)}"]
    for name, role in ((ROOT, root.roles[ROOT]), ("online", root.roles[ONLINE_ROLES[0]])):
        lines += [f"{name} key {_short(key_id)}" for key_id in role.keyids]
    lines.append(f"a change of keys needs {root.roles[ROOT].threshold} root keys")
    if (directory / NEW_ROOT_FILE).exists():
        lines.append(f"{directory / NEW_ROOT_FILE}: waits for signatures")
    return lines


def latest_root(directory: Path) -> Metadata[Root]:
    """The root metadata in force. Raises `TrustError`."""
    return _root_in(directory / ROOT_FILE)


def root_versions(directory: Path) -> dict[int, bytes]:
    """Every version, for nodes that have an earlier one. Raises `OSError` and `TrustError`."""
    latest = read_bounded(directory / ROOT_FILE, MAX_FILE_BYTES, follow_links=True)
    versions = {latest_root(directory).signed.version: latest}  # its other copy may be on its way here
    for path in directory.glob("*.root.json"):
        if (number := path.name.partition(".")[0]).isdecimal():
            versions[int(number)] = read_bounded(path, MAX_FILE_BYTES, follow_links=True)
    return versions


def load_key(path: Path, passphrase: str = "") -> CryptoSigner:
    """The private key in `path`. Raises `TrustError`, with nothing of its content in it."""
    try:
        data = read_bounded(path, MAX_FILE_BYTES, follow_links=True)
        key = serialization.load_pem_private_key(data, passphrase.encode() or None)
    except OSError as exc:
        raise TrustError(f"{path}: {exc.strerror}") from None
    except TypeError:
        needs = "no passphrase, for it is not encrypted" if passphrase else "a passphrase"
        raise TrustError(f"{path}: needs {needs}") from None
    except ValueError:
        raise TrustError(f"{path}: not a private key, or the passphrase is wrong") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError(f"{path}: not an Ed25519 key")
    return CryptoSigner(key)


def _replace(directory: Path, role: str, old: list[str], passphrase: str, now_s: float) -> list[str]:
    waiting = directory / NEW_ROOT_FILE
    if waiting.exists():
        raise TrustError(f"{waiting}: waits for signatures: sign it, or remove it first")
    root = latest_root(directory).signed
    lines = []
    for key_id in old:
        signer = _new_key(directory, role, passphrase if role == ROOT else "")
        for name in (ROOT,) if role == ROOT else ONLINE_ROLES:
            root.revoke_key(key_id, name)
            root.add_key(signer.public_key, name)
        lines.append(f"made {_file_of(directory, role, signer)}, which replaces {role} key {_short(key_id)}")
    root.version += 1
    root.expires = _root_expiry(now_s)
    write_whole(waiting, Metadata(root).to_bytes(_SERIALIZER))
    old_too = ", and as many of the new ones" if role == ROOT else ""
    needs = f"{root.roles[ROOT].threshold} of the root keys{old_too}"
    return [*lines, f"made {waiting}, version {root.version}: in force once {needs} have signed it with `pdns fleet keys sign`"]


def _new_key(directory: Path, role: str, passphrase: str) -> CryptoSigner:
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    signer = CryptoSigner(key)
    write_whole(_file_of(directory, role, signer), pem, mode=0o600)
    return signer


def _file_of(directory: Path, role: str, signer: CryptoSigner) -> Path:
    return directory / f"{role}-{_short(signer.public_key.keyid)}.pem"


def _keep(directory: Path, metadata: Metadata[Root]) -> None:
    data = metadata.to_bytes(_SERIALIZER)
    write_whole(directory / f"{metadata.signed.version}.root.json", data)
    write_whole(directory / ROOT_FILE, data)


def _root_in(path: Path) -> Metadata[Root]:
    try:
        metadata = Metadata[Root].from_bytes(read_bounded(path, MAX_FILE_BYTES, follow_links=True))
        if not isinstance(metadata.signed, Root):
            raise TrustError(f"{path}: not root metadata")
    except OSError as exc:
        raise TrustError(f"{path}: {exc.strerror}") from None
    except (SerializationError, RepositoryError, ValueError) as exc:
        raise TrustError(f"{path}: not root metadata: {exc}") from None
    return metadata


_SERIALIZER: Final = JSONSerializer(compact=False)


def _root_expiry(now_s: float) -> datetime:
    return datetime.fromtimestamp(int(now_s), UTC) + timedelta(days=ROOT_VALID_DAYS)


def _short(key_id: str) -> str:
    return key_id[:_ID_CHARACTERS]


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")
