"""`parfocal token`: who may use the services of this installation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from parfocal.adapters.tokens import Token, TokenStore

ROLES = ("segment", "annotate", "operate", "observe")
LONGEST = 36_500
"""Days: a century."""
LIFE = click.FloatRange(0, LONGEST, min_open=True)
JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group()
def token() -> None:
    """Who may use the endpoint and the monitor.

    \b
    segment     send photographs, click (the endpoint)
    annotate    the annotation page, and labelled cases
    operate     end an alarm, name a candidate, have a run carried through again
    observe     a program: send observations and alerts, read metrics

    The file (PARFOCAL_TOKENS, by default tokens.json in PARFOCAL_STATE) has salted hashes, so a token is shown once,
    when it is made. The services see every change at once, without a restart.
    """


@token.command()
@click.argument("name")
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="May be given again.")
@click.option("--days", type=LIFE, default=365.0, show_default=True, help="It holds.")
@JSON
def add(name: str, roles: tuple[str, ...], days: float, as_json: bool) -> None:
    """Make a token for a person or a program, and show it this once.

    \b
    parfocal token add "Ada Byron" --role annotate
    parfocal token add clinic-pacs --role segment --days 90
    """
    from typing import cast

    from parfocal.adapters.tokens import Role

    made, word = _store().add(name, cast("tuple[Role, ...]", roles), days)
    _written("token add", made)
    _show(made, word, as_json)


@token.command()
@click.argument("name")
@click.option("--overlap", type=click.FloatRange(0, 24 * 365), default=24.0, show_default=True, help="Hours both hold.")
@JSON
def rotate(name: str, overlap: float, as_json: bool) -> None:
    """Make the successor of a token; the one before holds a while longer, so that nobody is locked out."""
    made, word = _store().rotate(name, overlap)
    _written("token rotate", made)
    _show(made, word, as_json)


@token.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End every token of a name, and every session that it began, now."""
    from parfocal.adapters.tokens import read

    store = _store()
    ended = store.revoke(name)
    _written("token revoke", [row for row in read(store.file).tokens if row.name == name][-1])
    click.echo(f"{ended} token{'s' if ended > 1 else ''} of {name} revoked")


@token.command("list")
@JSON
def list_(as_json: bool) -> None:
    """Show who has a token, for what, and until when."""
    from datetime import UTC, datetime

    from parfocal.adapters.tokens import read

    rows, now = read(_store().file).tokens, datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_row(row) for row in rows], indent=1))
        return
    for row in rows:
        state = "revoked" if row.revoked else "holds" if row.valid(now) else "expired"
        roles = ", ".join(row.roles)
        click.echo(f"{row.id}  {state:<8} until {row.expires:%Y-%m-%d}  {row.name:<24} {roles}")
    if not rows:
        click.echo("nobody has a token; `parfocal token add NAME --role segment` makes one")


def _store() -> TokenStore:
    from parfocal.adapters import Settings
    from parfocal.adapters.tokens import TokenStore

    return TokenStore(Settings().token_file)


def _row(made: Token) -> dict[str, Any]:
    return made.model_dump(mode="json", exclude={"salt", "hash"})


def _show(made: Token, word: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**_row(made), "token": word}))
        return
    click.echo(word)
    click.echo(f"This is the token of {made.name}, shown this once; it holds until {made.expires:%Y-%m-%d}.", err=True)


def _user() -> str:
    """Whoever runs this. A container's user may have a number and no name."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _written(what: str, made: Token) -> None:
    """A line in the audit log: who at this machine did that to whom."""
    from parfocal.adapters import Settings, audit

    values = {"service": "cli", "who": _user(), "what": what, "on": made.name, "roles": list(made.roles)}
    audit.append(audit.folder(Settings().state), {**values, "id": made.id})
