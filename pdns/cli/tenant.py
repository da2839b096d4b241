"""`pdns tenant`: the tokens and certificates by which devices are known wherever they are."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, Final, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, carried_out, consoles, load_config, refused, run_command, user
from pdns.cli.feed_table import aligned
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.enrolment.access import EnrolmentError, ResolverAccess, access_of
from pdns.enrolment.apple_profile import DnsProtocol, apple_profile
from pdns.enrolment.device_settings import device_settings
from pdns.enrolment.listing import credentials_of, refuse_configured
from pdns.enrolment.tokens import new_token, sha256_of
from pdns.errors import PdnsError
from pdns.files.records import DamagedError
from pdns.free_text import visible
from pdns.state import commands, enrolments
from pdns.state.commands import Command
from pdns.state.enrolments import CredentialKind, credential_id

_TITLES: Final = ("tenant", "id", "kind", "device", "state", "since", "until", "by")
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")

app = typer.Typer(
    help="The tokens and certificates by which devices are known wherever they are.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The name of the [[tenant]]")]
DeviceOption = Annotated[str, typer.Option("--device", "-d", metavar="LABEL", help="Whose it is, such as a name or a number")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs")]


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What `pdns tenant enroll --json` prints."""

    text: str
    token: str  # "": the device has another credential
    access: ResolverAccess


class _NewCredential(NamedTuple):
    kind: CredentialKind
    sha256: str
    token: str = ""


@app.command("enroll")
def enroll_command(
    tenant: TenantArgument,
    device: DeviceOption = "",
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="After how long: 12h, 90d [default: never]")] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="The host of the DoH URL [default: of tls_names, or the certificate]")
    ] = "",
    address: Annotated[
        list[str] | None, typer.Option("--address", metavar="IP", help="An address of this server, as devices reach it")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", metavar="FILE", help="Write a profile for Apple devices: NAME.mobileconfig")
    ] = None,
    protocol: Annotated[DnsProtocol, typer.Option("--protocol", help="What the profile uses")] = DnsProtocol.DOH,
    locked: Annotated[
        bool, typer.Option("--locked", help="In the profile: the user cannot switch it off (supervised devices)")
    ] = False,
    except_wifi: Annotated[
        list[str] | None, typer.Option("--except-wifi", metavar="SSID", help="In the profile: not in this Wi-Fi network")
    ] = None,
    sha256: Annotated[
        str, typer.Option("--sha256", metavar="HEX", help="Enroll a token that another server has made, by its SHA-256")
    ] = "",
    certificate_sha256: Annotated[
        str, typer.Option("--certificate-sha256", metavar="HEX", help="Enroll a client certificate, by its fingerprint")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
    qr: Annotated[bool | None, typer.Option("--qr/--no-qr", help="Show a QR code [default: on a terminal]")] = None,
) -> None:
    """Make a token for a device of a tenant, and show what to enter there. The token is shown once."""
    console, errors = consoles()
    who = user()
    try:
        credential = _credential(sha256, certificate_sha256)
        with _new_file(profile) as file:
            loaded = load_config(config, errors)
            if loaded is None:
                raise typer.Exit(EXIT_INVALID)
            access = access_of(loaded, _tenant(loaded, tenant), host=host, addresses=address or ())
            refuse_configured(loaded, credential.sha256)
            for_s = commands.parse_duration(expires) if expires else 0.0
            access = access.with_credential(credential_id(credential.sha256), credential.token, device, _until(for_s))
            content = b"" if file is None else apple_profile(access, protocol, locked=locked, except_wifi=except_wifi or ())
            outcome = carried_out(
                loaded,
                config,
                Command(
                    command="enroll",
                    user=who,
                    tenant=tenant,
                    device=device,
                    for_s=for_s,
                    credential=f"{credential.kind}:{credential.sha256}",
                ),
            )
            if not outcome.done:
                raise EnrolmentError(outcome.text)
            if file is not None:
                file.write(content)
    except (PdnsError, ValueError) as exc:
        errors.print(Text(visible(str(exc)), "red"))
        raise typer.Exit(1) from None
    except OSError as exc:
        advice = "; remove it, or name another file" if isinstance(exc, FileExistsError) else ""
        errors.print(Text(f"{exc.filename}: {exc.strerror}{advice}", "red"))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(msgspec.json.encode(Enrolled(text=outcome.text, token=credential.token, access=access)).decode())
        return
    console.print(Text(outcome.text), soft_wrap=True)
    if not sha256:
        secret = ", which has the token" if credential.token and protocol is DnsProtocol.DOH else ""
        _show(console, access, profile, secret, has_token=bool(credential.token), qr=console.is_terminal if qr is None else qr)


