"""Letters through a real mail server: each failure that SMTP knows, and the whole path from a unit of work to the mailbox."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from luminai import ConfigRejected
from luminai.testing import FrozenClock, running_hub
from luminai_mail.config import MailConfig, check_settings

ADDRESS = "ada@example.org"


def settings(port, certificate=None, **more):
    """Return settings for the server on this machine: with a certificate STARTTLS and a login, without neither."""
    base = {"host": "localhost", "port": port, "from-address": "hub@example.org", "timeout": 5}
    if certificate is None:
        return base | {"security": "none"} | more
    return base | {"ca-file": str(certificate), "username": "hub@example.org", "password": "env:MAIL_PASSWORD"} | more


async def put(hub, **more):
    letter = {"subject": "hub", "to": ADDRESS, "title": "Your link", "text": "https://hub.example.org/verify\n"} | more
    return await hub.hub.database.write(lambda session: hub.hub.mail.queue.put(session, **letter))


async def look(hub, letter_id):
    return (await hub.client("*").request("GET", f"/api/admin/mail/{letter_id}")).json()


async def state(hub, letter_id):
    letter = (await look(hub, letter_id))["letter"]
    return letter["state"], letter["attempts"], letter["error"].partition(":")[0]


def run(work):
    async def limited():
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(limited())


def test_letter__put_in_a_unit__arrives_whole_over_tls_with_login_and_is_forgotten(make_post, serving, certificate):
    async def main():
        post = make_post()
        async with serving(post, tls=certificate) as port, running_hub("mail", config={"mail": settings(port, certificate)}) as hub:
            text = "Grüße,\n.\n..\nFrom here on\nhttps://hub.example.org/verify?token=" + "x" * 200 + "\n"
            letter_id = await put(hub, title="Bestätigen Sie Ihre Adresse ✓", text=text, html="<p>Grüße</p>\n")
            await post.came.wait()  # nobody called the worker: the put woke it
            await hub.hub.mail.settle()
            (taken,) = post.letters
            message = taken.message
            assert (taken.sender, taken.to, taken.tls) == ("hub@example.org", [ADDRESS], True)
            assert message["Message-ID"] == f"<{letter_id}@example.org>"
            assert (message["From"], message["To"], message["Subject"]) == ("hub@example.org", ADDRESS, "Bestätigen Sie Ihre Adresse ✓")
            assert message["Auto-Submitted"] == "auto-generated"
            plain, html = message.get_body(("plain",)), message.get_body(("html",))
            assert plain.get_content().replace("\r\n", "\n") == text
            assert html.get_content() == "<p>Grüße</p>\r\n"
            found = await look(hub, letter_id)
            assert (found["letter"]["state"], found["text"], found["html"]) == ("sent", "", "")

    run(main)


def test_letter__tls_from_the_first_byte__arrives(make_post, serving, certificate):
    async def main():
        post = make_post()
        wanted = {"security": "tls", "username": ""}
        async with (
            serving(post, tls=certificate, starttls=False, auth=False) as port,
            running_hub("mail", config={"mail": settings(port, certificate, **wanted)}) as hub,
        ):
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert (await state(hub, letter_id))[0] == "sent"

    run(main)


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_letter__answered_4xx__is_tried_again_with_the_same_message_id(make_post, serving, step):
    async def main():
        post, clock = make_post(), FrozenClock()
        post.answers[step].append("450 4.2.0 greylisted, try later")
        async with serving(post, auth=False) as port, running_hub("mail", config={"mail": settings(port)}, clock=clock) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.not-now")
            clock.advance(59)
            await hub.hub.mail.settle()
            assert len(post.asked) == 1
            clock.advance(1)
            await hub.hub.mail.settle()
            assert (await state(hub, letter_id))[:2] == ("sent", 2)
            assert [one.message["Message-ID"] for one in post.letters] == [f"<{letter_id}@example.org>"]

    run(main)


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_letter__answered_5xx__is_never_tried_again_until_an_operator_says_so(make_post, serving, step):
    async def main():
        post, clock = make_post(), FrozenClock()
        post.answers[step].append(f"550 5.1.1 <{ADDRESS}>: no such user")
        async with serving(post, auth=False) as port, running_hub("mail", config={"mail": settings(port)}, clock=clock) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            for _ in range(10):
                clock.advance(3600)
                await hub.hub.mail.settle()
            found = (await look(hub, letter_id))["letter"]
            assert (found["state"], found["attempts"], len(post.asked)) == ("failed", 1, 1)
            assert "550" in found["error"]
            assert ADDRESS not in found["error"]
            answer = await hub.client("hub:mail").request("POST", f"/api/admin/mail/{letter_id}/retry")
            assert answer.json()["state"] == "waiting"
            await hub.hub.mail.settle()
            assert (await state(hub, letter_id))[0] == "sent"

    run(main)


def test_letter__server_is_not_there__waits_and_arrives_once_when_it_comes(make_post, serving):
    async def main():
        post, clock = make_post(), FrozenClock()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with running_hub("mail", config={"mail": settings(port)}, clock=clock) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.unreachable")
            clock.advance(16 * 60)
            health = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()
            assert {check["name"] for check in health["checks"] if check["state"] == "degraded"} == {"server", "mail"}
            async with serving(post, auth=False, port=port):
                clock.advance(16 * 60)  # the hub's own worker may have tried once more before the server was there
                await hub.hub.mail.settle()
                assert (await state(hub, letter_id))[0] == "sent"
                await hub.hub.mail.settle()
                clock.advance(61)
                health = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()
                assert {check["state"] for check in health["checks"]} == {"ok"}
        assert len(post.letters) == 1

    run(main)


@pytest.mark.parametrize("security", ["none", "tls"])
def test_letter__server_hangs__the_deadline_ends_the_connection_and_the_letter_waits(monkeypatch, security):
    monkeypatch.setattr("luminai.host.mail_transport.SEND_SECONDS", 0.3)

    async def main():
        ended = asyncio.Event()

        async def hang(reader, writer):
            writer.write(b"220 mail.test\r\n" if security == "none" else b"")
            while await reader.read(100):
                pass  # never an answer, nor a handshake
            ended.set()
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        async with server, running_hub("mail", config={"mail": settings(server.sockets[0].getsockname()[1], security=security, timeout=20)}) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "deadline-exceeded")
            async with asyncio.timeout(10):  # twice as quick as the socket's own deadline: the thread does not stay
                await ended.wait()

    run(main)


def test_letter__answer_to_data_is_lost__is_sent_again_under_the_same_message_id(make_post, serving):
    async def main():
        post, clock = make_post(), FrozenClock()
        post.answers["DATA"].append("hang up")
        async with serving(post, auth=False) as port, running_hub("mail", config={"mail": settings(port)}, clock=clock) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.answer-lost")
            clock.advance(60)
            await hub.hub.mail.settle()
            assert (await state(hub, letter_id))[0] == "sent"
            assert [one.message["Message-ID"] for one in post.letters] == [f"<{letter_id}@example.org>"] * 2

    run(main)


def test_letter__wrong_password__waits_and_the_password_shows_nowhere(make_post, serving, certificate, monkeypatch, records):
    monkeypatch.setenv("MAIL_PASSWORD", "wrong-and-secret")

    async def main():
        post = make_post()
        async with serving(post, tls=certificate) as port, running_hub("mail", config={"mail": settings(port, certificate)}) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.login-refused")
            assert "wrong-and-secret" not in repr(await look(hub, letter_id))
        assert post.letters == []

    run(main)
    assert not [line for line in records.lines if "wrong-and-secret" in repr(line.__dict__)]


def test_letter__certificate_of_another_host_or_unknown_issuer__nothing_is_said(make_post, serving, other_certificate):
    async def main(trusted):
        post = make_post()
        config = settings(0, other_certificate) | trusted
        async with serving(post, tls=other_certificate) as port, running_hub("mail", config={"mail": config | {"port": port}}) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.bad-certificate")
        assert post.asked == []

    run(lambda: main({}))
    run(lambda: main({"ca-file": ""}))


def test_letter__server_without_starttls__nothing_goes_out_in_plain_text(make_post, serving):
    async def main():
        post = make_post()
        async with serving(post, auth=False) as port, running_hub("mail", config={"mail": settings(port, security="starttls")}) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert await state(hub, letter_id) == ("waiting", 1, "mail.not-offered")
        assert post.asked == []

    run(main)


def test_swap__while_a_letter_is_being_sent__waits_for_it_and_it_goes_out_once(make_post, serving):
    async def main():
        post = make_post()
        post.hold = asyncio.Event()
        async with serving(post, auth=False) as port, running_hub("mail", config={"mail": settings(port)}) as hub:
            letters = [await put(hub), await put(hub)]
            await post.came.wait()
            swap = asyncio.create_task(hub.swap("mail"))
            while hub.hub.generation.number == 1:  # noqa: ASYNC110 - nothing tells of a new generation
                await asyncio.sleep(0)
            assert not swap.done()
            post.hold.set()
            await swap
            await hub.hub.mail.settle()
            assert [await state(hub, one) for one in letters] == [("sent", 1, "")] * 2
        assert len(post.letters) == 2

    run(main)


def test_stop__while_a_letter_is_being_sent__it_is_settled_first(make_post, serving, tmp_path):
    async def main():
        post = make_post()
        post.hold = asyncio.Event()
        async with serving(post, auth=False) as port:
            config = {"mail": settings(port)}
            async with running_hub("mail", config=config, folder=tmp_path) as hub:
                letter_id = await put(hub)
                await post.came.wait()
                asyncio.get_running_loop().call_later(0.2, post.hold.set)
            async with running_hub("mail", config=config, folder=tmp_path) as hub:
                assert await state(hub, letter_id) == ("sent", 1, "")
        assert len(post.letters) == 1

    run(main)


KILLED = """
import asyncio, sys
from pathlib import Path
from luminai.testing import running_hub

