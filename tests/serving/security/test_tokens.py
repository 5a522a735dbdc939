"""Tokens: what is at rest, who is let in, and what changes without a restart."""

import hmac
import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from parfocal_serving.security.tokens import Keeper
from security_kit import Clock, bearer, monitor, token

from parfocal.adapters import tokens
from parfocal.adapters.settings import Settings
from parfocal.adapters.tokens import TokenStore
from parfocal.core.errors import DataContractError, UsageError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> TokenStore:
    return TokenStore(tmp_path / "tokens.json", clock)


@pytest.fixture
def keeper(tmp_path: Path, clock: Clock) -> Keeper:
    return Keeper(Settings(state=tmp_path, token="service", open=False), clock)


def names(keeper: Keeper, *words: str) -> list[str | None]:
    return [caller.name if (caller := keeper.bearer(word)) else None for word in words]


def test_the_file_is_for_its_owner_alone_and_has_no_token_in_it(store: TokenStore) -> None:
    made, word = store.add("Ada", ["segment"])
    content = store.file.read_text()
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    secret = word.split("_", 2)[2]
    assert len(secret) >= 43, "256 bits"
    assert secret not in content
    assert json.loads(content)["tokens"][0]["hash"] == made.hash
    other = store.add("Bob", ["segment"])[0]
    assert made.salt != other.salt


def test_a_token_is_compared_in_constant_time(
    store: TokenStore, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = store.add("Ada", ["segment"])[1]
    seen: list[tuple[Any, Any]] = []
    true = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (seen.append((a, b)), true(a, b))[1])
    assert names(keeper, word, word[:-1] + "~", "pf_00000000_unknown", "nonsense") == ["Ada", None, None, None]
    assert len(seen) == 8, "the service's and one row's, each time: for an id that nobody has too"
    assert all(len(a) == len(b) for a, b in seen)


def test_two_tokens_of_a_name_hold_while_it_is_rotated_and_never_three(
    store: TokenStore, keeper: Keeper, clock: Clock
) -> None:
    first = store.add("Ada", ["segment", "annotate"])[1]
    second = store.rotate("Ada", overlap=2)[1]
    assert names(keeper, first, second) == ["Ada", "Ada"]
    third = store.rotate("Ada", overlap=2)[1]
    assert names(keeper, first, second, third) == [None, "Ada", "Ada"]
    clock.forward(hours=2)
    assert names(keeper, second, third) == [None, "Ada"]
    caller = keeper.bearer(third)
    assert caller
    assert caller.roles == {"segment", "annotate"}


def test_a_token_expires_and_its_successor_lives_as_long(store: TokenStore, keeper: Keeper, clock: Clock) -> None:
    word = store.add("Ada", ["segment"], days=10)[1]
    clock.forward(days=9)
    after = store.rotate("Ada")[1]
    clock.forward(days=2)
    assert names(keeper, word, after) == [None, "Ada"]
    clock.forward(days=8)
    assert names(keeper, after) == [None]


def test_rotation_and_revocation_reach_a_running_monitor(tmp_path: Path) -> None:
    first = token(tmp_path, "Ada", "operate")
    store = TokenStore(tmp_path / "tokens.json")
    with monitor(tmp_path) as running:

        def seen(word: str) -> int:
            return running.get("/api/state", headers=bearer(word)).status_code

        assert seen(first) == 200
        second = store.rotate("Ada")[1]
        assert (seen(first), seen(second)) == (200, 200)
        assert store.revoke("Ada") == 2
        assert (seen(first), seen(second)) == (401, 401)


def test_a_file_that_is_gone_broken_or_open_to_others_lets_nobody_in(store: TokenStore, keeper: Keeper) -> None:
    word = store.add("Ada", ["segment"])[1]
    content = store.file.read_text()
    assert names(keeper, word) == ["Ada"]
    store.file.write_text("{")
    assert names(keeper, word, "service") == [None, "installation"]
    store.file.write_text(content)
    assert names(keeper, word) == ["Ada"]
    store.file.unlink()
    assert names(keeper, word) == [None]
    store.file.write_text(content)
    store.file.chmod(0o644)
    assert names(keeper, word) == [None]
    with pytest.raises(UsageError, match="chmod 600"):
        tokens.read(store.file)
    store.file.chmod(0o440)  # as Kubernetes mounts a secret; to change the mode is all that the message asks for
    assert names(keeper, word) == ["Ada"]
    store.file.chmod(0o666)
    assert names(keeper, word) == [None]


def test_a_disk_that_was_away_for_a_moment_locks_nobody_out(
    store: TokenStore, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = store.add("Ada", ["segment"])[1]

    def away(_: Path) -> tokens.Tokens:
        raise OSError("input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("parfocal_serving.security.tokens.read", away)
        assert names(keeper, word) == [None]
    assert names(keeper, word) == ["Ada"]


@pytest.mark.parametrize("name", ["", " Ada", "A\nda", "x" * 65, tokens.INSTALLATION])
def test_what_is_no_name_is_refused(store: TokenStore, name: str) -> None:
    with pytest.raises(UsageError):
        store.add(name, ["segment"])


def test_a_name_has_one_token_unless_it_is_rotated(store: TokenStore) -> None:
    store.add("Ada", ["segment"])
    with pytest.raises(UsageError, match="rotate"):
        store.add("Ada", ["operate"])
    with pytest.raises(UsageError, match="no token"):
        store.rotate("Bob")
    with pytest.raises(UsageError, match="no token"):
        store.revoke("Bob")


def test_the_first_token_is_made_once(store: TokenStore) -> None:
    word = store.first()
    assert word
    assert store.first() is None
    store.revoke("owner")
    assert store.first() is None, "whoever ended it does not want it back"


def test_a_file_of_something_else_says_so(store: TokenStore) -> None:
    store.file.write_text('{"version": 2, "tokens": []}')
    store.file.chmod(0o600)
    with pytest.raises(DataContractError, match="version"):
        tokens.read(store.file)


def test_the_installations_token_is_no_person(tmp_path: Path, keeper: Keeper) -> None:
    caller = keeper.bearer("service")
    assert caller
    assert caller.roles == {"observe", "segment"}
    assert keeper.by_word("service") is None, "it does not sign in"


def test_without_any_token_a_service_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="parfocal token add"):
        monitor(tmp_path)
    Keeper(Settings(state=tmp_path, token="", open=True)).demand()
    Keeper(Settings(state=tmp_path, token="x", open=False)).demand()
    token(tmp_path, "Ada", "segment")
    Keeper(Settings(state=tmp_path, token="", open=False)).demand()


def test_of_two_first_starts_one_makes_the_owner_and_the_other_goes_on(tmp_path: Path) -> None:
    for turn in range(20):
        start = threading.Barrier(4)

        def begin(_: int, turn: int = turn, start: threading.Barrier = start) -> str | None:
            start.wait()
            return TokenStore(tmp_path / str(turn) / "tokens.json").first()

        with ThreadPoolExecutor(4) as pool:
            words = list(pool.map(begin, range(4)))
        assert sum(word is not None for word in words) == 1
