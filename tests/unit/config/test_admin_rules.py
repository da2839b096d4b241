"""`[admin]`: tokens, TLS, and where the API may listen without it. Each error names file, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.admin_rules import expiry_s, socket_path
from pdns.config.admin_schema import AdminToken
from tests.integration.apiclient import write_certificate
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)
    for name in ("one", "two", "three"):
        Path(name).write_text(f"{name}-token-of-some-length\n")
    Path("short").write_text("short")
    Path("same").write_text("one-token-of-some-length")


def admin(text: str) -> str:
    return f"{UPSTREAM}[admin]\n{text}\n"


def reason(text: str) -> str:
    (error,) = errors(admin(text))
    return error.removeprefix("pdns.toml: ")


def test_plain_tcp_is_for_loopback() -> None:
    """Elsewhere a token would be sent unencrypted: an error that says what to set. Without a token nothing listens."""
    assert reason('listen = "192.0.2.1:9154"\ntoken_file = "one"') == (
        "admin.listen: expected a loopback address, because tokens would be sent unencrypted, got 192.0.2.1:9154; "
        "set admin.tls_cert_file and admin.tls_key_file"
    )
    assert "loopback" in reason('listen = "0.0.0.0"\n[[admin.token]]\nname = "x"\nfile = "one"')
    for address in ("127.0.0.1", "127.9.9.9:1", "[::1]:9154"):
        loaded(admin(f'listen = "{address}"\ntoken_file = "one"'))
    loaded(admin('listen = "192.0.2.1:9154"'))


def test_a_certificate_and_its_key() -> None:
    """With both the API may listen anywhere. One alone, files that are missing or no pair: an error."""
    cert, key = write_certificate(Path("a"))
    other, _ = write_certificate(Path("b"))
    both = f'listen = "192.0.2.1"\ntoken_file = "one"\ntls_cert_file = "{cert}"\ntls_key_file = "{key}"'
    assert loaded(admin(both)).admin.tls_cert_file == str(cert.absolute())
    assert reason(f'token_file = "one"\ntls_cert_file = "{cert}"') == "admin.tls_key_file: required with admin.tls_cert_file"
    assert reason(f'token_file = "one"\ntls_key_file = "{key}"') == "admin.tls_cert_file: required with admin.tls_key_file"
    assert reason(both.replace(str(cert), str(other))) == (
        "admin.tls_cert_file: cannot be used with admin.tls_key_file: key values mismatch"
    )
    assert reason(both.replace(str(cert), "gone")).startswith("admin.tls_cert_file: cannot be read")
    Path("text").write_text("text")
    assert reason(both.replace(str(cert), "text")).startswith("admin.tls_cert_file: cannot be used with admin.tls_key_file: ")


LEEDS = '[[tenant]]\nname = "leeds"\nnetworks = ["10.0.0.0/8"]\n'
TOKEN = '[[admin.token]]\nname = "{}"\nfile = "{}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TOKEN.format("a", "one") + TOKEN.format("a", "two"), 'admin.token[1].name: "a" is already admin.token[0]'),
        (TOKEN.format("a", "one") + TOKEN.format("b", "same"), "admin.token[1].file: holds the same token as admin.token[0]"),
        ('token_file = "one"\n' + TOKEN.format("b", "same"), "admin.token[0].file: holds the same token as admin.token_file"),
        (TOKEN.format("a", "short"), "admin.token[0].file: expected a file with a token of at least 16 bytes"),
        (TOKEN.format("a", "gone"), "admin.token[0].file: cannot be read"),
        (TOKEN.format("a", "one") + 'role = "root"\n', 'admin.token[0].role: expected "read", "tenant" or "admin", got "root"'),
        (TOKEN.format("a", "one") + 'role = "tenant"\n', 'admin.token[0].tenants: required with role = "tenant"'),
        (TOKEN.format("a", "one") + 'tenants = ["x"]\n', 'admin.token[0].tenants: only for role = "tenant", not "read"'),
        (
            TOKEN.format("a", "one") + 'role = "tenant"\ntenants = ["leds"]\n' + LEEDS,
            'admin.token[0].tenants[0]: no [[tenant]] has this name, got "leds"; did you mean "leeds"?',
        ),
        (TOKEN.format("a", "one") + 'expires = "soon"\n', "admin.token[0].expires: expected a time with its zone"),
        (TOKEN.format("a", "one") + 'expires = "2027-01-01T00:00:00"\n', "admin.token[0].expires: expected a time with its zone"),
        (TOKEN.format("a", "one") + 'expires = "9999-12-31T23:59:59-23:59"\n', "admin.token[0].expires: expected a time"),
        (TOKEN.format("a", "one") + "x = 1\n", "admin.token[0].x: unknown key"),
        ("".join(TOKEN.format(f"t{at}", "one") for at in range(1001)), "admin.token: expected at most 1000, got 1001"),
    ],
)  # fmt: skip
def test_tokens_that_cannot_be_used(text: str, said: str) -> None:
    """Each is an error of its own."""
    assert reason(text).startswith(said)


def test_the_end_of_a_token() -> None:
    """In seconds since the epoch, whatever its zone."""
    assert expiry_s(AdminToken(name="a", file="")) == 0.0
    assert expiry_s(AdminToken(name="a", file="", expires="1970-01-01T01:00:01+01:00")) == 1.0


def test_where_the_socket_is() -> None:
    """In the state directory unless the configuration says where, or that there is none."""
    config = loaded(UPSTREAM + '[state]\ndir = "s"\n')
    assert socket_path(config) == Path.cwd() / "s/admin.sock"
    assert socket_path(loaded(admin('socket = "x/api.sock"'))) == Path.cwd() / "x/api.sock"
    assert socket_path(loaded(admin('socket = "off"'))) is None