async def main():
    settings = {"host": "localhost", "port": int(sys.argv[2]), "security": "none", "from-address": "hub@example.org"}
    async with running_hub("mail", config={"mail": settings}, folder=Path(sys.argv[1])) as hub:
        queue = hub.hub.mail.queue
        put = lambda session: queue.put(session, subject="hub", to="ada@example.org", title="T", text="Once or twice.")
        print(await hub.hub.database.write(put), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_process__killed_between_the_servers_yes_and_the_mark__another_sends_the_same_letter_again(make_post, serving, tmp_path):
    async def main():
        post = make_post()
        post.hold = asyncio.Event()
        async with serving(post, auth=False) as port:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path), str(port), stdout=subprocess.PIPE)
            letter_id = (await process.stdout.readline()).decode().strip()
            await post.came.wait()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            post.hold.set()
            clock = FrozenClock(datetime.now(UTC))
            async with running_hub("mail", config={"mail": settings(port)}, folder=tmp_path, clock=clock) as hub:
                await hub.hub.mail.settle()
                found = (await look(hub, letter_id))["letter"]
                assert (found["state"], found["sending"], len(post.letters)) == ("waiting", True, 1)
                clock.advance(timedelta(minutes=2).total_seconds())
                await hub.hub.mail.settle()
                assert await state(hub, letter_id) == ("sent", 2, "")
        assert [one.message["Message-ID"] for one in post.letters] == [f"<{letter_id}@example.org>"] * 2

    run(main)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"host": "mail.example.org", "security": "none"}, "mail.not-encrypted"),
        ({"host": "127.0.0.1.example.org", "security": "none"}, "mail.not-encrypted"),
        ({"host": "10.0.0.1", "security": "none"}, "mail.not-encrypted"),
        ({"host": "localhost", "username": "hub"}, "mail.no-password"),
    ],
)
def test_settings__unsafe__the_plugin_does_not_run_and_says_why(given, code):
    async def main():
        async with running_hub("mail", config={"mail": {"from-address": "hub@example.org"} | given}) as hub:
            status = hub.status("mail")
            assert (status.state, status.code, status.running) == ("failed", code, False)
            assert status.errors[0].hint

    run(main)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_settings__unencrypted_on_this_machine__are_taken(host):
    assert check_settings(MailConfig(host=host, security="none", from_address="hub@example.org")).host == host


