"""The pages of an account: their frames and words. What is typed there goes from the browser to the hub's JSON API, past this code.

A session is an access token in the page's memory and a cookie that only the API's refresh reads, and the secret part of a letter's link stands behind
its ``#``: neither ever comes along with a page's own request. So these pages are the same for everybody, and need JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from luminai import policy
from luminai_site.pages import Pages

HOME: Final = "/account"
MAX_NEXT: Final = 512
NextPath = Annotated[str, QueryParameter(name="next", max_length=MAX_NEXT)]
Said = Annotated[str, QueryParameter(max_length=60)]
Again = Annotated[bool, QueryParameter()]
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
"""Browsers drop or turn some characters, so that ``/\\t/evil.example`` leads away."""


class Told(Struct, frozen=True):
    """What a page says first: what happened, and the next step."""

    text: str
    hint: str = ""


_REFUSED: Final = Told("Signing in through the other service did not work.", "Try again, or sign in with your password.")
_SAID: Final = {
    "account-suspended": Told("This account is suspended.", "Ask the operator."),
    "code-needed": Told("Your second factor is needed too."),
    "email-missing": Told("The other service told no e-mail address.", "Let it share your address, or register here with a password."),
    "email-not-verified": Told("The other service does not vouch for your e-mail address.", "Show below that it is yours."),
    "identity-taken": Told("That sign-in belongs to another account here.", "Sign in through it, or unlink it there first."),
    "invitation-needed": Told("An invitation is needed to open an account here.", "Ask the operator."),
    "link-required": Told("There is an account with your address already.", "Show below that it is yours; then the two are linked."),
    "provider-linked": Told("Your account is linked to another sign-in of that service.", "Unlink that one first."),
    "rate-limited": Told("Too many tries.", "Wait a minute, then try again."),
    "registration-closed": Told("Nobody can open an account here."),
    "round-trip-refused": Told("This browser did not begin that sign-in, or it took too long.", "Begin again here."),
    "session-ended": Told("Your session has ended.", "Sign in again."),
    "token-reused": Told(
        "Your session was used from elsewhere, so it was ended.", "Sign in again. If you did not copy it, change your password then."
    ),
    "too-many-tries": Told("Too many tries.", "Wait a minute, then try again."),
}
_WAITS: Final = ("link-required", "email-not-verified")
"""Codes after which the other service's identity waits in this browser to be linked."""
_DONE: Final = {
    "erased": "Your account is erased.",
    "password-set": "Your password is set. Sign in with it.",
    "registered": "Your account is open. Sign in.",
    "signed-out": "You are signed out.",
}


def account_handlers(pages: Pages) -> Sequence[Any]:
    """Return the route handlers."""

    @get(HOME, opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def account() -> Response[str]:
        """Show the frame of the own account; the page fills it."""
        return pages.show("account/home.html")

    @get("/account/sign-in", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def sign_in(next_path: NextPath = HOME, problem: Said = "", done: Said = "", again: Again = False) -> Response[str]:
        """Ask who it is, and say what went wrong on the way or was just done. With ``again`` other services ask for the password too."""
        told = _SAID.get(problem, _REFUSED) if problem else None
        waits, done_text = problem in _WAITS, _DONE.get(done, "")
        return pages.show("account/sign_in.html", next=own_path(next_path), again=again, told=told, waits=waits, done=done_text)

    @get("/account/register", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def register(next_path: NextPath = HOME) -> Response[str]:
        """Offer to open an account."""
        return pages.show("account/register.html", next=own_path(next_path))

    @get("/account/verify", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def verify() -> Response[str]:
        """Offer to confirm an address. Looking at the page confirms nothing: programs follow the links of letters too."""
        return pages.show("account/verify.html")

    @get("/account/reset", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def reset() -> Response[str]:
        """Ask for whom a new password is wanted, or for the password itself where the letter's link was followed."""
        return pages.show("account/reset.html")

    @get("/account/link", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def link(next_path: NextPath = HOME) -> Response[str]:
        """Let somebody show whose the identity is that waits in this browser."""
        return pages.show("account/link.html", next=own_path(next_path))

    @get("/account/invitation", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def invitation() -> Response[str]:
        """Let somebody join the organisation that a letter asks them into, or decline."""
        return pages.show("account/invitation.html")

    return [account, sign_in, register, verify, reset, link, invitation]


def own_path(text: str) -> str:
    """Return a path of this hub as it is, and the account's own page for anything that could lead elsewhere."""
    return text if _OWN_PATH.fullmatch(text) else HOME
