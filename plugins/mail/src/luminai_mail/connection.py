"""The blocking half: one connection to the mail server, used in a thread."""

from __future__ import annotations

import contextlib
import smtplib
import socket  # conformance: the connection is ended from outside when a deadline passes, which smtplib alone cannot
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from luminai import HubError, InvalidInput, Unavailable
from luminai_mail.config import MailConfig

_LOGIN_CODES: Final = (530, 534, 535, 538)
"""RFC 4954: about us and not about the letter."""


class Connection:
    """One visit to the server.

    Args:
        folder: Where a relative ``ca-file`` lies.
    """

    def __init__(self, config: MailConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._handle: socket.socket | None = None
        self._is_aborted = False

    def abort(self) -> None:
        """End whatever the thread waits for; called from another one."""
        self._is_aborted = True
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def look(self, *, login: bool) -> None:
        """See that the server answers, with TLS and, if wanted, the login.

        Raises:
            Unavailable: it does not.
        """
        with self._open(login=login) as smtp:
            _expect(smtp.noop(), (250,), "NOOP")

    def hand_over(self, to: str, message: bytes) -> None:
        """Return when the server has taken the message.

        Raises:
            Unavailable: not now.
            InvalidInput: never (code ``mail.refused``).
        """
        with self._open(login=True) as smtp:
            # a refused sender is our settings' fault and not the letter's, so the letter waits
            _expect(smtp.mail(self._config.from_address), (250,), "MAIL FROM")
            _expect(smtp.rcpt(to), (250, 251), "RCPT TO", final=True)
            try:
                answer = smtp.data(message)
            except smtplib.SMTPDataError as error:  # refused before anything was said
                answer = (error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode())
            except OSError as error:
                detail = "The connection ended before the server's answer; the letter may have been taken, and may arrive twice."
                raise Unavailable(detail, code="mail.answer-lost") from error
            _expect(answer, (250,), "DATA", final=True)

    @contextmanager
    def _open(self, *, login: bool) -> Iterator[smtplib.SMTP]:
        with _translated(self._config), self._connect() as sock:
            config = self._config
            smtp = smtplib.SMTP(local_hostname=config.from_address.rpartition("@")[2], timeout=config.timeout)
            smtp._host = config.host  # type: ignore[attr-defined]  # noqa: SLF001 - what starttls compares the certificate with
            smtp.sock = self._context().wrap_socket(sock, server_hostname=config.host) if config.security == "tls" else sock
            try:
                _expect(smtp.getreply(), (220,), "the connection")
                if config.security == "starttls":
                    smtp.starttls(context=self._context())
                smtp.ehlo_or_helo_if_needed()
                if login and config.username and config.password is not None:
                    _log_in(smtp, config.username, config.password.reveal)
                yield smtp
                with contextlib.suppress(OSError):  # smtplib's own among them; what was to be done is done
                    smtp.quit()
            finally:
                smtp.close()

    @contextmanager
    def _connect(self) -> Iterator[socket.socket]:
        with socket.create_connection((self._config.host, self._config.port), self._config.timeout) as sock, sock.dup() as handle:
            self._handle = handle  # TLS takes the socket over; through the second handle it can be ended in the middle of a handshake too
            try:
                if self._is_aborted:
                    raise TimeoutError
                yield sock
            finally:
                self._handle = None

    def _context(self) -> ssl.SSLContext:
        if not self._config.ca_file:
            return ssl.create_default_context()
        path = self._folder / self._config.ca_file
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"{path.name} holds no certificates that can be read.", code="mail.bad-ca-file", hint="Check ca-file.") from error


def _log_in(smtp: smtplib.SMTP, username: str, reveal: Callable[[], str]) -> None:
    try:
        smtp.login(username, reveal())
    except UnicodeEncodeError:  # its text and its traceback hold the password
        raise Unavailable("Username and password must be ASCII.", code="mail.login-refused", hint="Choose another password.") from None
    except smtplib.SMTPException as error:
        if type(error) is not smtplib.SMTPException:
            raise
        raise Unavailable("The mail server offers no way to sign in that is known here.", code="mail.not-offered") from error


def _expect(answer: tuple[int, bytes], good: tuple[int, ...], what: str, *, final: bool = False) -> None:
    """Raise unless the server's code is good; with ``final`` a 5xx is about this letter and for ever (RFC 5321, 4.2.1)."""
    code, text = answer
    if code not in good:
        raise _refusal(code, text, what, final=final)


def _refusal(code: int, text: bytes, what: str, *, final: bool = False) -> HubError:
    said = "".join(sign if sign.isprintable() else " " for sign in text.decode("utf-8", "replace"))[:300]
    detail = f"The mail server answered {code} to {what}: {said}"
    if final and 500 <= code <= 599 and code not in _LOGIN_CODES:
        return InvalidInput(detail, code="mail.refused")
    return Unavailable(detail, code="mail.login-refused" if code in _LOGIN_CODES else "mail.not-now")


@contextmanager
def _translated(config: MailConfig) -> Iterator[None]:
    """Raise what the libraries raise as the hub's errors."""
    where = f"{config.host}:{config.port}"
    try:
        yield
    except HubError:
        raise
    except smtplib.SMTPAuthenticationError as error:
        hint = "Check username and password; many services want a password made for programs."
        raise Unavailable(f"The mail server refused the login ({error.smtp_code}).", code="mail.login-refused", hint=hint) from error
    except smtplib.SMTPNotSupportedError as error:
        hint = 'Port 465 usually wants security = "tls"; a login needs encryption on most servers.'
        raise Unavailable(f"{where} does not offer what the settings ask for: {error}", code="mail.not-offered", hint=hint) from error
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        raise _refusal(error.smtp_code, text, "a command") from error
    except ssl.SSLCertVerificationError as error:
        hint = "host must be a name that the certificate holds; for a certificate authority of your own set ca-file."
        raise Unavailable(f"The certificate of {where} does not hold: {error.verify_message}", code="mail.bad-certificate", hint=hint) from error
    except ssl.SSLError as error:
        hint = 'Port 465 wants security = "tls", port 587 "starttls".'
        raise Unavailable(f"No encryption with {where}: {error.reason}", code="mail.tls-failed", hint=hint) from error
    except OSError as error:  # what smtplib raises is one too
        reason = error.strerror or "it does not answer, or not as a mail server does"
        raise Unavailable(f"{where} cannot be reached: {reason}.", code="mail.unreachable", hint="Check host, port and firewall.") from error
