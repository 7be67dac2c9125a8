"""Messages: whatever a letter says, its headers are the ones that were meant."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai import InvalidInput, Mail
from luminai_mail.letter import compose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
LINES = st.text(LETTERS | st.just("\n"), min_size=1, max_size=300)
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}


def written(mail, name="Our hub", sender="hub@example.org"):
    raw = compose(mail, sender=sender, name=name, now=NOW)
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998, "RFC 5322, 2.1.1"
    return email.message_from_bytes(raw, policy=email.policy.default)


@given(title=st.text(LETTERS, min_size=1, max_size=200), text=LINES, html=st.just("") | LINES, name=st.text(LETTERS, max_size=100))
def test_message__any_letter__has_the_headers_that_were_meant_and_says_the_same(title, text, html, name):
    message = written(Mail(id="mail_1", to="ada@example.org", subject=title, text=text, html=html), name)

    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(set(message.keys()))
    assert (message["To"].addresses[0].addr_spec, len(message["To"].addresses)) == ("ada@example.org", 1)
    assert (message["From"].addresses[0].addr_spec, len(message["From"].addresses)) == ("hub@example.org", 1)
    assert message["Message-ID"] == "<mail_1@example.org>"
    plain = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert plain == (text if text.endswith("\n") else f"{text}\n")
    assert (message.get_body(("html",)) is not None) == bool(html)


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0b"])
def test_message__line_break_in_a_header__is_refused_for_ever(break_):
    for mail in (
        Mail(id="mail_1", to="ada@example.org", subject=f"Hello{break_}Bcc: eve@example.org", text="x"),
        Mail(id="mail_1", to=f"ada@example.org{break_}Bcc: eve@example.org", subject="Hello", text="x"),
        Mail(id=f"mail_1>{break_}Bcc: eve@example.org", to="ada@example.org", subject="Hello", text="x"),
    ):
        with pytest.raises(InvalidInput) as refused:
            compose(mail, sender="hub@example.org", name="", now=NOW)
        assert refused.value.code == "mail.bad-letter"


def test_message__long_domain__keeps_the_message_id_on_one_line_as_it_is():
    sender = f"hub@{'a' * 60}.{'b' * 60}.example.org"
    mail = Mail(id="mail_" + "0" * 32, to="ada@example.org", subject="Hello", text="x")

    assert written(mail, sender=sender)["Message-ID"] == f"<{mail.id}@{sender.rpartition('@')[2]}>"
    assert f"{mail.id}@{sender.rpartition('@')[2]}".encode() in compose(mail, sender=sender, name="", now=NOW)
