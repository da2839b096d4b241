"""`credential:NAME`: secrets that systemd hands in, for every key that names a file with a secret or a certificate."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pdns.config import credentials
from pdns.config.load import load
from pdns.config.schema import Config
from pdns.errors import ConfigErrors
from tests.unit.config.test_load import CERTIFICATE

SECRET = "a-secret-of-32-bytes-at-the-least"
SECTIONS = {
    "upstream.ca_file": '[upstream]\nservers = ["192.0.2.53"]\nca_file = "{}"',
    "group[0].ca_file": '[[group]]\nname = "g"\nservers = ["192.0.2.54"]\nca_file = "{}"',
    "zone[0].ca_file": '[[zone]]\nnames = ["corp.example"]\nservers = ["tls://192.0.2.54#x.example"]\nca_file = "{}"',
    "feed[0].ca_file": '[[feed]]\nname = "f"\ncategory = "malware"\nurl = "https://f.example/"\nca_file = "{}"',
    "feed[0].token_file": '[[feed]]\nname = "f"\ncategory = "malware"\nurl = "https://f.example/"\ntoken_file = "{}"',
    "feed[0].client_cert_file": '[[feed]]\nname = "f"\ncategory = "malware"\nurl = "https://f.example/"\nclient_cert_file = "{}"',
    "feed[0].client_key_file": '[[feed]]\nname = "f"\ncategory = "malware"\nurl = "https://f.example/"\n'
    'client_cert_file = "/c.pem"\nclient_key_file = "{}"',
    "feed[0].tsig_secret_file": '[[feed]]\nname = "f"\ncategory = "malware"\nurl = "axfr://192.0.2.1/z.example"\n'
    'format = "rpz"\ntsig_name = "k"\ntsig_secret_file = "{}"',
    "publish[0].tsig_secret_file": '[[publish]]\nzone = "rpz.example"\ntsig_name = "k"\ntsig_secret_file = "{}"',
    "publish[0].minisign_secret_file": '[[publish]]\nzone = "rpz.example"\nfile = "l.txt"\nminisign_secret_file = "{}"',
    "admin.token_file": '[admin]\ntoken_file = "{}"',
    "admin.token[0].file": '[[admin.token]]\nname = "t"\nrole = "read"\nfile = "{}"',
    "mail.password_file": '[mail]\nhost = "mail.example"\nsender = "a@b.example"\nuser = "u"\npassword_file = "{}"',
    "mail.ca_file": '[mail]\nhost = "mail.example"\nsender = "a@b.example"\nca_file = "{}"',
    "sink[0].secret_file": '[[sink]]\nname = "s"\nkind = "webhook"\nurl = "https://s.example/"\nsecret_file = "{}"',
    "sink[0].password_file": '[[sink]]\nname = "s"\nkind = "clickhouse"\nurl = "https://s.example/"\npassword_file = "{}"',
    "sink[0].ca_file": '[[sink]]\nname = "s"\nkind = "webhook"\nurl = "https://s.example/"\nca_file = "{}"',
}
_NODE = '[fleet]\nrole = "node"\nstore = "https://s.example/x"\n'
SECTIONS |= {
    "fleet.root_file": _NODE + 'root_file = "{}"',
    **{
        f"fleet.{key}": f'{_NODE}root_file = "/etc/hostname"\n{key} = "{{}}"'
        for key in ("credentials_file", "ca_file", "heartbeat_credentials_file")
    },
}
# With contents of their own: each is tried together with another file.
TRIED_TOGETHER = {
    "admin.tls_cert_file", "admin.tls_key_file", "sink[0].client_cert_file", "sink[0].client_key_file",
    "listener[0].cert_file", "listener[0].key_file", "listener[0].client_ca_file", "listener[0].client_crl_file",
}  # fmt: skip
NO_SECRETS = {"feed[0].minisign_file"}  # the name of a signature at the source


@pytest.fixture
def handed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "the-one").write_text(SECRET)
    (directory / "authority.pem").write_text(CERTIFICATE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory


def _load(directory: Path, text: str) -> Config:
    path = directory / "pdns.toml"
    path.write_text(text if "[upstream]" in text else f'{text}\n[upstream]\nservers = ["192.0.2.53"]\n')
    return load(path)


def _value(config: object, key: str) -> object:
    for part in key.replace("]", "").split("."):
        name, _, index = part.partition("[")
        config = getattr(config, name)
        config = config[int(index)] if index else config  # type: ignore[index]
    return config


@pytest.mark.parametrize("key", SECTIONS)
def test_keys_take_a_credential(tmp_path: Path, handed_in: Path, key: str) -> None:
    """Each such key takes the name of a credential, and then means its file."""
    name = "authority.pem" if key.endswith("ca_file") else "the-one"
    assert _value(_load(tmp_path, SECTIONS[key].format(f"credential:{name}")), key) == str(handed_in / name)


@pytest.mark.parametrize("key", SECTIONS)
def test_a_missing_credential_is_an_error(tmp_path: Path, handed_in: Path, key: str) -> None:
    """The error names file, key, and the credentials that there are, but none of their contents."""
    with pytest.raises(ConfigErrors) as caught:
        _load(tmp_path, SECTIONS[key].format("credential:the-two"))
    (said,) = {str(error) for error in caught.value.errors if str(error).split(": ")[1] == key}
    assert "no credential has this name (authority.pem, the-one)" in said
    assert 'got "credential:the-two"' in said
    assert SECRET not in said


def test_every_key_with_a_file_is_known_here() -> None:
    """A new key that ends in `_file` is in the table above."""
    found = set()
    for field in msgspec.structs.fields(Config):
        for kind in _structs(field.type):
            index = "[0]" if field.type is not kind else ""
            found |= {f"{field.name}{index}.{one.name}" for one in msgspec.structs.fields(kind) if one.name.endswith("_file")}
    assert found - TRIED_TOGETHER - NO_SECRETS == {key for key in SECTIONS if key.endswith("_file")}


def _structs(kind: object) -> list[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [one for part in getattr(kind, "__args__", ()) for one in _structs(part)]


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "../the-one", "a b", "/etc/shadow"])
def test_names_lead_nowhere_else(tmp_path: Path, handed_in: Path, name: str) -> None:
    """The name of a credential is no path."""
    with pytest.raises(ConfigErrors, match="expected letters, digits, dots, dashes or underscores after credential:"):
        _load(tmp_path, SECTIONS["feed[0].token_file"].format(f"credential:{name}"))


def test_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of the service, those of the service are used; if it has none, the error says so."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(credentials, "OF_THE_SERVICE", tmp_path / "of-the-service")
    text = SECTIONS["feed[0].token_file"].format("credential:the-one")
    with pytest.raises(ConfigErrors, match="the service does not run with LoadCredential="):
        _load(tmp_path, text)
    (tmp_path / "of-the-service").mkdir()
    with pytest.raises(ConfigErrors, match=r"no credential has this name \(the directory is empty\)"):
        _load(tmp_path, text)
    (tmp_path / "of-the-service/the-one").write_text(SECRET)
    assert _load(tmp_path, text).feed[0].token_file == str(tmp_path / "of-the-service/the-one")


def test_a_path_stays_a_path(tmp_path: Path, handed_in: Path) -> None:
    """Names of files without the prefix start at the configuration file, as before."""
    assert _load(tmp_path, SECTIONS["feed[0].token_file"].format("the-one")).feed[0].token_file == str(tmp_path / "the-one")
