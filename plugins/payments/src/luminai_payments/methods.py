"""Stored methods: a provider's tokens, sealed under the person's key. No card number ever comes here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai import NotFound, Party, PaymentError, PluginContext, Unavailable, Unprocessable
from luminai_payments.config import PaymentsConfig
from luminai_payments.models import methods, parties
from luminai_payments.routing import provider_named
from luminai_payments.schemas import ActionView, MethodView, NewMethod, PortalAsk
from luminai_payments.store import shown

PREFIX = "pmt_"


class Methods:
    """Keeps methods for people."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: PaymentsConfig = ctx.config

    async def add(self, subject: str, ask: NewMethod) -> MethodView:
        """Have a provider store a method; the answer may name what the payer does there.

        Raises:
            Unprocessable: unknown provider, or it refuses.
            Unavailable: it does not answer (code ``payments.provider-busy``).
        """
        provider = provider_named(self._ctx, ask.provider or self._config.providers[0])
        method_id, mine, now = self._ctx.new_id("pmt"), self._ctx.db.as_subject(subject), self._ctx.clock.now()
        party = await self._party(subject, provider)
        setup = await _asked(lambda: provider.setup_method(party, key=method_id))

        def unit(session: Session) -> None:
            token = self._ctx.vault.seal(session, subject=subject, place=_place(method_id), value=setup.ref.encode())
            row = {"id": method_id, "subject": subject, "provider": provider.name, "kind": ask.kind, "token": token}
            session.execute(insert(methods).values(**row, renews=ask.renews, created_at=now))

        await mine.write(unit)
        action = shown(setup.action) if setup.action else None
        return MethodView(id=method_id, provider=provider.name, kind=ask.kind, renews=ask.renews, created_at=now, action=action)

    async def page(self, subject: str, limit: int, before: str | None) -> list[MethodView]:
        """Return a person's methods, newest first."""
        query = select(methods).where(methods.c.subject == subject).order_by(methods.c.id.desc()).limit(limit)
        mine = self._ctx.db.as_subject(subject)
        rows = await mine.read(lambda session: list(session.execute(query.where(methods.c.id < before) if before else query)))
        return [_view(row) for row in rows]

    async def for_renewals(self, subject: str) -> MethodView | None:
        """Return the newest method that the person gave for what becomes due, None where there is none."""
        given = select(methods).where(methods.c.subject == subject, methods.c.renews).order_by(methods.c.id.desc()).limit(1)
        row = await self._ctx.db.as_subject(subject).read(lambda session: session.execute(given).first())
        return None if row is None else _view(row)

    async def remove(self, subject: str, method_id: str) -> None:
        """Have the provider forget a method, and forget it.

        Raises:
            NotFound: there is none (code ``payments.method-not-found``).
        """
        mine = self._ctx.db.as_subject(subject)

        def find(session: Session) -> tuple[str, str]:
            row = _find(session, subject, method_id)
            return row.provider, self._open(session, row)

        name, token = await mine.read(find)
        provider = provider_named(self._ctx, name)
        await _asked(lambda: provider.detach_method(token, key=f"{method_id}:detach"))
        await mine.write(lambda session: session.execute(delete(methods).where(methods.c.id == method_id, methods.c.subject == subject)))

    async def portal(self, subject: str, ask: PortalAsk) -> ActionView:
        """Return where a person looks after methods and bills at a provider; the address holds for some minutes.

        Raises:
            Unprocessable: unknown provider, or it has no such pages (code ``payments.refused``).
            Unavailable: it does not answer.
        """
        provider = provider_named(self._ctx, ask.provider or self._config.providers[0])
        party = await self._party(subject, provider)
        action = await _asked(lambda: provider.onboarding(party, ask.return_url))
        return shown(action)

    async def provider_of(self, subject: str, method: str) -> str:
        """Return the provider that keeps a stored method, "" for a token that is none of them.

        Raises:
            NotFound: it looks like a stored method, but is not the person's (code ``payments.method-not-found``).
        """
        if not method.startswith(PREFIX):
            return ""
        row = await self._ctx.db.as_subject(subject).read(lambda session: _find(session, subject, method))
        found: str = row.provider
        return found

    def resolve(self, session: Session, subject: str, provider: str, method: str) -> tuple[str, str]:
        """Return token and party for a payment: of a stored method, or the token that came with the request and no party."""
        if not method.startswith(PREFIX):
            return method, ""
        row = _find(session, subject, method)
        if row.provider != provider:
            hint = f"It is stored at {row.provider}."
            raise Unprocessable(f"{provider} does not know this method.", code="payments.other-provider", hint=hint)
        party = select(parties.c.ref).where(parties.c.subject == subject, parties.c.provider == provider)
        return self._open(session, row), session.execute(party).scalar_one()

    async def detach_all(self, subject: str) -> None:
        """Have the providers forget all methods of a person who is erased; what one does not answer is tried again by the erasure."""
        while page := await self.page(subject, 100, None):
            for method in page:
                await self.remove(subject, method.id)

    async def _party(self, subject: str, provider: Any) -> str:
        mine = self._ctx.db.as_subject(subject)
        same = select(parties).where(parties.c.subject == subject, parties.c.provider == provider.name)
        row = await mine.read(lambda session: session.execute(same).one_or_none())
        if row is not None:
            found: str = row.ref
            return found
        party_id = self._ctx.new_id("pty")
        ref: str = await _asked(lambda: provider.ensure_party(Party(reference=party_id), key=party_id))

        def unit(session: Session) -> str:
            known = session.execute(same).one_or_none()
            if known is not None:
                return str(known.ref)
            session.execute(insert(parties).values(id=party_id, subject=subject, provider=provider.name, ref=ref))
            return ref

        return await mine.write(unit)

    def _open(self, session: Session, row: Any) -> str:
        return self._ctx.vault.open(session, subject=row.subject, place=_place(row.id), sealed=row.token).decode()


async def _asked(call: Any) -> Any:
    try:
        return await call()
    except PaymentError as error:
        if error.definite:
            raise Unprocessable(f"The provider refuses: {error.code or error}."[:300], code="payments.refused") from None
        raise Unavailable("The provider did not answer.", code="payments.provider-busy", hint="Try again.", retry_after=30) from None


def _find(session: Session, subject: str, method_id: str) -> Any:
    row = session.execute(select(methods).where(methods.c.subject == subject, methods.c.id == method_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such method.", code="payments.method-not-found", hint="GET /api/payments/methods lists yours.")
    return row


def _view(row: Any) -> MethodView:
    return MethodView(id=row.id, provider=row.provider, kind=row.kind, renews=row.renews, created_at=row.created_at)


def _place(method_id: str) -> str:
    return f"payments__methods.token:{method_id}"
