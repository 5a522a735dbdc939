"""Everybody's tokens: a file that `parfocal token` writes and the services read.

A token is `pf_<id>_<secret>`: the id finds its row, the secret is 256 random bits. The file has SHA-256 of a salt and
the secret. A slow hash (bcrypt, Argon2) is for passwords, which can be guessed; nobody guesses 256 random bits, and a
hash that takes 100 ms would be paid at every request. The salt keeps two files from being compared.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from parfocal.core.config import Config
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.locks import alone, beside

Role = Literal["segment", "annotate", "operate", "observe"]
PEOPLE: tuple[Role, ...] = ("segment", "annotate", "operate")
"""Roles of the one token that a first start makes."""
INSTALLATION = "installation"
"""Name of PARFOCAL_TOKEN, which no row may have."""
LIFE = 365.0
"""Days that a token is good for, unless it is said otherwise."""
OVERLAP = 24.0
"""Hours that the token before still holds after a rotation."""
PREFIX = "pf_"
NOTHING = "0" * 64
"""A digest to compare with where there is no row: an unknown id must not be answered sooner than a wrong secret."""


class Token(Config):
    """One row: nothing in it lets anybody in."""

    id: str = Field(pattern="^[0-9a-f]{8}$")
    name: str
    roles: tuple[Role, ...] = Field(min_length=1)
    salt: str
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    created: AwareDatetime
    expires: AwareDatetime
    revoked: AwareDatetime | None = None

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not (1 <= len(name) <= 64 and name.isprintable() and name == name.strip()) or name == INSTALLATION:
            raise ValueError(f"a name has 1 to 64 printable characters, and is not {INSTALLATION!r}")
        return name

    def valid(self, now: datetime) -> bool:
        """Whether it holds now."""
        return self.revoked is None and now < self.expires


class Tokens(Config):
    """The file."""

    version: Literal[1] = 1
    tokens: tuple[Token, ...] = ()

    def holder(self, word: str, now: datetime) -> Token | None:
        """Whose token this is, if it holds. Takes as long for an unknown id as for a wrong secret."""
        id_, _, secret = word.removeprefix(PREFIX).partition("_")
        found = next((token for token in self.tokens if token.id == id_), None)
        salt, expected = (found.salt, found.hash) if found else ("", NOTHING)
        same = hmac.compare_digest(_digest(salt, secret), expected)
        return found if found and same and word.startswith(PREFIX) and found.valid(now) else None

    def by_id(self, id_: str, now: datetime) -> Token | None:
        """A row that holds."""
        return next((token for token in self.tokens if token.id == id_ and token.valid(now)), None)

    def held(self, now: datetime) -> tuple[Token, ...]:
        return tuple(token for token in self.tokens if token.valid(now))


def read(file: Path) -> Tokens:
    """The tokens of a file; none where there is no file.

    Raises:
        UsageError: others could have written it.
        DataContractError: it is not such a file.
    """
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            content = stream.read()
    except FileNotFoundError:
        return Tokens()
    if mode & 0o027:  # a group may read it: so does Kubernetes mount a secret
        raise UsageError(f"others may use the tokens: mode {mode:o}", where=file, next=f"chmod 600 {file}")
    try:
        return Tokens.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataContractError(f"the tokens cannot be read: {where}: {first['msg']}", where=file) from None


class TokenStore:
    """Writes the file; several programs may do so at once."""

    def __init__(self, file: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.file, self._clock = file, clock

    def add(self, name: str, roles: Sequence[Role], days: float = LIFE) -> tuple[Token, str]:
        """A new row, and the token itself, which nobody can find out again.

        Raises:
            UsageError: somebody has a token of that name.
        """
        with self._changed() as rows:
            if any(row.name == name and row.valid(self._clock()) for row in rows):
                raise UsageError(f"{name!r} has a token", next=f"parfocal token rotate {name}")
            made, word = self._make(name, roles, timedelta(days=days))
            rows.append(made)
        return made, word

    def rotate(self, name: str, overlap: float = OVERLAP) -> tuple[Token, str]:
        """A successor of the same roles and the same length of life; the one before holds `overlap` hours more.

        Two hold at once, never three: what was left over of an earlier rotation ends here.

        Raises:
            UsageError: nobody of that name has a token that holds.
        """
        with self._changed() as rows:
            now = self._clock()
            held = [row for row in rows if row.name == name and row.valid(now)]
            if not held:
                raise UsageError(f"{name!r} has no token that holds", next=f"parfocal token add {name} --role ...")
            last = held[-1]  # rows stand in the order in which they were made
            ends = min(last.expires, now + timedelta(hours=overlap))
            for row in held:
                change = {"expires": ends} if row is last else {"revoked": now}
                rows[rows.index(row)] = row.model_copy(update=change)
            made, word = self._make(name, last.roles, last.expires - last.created)
            rows.append(made)
        return made, word

    def revoke(self, name: str) -> int:
        """End every token of a name, now; how many there were.

        Raises:
            UsageError: there was none.
        """
        with self._changed() as rows:
            now = self._clock()
            held = [i for i, row in enumerate(rows) if row.name == name and row.valid(now)]
            if not held:
                raise UsageError(f"{name!r} has no token that holds", next="parfocal token list")
            for i in held:
                rows[i] = rows[i].model_copy(update={"revoked": now})
        return len(held)

    def first(self) -> str | None:
        """The token of `owner`, made where nobody has ever had one; else None."""
        if read(self.file).tokens:
            return None
        with self._changed() as rows:
            if rows:  # another first start was quicker
                return None
            made, word = self._make("owner", PEOPLE, timedelta(days=LIFE))
            rows.append(made)
        return word

    def _make(self, name: str, roles: Sequence[Role], life: timedelta) -> tuple[Token, str]:
        id_, secret, salt, now = secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_hex(16), self._clock()
        try:
            made = Token(
                id=id_,
                name=name,
                roles=tuple(dict.fromkeys(roles)),
                salt=salt,
                hash=_digest(salt, secret),
                created=now,
                expires=now + life,
            )
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"], where=name) from None
        return made, f"{PREFIX}{id_}_{secret}"

    @contextmanager
    def _changed(self) -> Iterator[list[Token]]:
        """The rows, to be changed: written when nothing went wrong, as a whole and for their owner alone."""
        with alone(beside(self.file)):
            rows = list(read(self.file).tokens)
            yield rows
            write_secret(self.file, Tokens(tokens=tuple(rows)).model_dump_json(indent=1) + "\n")


def write_secret(file: Path, content: str) -> None:
    """Write a file of mode 600 as a whole, or not at all."""
    temporary = file.with_name(f".{file.name}.{uuid4().hex[:8]}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def made_once(file: Path, make: Callable[[], str]) -> bytes:
    """What is in a secret's file, which is made where it is not: all who begin at once have the same.

    One that is there is only read, as from a folder in which nobody may write; it need not be text.
    """
    if not file.exists():
        with alone(beside(file)):
            if not file.exists():
                write_secret(file, make())
    return file.read_bytes().strip()


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode(errors="surrogatepass")).hexdigest()
