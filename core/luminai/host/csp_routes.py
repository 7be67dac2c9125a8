"""Where browsers report what a page's Content-Security-Policy kept out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Request, post

from luminai.contracts.errors import InvalidInput
from luminai.contracts.identity import policy
from luminai.http.requests import state_of

_log = logging.getLogger("luminai.csp")
PATH: Final = "/api/csp-reports"
MAX_REPORTS: Final = 10
_MAX_TEXT: Final = 300
_FIELDS: Final = ("blocked-uri", "blockedURL", "document-uri", "documentURL", "violated-directive", "effectiveDirective", "source-file", "sourceFile")


def csp_handlers() -> Sequence[Any]:
    """Return the handler."""

    @post(PATH, opt=policy(anonymous=True, limit="address", keyed=False), status_code=204, request_max_body_size=16_384)
    async def report(request: Request[Any, Any, Any]) -> None:
        """Take reports of a browser, in the old form (`application/csp-report`) or the new one (`application/reports+json`); they go into the log."""
        try:
            found = msgspec.json.decode(await request.body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput("This is no report.", code="malformed-body", hint="Browsers send these by themselves.") from error
        for one in (found if isinstance(found, list) else [found])[:MAX_REPORTS]:
            body = (one.get("csp-report") or one.get("body")) if isinstance(one, dict) else None
            if isinstance(body, dict):
                told = {name: str(body[name])[:_MAX_TEXT].partition("?")[0] for name in _FIELDS if name in body}
                _log.warning("csp.violation", extra={"report": told, "client": state_of(request.scope).client})

    return [report]
