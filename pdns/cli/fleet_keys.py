"""`pdns fleet keys`: the keys that a fleet trusts. Works where the keys are, without a resolver and without a configuration."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, consoles
from pdns.errors import PdnsError
from pdns.files.safe_files import make_directory, read_bounded

_MOST_PASSPHRASE_BYTES: Final = 4096
app = typer.Typer(no_args_is_help=True, help="Keys of the fleet: make, rotate, revoke, sign.", rich_markup_mode=None)
DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Where root.json and the keys are")]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", metavar="FILE", help="Its first line protects root keys [default: none]")
]


@app.command("init")
def init_command(
    directory: DirectoryArgument,
    roots: Annotated[int, typer.Option("--roots", metavar="N", min=1, max=16, help="Root keys")] = 1,
    threshold: Annotated[int, typer.Option("--threshold", metavar="N", min=1, max=16, help="How many must sign a change")] = 1,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make the keys of a new fleet: root keys (to be kept offline), an online key for the publisher, root.json for nodes."""

    def work(trust: ModuleType, passphrase: str) -> list[str]:
        make_directory(directory, 0o700)
        lines: list[str] = trust.make_keys(directory, roots, threshold, passphrase, now_s=time.time())
        return lines

    _run(work, passphrase_file)


@app.command("rotate")
def rotate_command(
    directory: DirectoryArgument,
    role: Annotated[str, typer.Argument(metavar="[online|root]", help="Which keys are replaced")] = "online",
    passphrase_file: PassphraseOption = None,
) -> None:
    """Prepare new keys in place of those of a role. They are in force when root keys have signed them: `keys sign`."""
    _run(lambda trust, passphrase: trust.rotate(directory, role, passphrase, now_s=time.time()), passphrase_file)


@app.command("revoke")
def revoke_command(
    directory: DirectoryArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The beginning of its identifier, as `keys show` has it")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Prepare a new key in place of one that is lost or stolen. It is in force when root keys have signed it: `keys sign`."""
    _run(lambda trust, passphrase: trust.revoke(directory, key, passphrase, now_s=time.time()), passphrase_file)


@app.command("renew")
def renew_command(directory: DirectoryArgument) -> None:
    """Prepare root metadata with the same keys that is valid for longer. It is in force when root keys have signed it."""
    _run(lambda trust, _: trust.renew(directory, now_s=time.time()), None)


@app.command("sign")
def sign_command(
    directory: DirectoryArgument,
    key_file: Annotated[Path, typer.Argument(metavar="KEYFILE", help="A root key, such as root-0123abcd.pem")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Sign what `rotate`, `revoke` or `renew` prepared. The publisher uses it once enough root keys have signed."""
    _run(lambda trust, passphrase: trust.sign(directory, key_file, passphrase), passphrase_file)


@app.command("show")
def show_command(directory: DirectoryArgument) -> None:
    """Show the keys that are in force, until when, and what waits for signatures."""
    _run(lambda trust, _: trust.describe(directory), None)


def _run(work: Callable[[ModuleType, str], list[str]], passphrase_file: Path | None) -> None:
    console, errors = consoles()
    try:
        from feeds.fleet import trust  # noqa: PLC0415 (it needs the libraries of the fleet)

        for line in work(trust, _passphrase(passphrase_file)):
            console.print(Text(line), soft_wrap=True)
    except PdnsError as exc:
        errors.print(Text(str(exc), "red"))
        raise typer.Exit(1) from None
    except OSError as exc:
        errors.print(Text(f"{exc.filename}: {exc.strerror}", "red"))
        raise typer.Exit(1) from None
    except UnicodeDecodeError:
        errors.print(Text(f"{passphrase_file}: not text", "red"))
        raise typer.Exit(EXIT_INVALID) from None


def _passphrase(file: Path | None) -> str:
    if file is None:
        return ""
    lines = read_bounded(file, _MOST_PASSPHRASE_BYTES, follow_links=True).decode().splitlines()
    return lines[0] if lines else ""
