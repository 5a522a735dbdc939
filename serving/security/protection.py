"""How each of the two services is guarded: what their `app.py` and `service.py` mount in one line."""

from __future__ import annotations

import sys

from parfocal_serving.security.audit import Audit
from parfocal_serving.security.guard import Guard, Protection
from parfocal_serving.security.headers import DOCUMENTATION
from parfocal_serving.security.pages import add_routes
from parfocal_serving.security.rules import MONITOR, SEGMENTER
from parfocal_serving.security.sessions import Sessions
from parfocal_serving.security.tokens import Keeper
from parfocal_serving.security.webhook import Signed
from starlette.applications import Starlette

from parfocal.adapters.settings import Settings
from parfocal.core.errors import ParfocalError


def demand(settings: Settings) -> None:
    """End this program with a clear word where nobody could use its service, and none said that it is open."""
    try:
        Keeper(settings).demand()
    except ParfocalError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


def of_segmenter(settings: Settings) -> Protection:
    """For `add_asgi_middleware(Guard, protection=...)`: tokens alone, there are no pages to sign in at."""
    audit = Audit(settings.state, "segmenter")
    return Protection(Keeper(settings), SEGMENTER, audit, page=DOCUMENTATION)


def protect_monitor(app: Starlette, settings: Settings, webhook_secret: str) -> None:
    """Add the guard, and the routes that belong to it. Whatever is added later stands before it: add nothing.

    Raises:
        UsageError: nobody could use the monitor, and it was not said that it is open.
    """
    keeper = Keeper(settings)
    keeper.demand()
    protection = Protection(keeper, MONITOR, Audit(settings.state, "monitor"), Sessions(settings.state))
    add_routes(app, protection, Signed(webhook_secret), settings.serving)
    app.add_middleware(Guard, protection=protection)