@app.command("list")
def list_command(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Of this tenant only")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the credentials of devices: those that are valid, and those that ended in the last 90 days."""
    console, errors = consoles()
    loaded = load_config(config, errors, reads_only=True)
    if loaded is None:
        raise typer.Exit(EXIT_INVALID)
    state_dir = Path(loaded.state.dir)
    try:
        found = credentials_of(loaded, enrolments.read(state_dir), tenant, time.time())
        if tenant and not found:
            _tenant(loaded, tenant)
    except OSError as exc:
        errors.print(Text(refused(exc, state_dir), "red"))
        raise typer.Exit(EXIT_INVALID) from None
    except DamagedError as exc:
        errors.print(Text(visible(f"{enrolments.FILE_NAME} cannot be read: {exc}"), "red"))
        raise typer.Exit(EXIT_INVALID) from None
    except EnrolmentError as exc:
        errors.print(Text(visible(str(exc)), "red"))
        raise typer.Exit(EXIT_INVALID) from None
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    rows = [
        (
            one.tenant, one.id, one.kind, one.device or "-", one.state, _clock(one.added_s),
            _clock(one.revoked_s or one.expires_s), one.revoked_by or one.author,
        )
        for one in found
    ]  # fmt: skip
    if rows:
        aligned(console, [_TITLES, *rows])
    else:
        console.print(Text("no device is enrolled"))
    known = {one.name for one in loaded.tenant}
    for name in dict.fromkeys(one.tenant for one in found if one.state == "valid" and one.tenant not in known):
        note = f"no [[tenant]] {name}: its devices are refused until there is one. To end them: pdns tenant revoke {name} --all"
        console.print(Text(visible(note), "yellow"), soft_wrap=True)


@app.command("revoke")
def revoke_command(
    tenant: TenantArgument,
    credential: Annotated[str, typer.Argument(metavar="ID", help="The ID of one credential, of `pdns tenant list`")] = "",
    device: DeviceOption = "",
    everything: Annotated[bool, typer.Option("--all", help="All credentials of the tenant")] = False,
    config: ConfigOption = None,
) -> None:
    """End credentials. Open connections with them are refused within a second. A token of the configuration ends with its key."""
    wanted = Command(command="revoke", user="", tenant=tenant, credential=credential, device=device, all=everything)
    raise typer.Exit(run_command(config, wanted))


def _credential(sha256: str, certificate_sha256: str) -> _NewCredential:
    known = sha256 or certificate_sha256
    if not known:
        token = new_token()
        return _NewCredential("token", sha256_of(token), token)
    if not _SHA256.fullmatch(known) or (sha256 and certificate_sha256):
        raise EnrolmentError("--sha256, --certificate-sha256: expected one of them, with 64 hexadecimal digits")
    return _NewCredential("certificate" if certificate_sha256 else "token", known.lower())


def _tenant(config: Config, name: str) -> Tenant:
    for tenant in config.tenant:
        if tenant.name == name:
            return tenant
    raise EnrolmentError(f"no tenant {name}; tenants: {', '.join(one.name for one in config.tenant) or 'none are configured'}")


@contextmanager
def _new_file(path: Path | None) -> Iterator[BinaryIO | None]:
    """A new file that only its owner may read: it will have a token. When the block fails, it is removed."""
    if path is None:
        yield None
        return
    with os.fdopen(os.open(path, _NEW_FILE, 0o600), "wb") as file:
        try:
            yield file
        except BaseException:
            with suppress(OSError):  # of root's directory, by the owner of the state directory: it is empty
                path.unlink()
            raise


def _until(for_s: float) -> float:
    return time.time() + for_s if for_s else 0.0


def _show(console: Console, access: ResolverAccess, profile: Path | None, secret: str, *, has_token: bool, qr: bool) -> None:
    if has_token:
        _line(console, "The URL has the token, and is shown once: pdns keeps only its SHA-256.")
    _section(console, "DoH URL", (access.doh_url,))
    if has_token and qr:
        _show_qr_code(console, access.doh_url)
    if access.dot_name:
        _section(console, "DoT name", (access.dot_name,))
    if profile is not None:
        _line(console, f"\nApple devices: {profile}{secret}. It is not signed: docs/roaming.md says how to sign it.")
    for settings in device_settings(access):
        _section(console, f"{settings.device}: {settings.note}", settings.lines)


def _section(console: Console, title: str, lines: Sequence[str]) -> None:
    _line(console, f"\n{title}")
    for line in lines:
        _line(console, f"  {line}")


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def _show_qr_code(console: Console, text: str) -> None:
    from pdns.enrolment.qr_code import qr_lines  # noqa: PLC0415 (a library that only this needs)

    lines = qr_lines(text, blocks="utf" in console.encoding.lower())
    if max(map(len, lines)) > console.width:
        _line(console, f"(a QR code needs {max(map(len, lines))} columns)")
        return
    style = "white on black" if console.color_system else ""
    for line in lines:
        console.print(Text(line, style), soft_wrap=True)


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s)) if at_s else "-"
