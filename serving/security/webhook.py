"""Calls that are signed and not sent with a token: MLflow's webhooks.

Signed as MLflow 3 does (`mlflow.webhooks.delivery`, which follows standardwebhooks.com): HMAC-SHA256 with the webhook's
secret over `<delivery id>.<unix time>.<body>`, as `v1,<base64>` in X-MLflow-Signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

ID, TIMESTAMP, SIGNATURE = "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"
WINDOW = 300
"""Seconds that a call may be old, or ahead of this clock."""
KEPT = 10_000
"""Delivery ids that are remembered: more cannot be signed and carried through within the window."""
VERSION = "v1"


class ForgedError(Exception):
    """It was not signed with our secret, or not now."""


class Signed:
    """Checks calls.

    Args:
        secret: that the webhook was made with; empty: no call is believed.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = secret.encode(), clock
        self._done: OrderedDict[str, float] = OrderedDict()

    def check(self, headers: Mapping[str, str], body: bytes) -> str:
        """The delivery's id.

        Raises:
            ForgedError: why it is not believed.
        """
        if not self._secret:
            raise ForgedError("no secret is set here")
        id_, sent = headers.get(ID, ""), headers.get(TIMESTAMP, "")
        expected = hmac.new(self._secret, f"{id_}.{sent}.".encode() + body, hashlib.sha256).digest()
        if not hmac.compare_digest(_given(headers.get(SIGNATURE, "")), expected):
            raise ForgedError("the signature is wrong")
        if not (sent.isascii() and sent.isdigit()) or abs(self._clock() - int(sent)) > WINDOW:
            raise ForgedError(f"not of the last {WINDOW} s; is the clock of both machines right?")
        return id_

    def again(self, id_: str) -> bool:
        """Whether this delivery was carried through before: MLflow sends one again when it heard no answer."""
        return id_ in self._done

    def done(self, id_: str) -> None:
        """It is carried through."""
        self._done[id_] = now = self._clock()
        while len(self._done) > KEPT or now - next(iter(self._done.values())) > 2 * WINDOW:
            self._done.popitem(last=False)


def moves_alias(body: bytes) -> bool:
    """Whether the call says that an alias was moved."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("entity") == "model_version_alias"


def _given(signature: str) -> bytes:
    version, _, value = signature.partition(",")
    if version != VERSION:
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