def test_settings__unencrypted_elsewhere__are_refused_with_the_key():
    with pytest.raises(ConfigRejected) as refused:
        check_settings(MailConfig(host="::2", security="none", from_address="hub@example.org"))
    assert [item.pointer for item in refused.value.errors] == ["security"]


def test_config_test__right_and_wrong_password__says_so_and_sends_no_letter(make_post, serving, certificate, tmp_path):
    luminai = Path(sys.executable).parent / "luminai"
    text = f"""
[plugins.mail]
enabled = true
approve = ["secrets"]
[plugins.mail.config]
host = "localhost"
from-address = "hub@example.org"
ca-file = "{certificate}"
username = "hub@example.org"
password = "env:MAIL_PASSWORD"
port = """

    async def attempt(port, password):
        (tmp_path / "config.toml").write_text(f"{text}{port}\n")
        env = {name: value for name, value in os.environ.items() if not name.startswith("LUMINAI_")} | {"MAIL_PASSWORD": password}
        command = [luminai, "config", "test", "mail"]
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = b"".join(await process.communicate()).decode()
        return process.returncode, said

    async def main():
        post = make_post()
        async with serving(post, tls=certificate) as port:
            code, said = await attempt(port, "correct horse")
            assert code == 0, said
            code, said = await attempt(port, "wrong-and-secret")
            assert code != 0
            assert "mail.login-refused" in said
            assert "wrong-and-secret" not in said
        assert post.asked == []

    run(main)


@pytest.mark.parametrize(
    ("command", "answer", "expected"),
    [
        ("MAIL", "550 5.7.1 not this sender", ("waiting", "mail.not-now")),
        ("RCPT", "530 5.7.0 sign in first", ("waiting", "mail.login-refused")),
        ("RCPT", "251 will forward", ("sent", "")),
        ("DATA", "554 5.6.0 no letters like this", ("failed", "mail.refused")),
        ("DATA", "421 4.3.2 closing", ("waiting", "mail.not-now")),
        ("QUIT", "500 what", ("sent", "")),
        ("EHLO", "554 no", ("waiting", "mail.not-now")),
        ("RCPT", "nonsense", ("waiting", "mail.not-now")),
        ("RCPT", "550-\x1b[31mred\r\n550 " + "x" * 400, ("failed", "mail.refused")),
    ],
)
def test_letter__server_answers_a_command_oddly__is_settled_by_whose_fault_it_is(command, answer, expected):
    async def talk(reader, writer):
        writer.write(b"220 mail.test\r\n")
        while line := (await reader.readline()).decode():
            verb = line[:4].upper()
            if verb in (command, "HELO" if command == "EHLO" else command):
                writer.write(f"{answer}\r\n".encode())
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 OK\r\n")
            else:
                writer.write(b"250 OK\r\n")
        writer.close()

    async def main():
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, running_hub("mail", config={"mail": settings(server.sockets[0].getsockname()[1])}) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            found = (await look(hub, letter_id))["letter"]
            assert (found["state"], found["error"].partition(":")[0]) == expected
            assert found["error"].isprintable()

    run(main)
