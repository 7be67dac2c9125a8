# ruff: noqa: E501, S104 - a case is a line, and nothing is bound
"""What hostile clients send, as bytes, and what the hub says to it: ``<status> <code>`` of the first answer, "" where it closes without one.

``{host}`` stands for the hub's own address. Where several answers are right (a close may overtake an answer), they are separated by ``|``.
"""

from __future__ import annotations

from collections.abc import Iterator

JSON = "/api/probe/json"
MALFORMED = "400 malformed-request"
Case = tuple[str, bytes, str]


def ask(target: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def send(body: bytes, *, target: str = JSON, kind: str = "application/json") -> bytes:
    return ask(target, f"Content-Type: {kind}", f"Content-Length: {len(body)}", method="POST", body=body)


def chunked(body: bytes, *headers: str) -> bytes:
    return ask(JSON, "Content-Type: application/json", "Transfer-Encoding: chunked", *headers, method="POST", body=body)


def lengths() -> Iterator[Case]:
    """Bodies whose length two readers could read two ways."""
    for name, value in {
        "minus": "-1", "hex": "0x2", "list": "2, 2", "spaces": "2 2", "exponent": "2e0", "empty": "", "semicolon": "2;", "letters": "two",
        "beyond 64 bits": "18446744073709551618", "30 digits": "9" * 30, "fullwidth": "\xef\xbc\x92", "underscore": "0_2", "nul": "2\0",
    }.items():  # fmt: skip
        yield f"length {name}", ask(JSON, "Content-Type: application/json", f"Content-Length: {value}", method="POST", body=b"{}"), MALFORMED
    for name, value in {
        "unknown": "xchunked", "not last": "chunked, gzip", "list": "gzip, chunked", "twice in one": "chunked, chunked", "identity": "identity",
        "tab inside": "chun\tked", "vertical tab": "\x0bchunked", "quoted": '"chunked"', "empty": "",
    }.items():  # fmt: skip
        data = ask(JSON, "Content-Type: application/json", f"Transfer-Encoding: {value}", method="POST", body=b"2\r\n{}\r\n0\r\n\r\n")
        yield f"coding {name}", data, MALFORMED
    both = ["Content-Type: application/json", "Transfer-Encoding: chunked", "Content-Length: 2"]
    yield "coding before length", ask(JSON, *both, method="POST", body=b"2\r\n{}\r\n0\r\n\r\n"), MALFORMED
    twice = ["Content-Type: application/json", "Content-Length: 2", "Content-Length: 2"]
    yield "length twice the same", ask(JSON, *twice, method="POST", body=b"{}"), MALFORMED
    yield "coding in capitals", chunked(b"2\r\n{}\r\n0\r\n\r\n").replace(b"chunked", b"ChunKED"), "200"
    yield "body of a GET", ask("/api/probe/page", "Content-Length: 2", body=b"{}"), "200"
    yield "coding with HTTP/1.0", chunked(b"2\r\n{}\r\n0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), "200|400 malformed-request"


def chunks() -> Iterator[Case]:
    """Chunks that are none, and what may stand around them."""
    end = b"\r\n0\r\n\r\n"
    yield "chunk whole", chunked(b"2\r\n{}" + end), "200"
    yield "chunk extension", chunked(b"2;a=b\r\n{}" + end), "200"
    yield "chunks of one byte", chunked(b"1\r\n{\r\n1\r\n}" + end), "200"
    yield "chunk leading zeros", chunked(b"00000002\r\n{}" + end), "200"
    for name, body in {
        "no number": b"g\r\n{}", "minus": b"-2\r\n{}", "plus": b"+2\r\n{}", "hex prefix": b"0x2\r\n{}", "beyond 64 bits": b"f" * 17 + b"\r\n{}",
        "data too long": b"1\r\n{}", "extension with NUL": b"2;\0\r\n{}", "bare LF": b"2\n{}", "space before": b" 2\r\n{}", "empty size": b"\r\n{}",
        "extension with bare CR": b"2;a\rb\r\n{}",
    }.items():  # fmt: skip
        yield f"chunk {name}", chunked(body + end), MALFORMED
    yield "chunk extension of 100 KB", chunked(b"2;" + b"a" * 100_000 + b"\r\n{}" + end), "431 headers-too-large|400 malformed-request|200"
    yield "trailer", chunked(b"2\r\n{}\r\n0\r\nX-After: 1\r\n\r\n", "Trailer: X-After"), "200"
    yield "trailer that decides", chunked(b"2\r\n{}\r\n0\r\nAuthorization: Bearer lum_x\r\n\r\n"), "200"
    yield "trailer with length", chunked(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n"), MALFORMED
    yield "trailer too long", chunked(b"2\r\n{}\r\n0\r\nX-After: " + b"a" * 200_000), "400 malformed-request|"
    yield (
        "trailers without end",
        chunked(b"2\r\n{}\r\n0\r\n" + b"X-After: 1\r\n" * 5000),
        "431 headers-too-large|400 malformed-request|408 request-timeout",
    )
    yield "chunk promised, never sent", chunked(b"ffff\r\n{"), "408 request-timeout"
    yield "endless chunks", chunked(b"400\r\n" + b" " * 1024 + b"\r\n") + (b"400\r\n" + b" " * 1024 + b"\r\n") * 400, "413 body-too-large|"


def heads() -> Iterator[Case]:
    """Heads that are no heads."""
    for name, line in {
        "obs-fold": b"X-A: 1\r\n 2", "fold of the host": b"X-A:\r\n\tlocalhost", "NUL in a value": b"X-A: 1\0", "NUL in a name": b"X\0A: 1",
        "control character": b"X-A: \x01", "no colon": b"X-A", "no name": b": 1", "space before the colon": b"X-A : 1", "leading space": b" X-A: 1",
        "bare CR": b"X-A: 1\rX-B: 2", "name beyond ASCII": b"X-\xc3\xa4: 1", "DEL in a value": b"X-A: \x7f",
    }.items():  # fmt: skip
        yield f"head {name}", b"GET /api/probe/page HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n" + line + b"\r\n\r\n", MALFORMED
    yield "head bytes beyond ASCII in a value", ask("/api/probe/page", "X-A: \xff\xfe"), "200"
    yield "head bare LF", b"GET /api/probe/page HTTP/1.1\nHost: {host}\n\n", MALFORMED
    yield "head begins with empty lines", b"\r\n\r\n" + ask("/api/probe/page"), "200"
    for name, line in {
        "unknown method": "FOO / HTTP/1.1", "lower-case method": "get / HTTP/1.1", "method of 9,000 letters": "G" * 9000 + " / HTTP/1.1",
        "HTTP/1.2": "GET / HTTP/1.2", "HTTP/0.9": "GET / HTTP/0.9", "HTTP/11": "GET / HTTP/11", "HTTP/1.1x": "GET / HTTP/1.1x",
        "no version": "GET /api/probe/page", "http in small letters": "GET / http/1.1", "only a method": "GET", "tab for a space": "GET\t/ HTTP/1.1",
        "HTTP/2 version": "GET / HTTP/2.0", "icecast": "GET / ICE/1.0", "two targets": "GET / / HTTP/1.1", "leading space": " GET / HTTP/1.1",
    }.items():  # fmt: skip
        yield f"line {name}", f"{line}\r\nHost: {{host}}\r\nConnection: close\r\n\r\n".encode(), MALFORMED
    yield "line two spaces", b"GET  /api/probe/page HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", "200|400 malformed-request"
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", MALFORMED
    yield "TLS hello", bytes.fromhex("16030100c8010000c40303") + b"\0" * 189, MALFORMED
    yield "SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n", MALFORMED
    yield "only NUL", b"\0" * 1000, MALFORMED
    yield "only empty lines", b"\r\n" * 20_000, "408 request-timeout|431 headers-too-large"
    yield "redis", b"*1\r\n$4\r\nPING\r\n", MALFORMED


def names() -> Iterator[Case]:
    """Hosts, targets and what else says where a request goes."""
    for name, value, expected in (
        ("empty", "", "421 unknown-host"), ("port of letters", "localhost:abc", "421 unknown-host"), ("port of six digits", "localhost:999999", "421 unknown-host"),
        ("open bracket", "[::1", "421 unknown-host"), ("path in it", "localhost/evil", "421 unknown-host"), ("capitals", "LOCALHOST", "200"),
        ("user in it", "evil.example@localhost", "421 unknown-host"), ("dot at the end", "localhost.", "421 unknown-host"), ("comma", "localhost, evil.example", "421 unknown-host"),
        ("zero address", "0.0.0.0", "421 unknown-host"), ("fullwidth", "\uff4cocalhost".encode().decode("latin-1"), "421 unknown-host"),
    ):  # fmt: skip
        yield f"host {name}", ask("/api/probe/page").replace(b"{host}", value.encode("latin-1")), expected
    yield "host by another header", ask("/api/probe/page", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"), "200"
    for target, expected in {
        "*": "404 unknown-route", "http://evil.example/api/probe/page": MALFORMED, "https://127.0.0.1/api/probe/page": "200", "http://localhost/api/probe/page": MALFORMED,
        "http://user:word@evil.example/api/probe/page": MALFORMED, "api/probe/page": MALFORMED, "?limit=1": MALFORMED, "http://": MALFORMED,
        "/api/probe/page#fragment": "200", "/api/../api/probe/page": "404 unknown-route", "/api/%2e%2e/probe/page": "404 unknown-route", "/api/./probe/page": "404 unknown-route",
        "/api/probe/page;a=1": "404 unknown-route", "/api/probe/..;/page": "404 unknown-route", "/api/probe/page%": "404 unknown-route", "/api/%zz": "404 unknown-route", "/api/%c0%af": "404 unknown-route",
        "/api/%u0041": "404 unknown-route", "/api/probe\\page": "404 unknown-route", "/api/probe/page%0d%0aSet-Cookie:a=b": "404 unknown-route", "/api/probe/page%20": "404 unknown-route",
        "/static/../../etc/passwd": "404 unknown-route", "/static/%2e%2e%2f%2e%2e%2fetc%2fpasswd": "404 unknown-route", "/openapi/..": "404 plugin-not-found", "/api/probe/page/": "200",
        "/api/probe/\xc3\xa9": MALFORMED, "/api/probe/\xff": MALFORMED, "/api/probe/%ed%a0%80": "404 unknown-route",
        "/API/probe/page": "404 unknown-route", "/api/prob%65/page": "200",
        "/api/probe/items/1": "200", "/api/probe/items/\u0661".encode().decode("latin-1"): MALFORMED, "/api/probe/items/%d9%a1": "404 unknown-route", "/api/probe/items/1_0": "404 unknown-route",
        "/api/probe/items/+1": "404 unknown-route", "/api/probe/items/01": "404 unknown-route", "/api/probe/items/1.0": "404 unknown-route", "/api/probe/items/nan": "404 unknown-route", "/api/probe/items/%201": "404 unknown-route",
        "/api/probe/items/9007199254740991": "200", "/api/probe/items/9007199254740992": "404 unknown-route", "/api/probe/items/9223372036854775808": "404 unknown-route", "/api/probe/items/-9223372036854775809": "404 unknown-route", "/api/probe/items/" + "9" * 5000: "404 unknown-route",
    }.items():  # fmt: skip
        yield f"target {target[:60]}", ask(target), expected
    yield "target CONNECT", ask("evil.example:443", method="CONNECT"), MALFORMED
    yield "target OPTIONS *", ask("*", method="OPTIONS"), "404 unknown-route"
    yield "target TRACE", ask("/api/probe/page", method="TRACE"), "405 method-not-allowed"


def queries() -> Iterator[Case]:
    """Parameters that are not what they say."""
    refused = "400 invalid-input"
    for query, expected in {
        "limit=1": "200", "limit=-1": refused, "limit=0": refused, "limit=101": refused, "limit=%D9%A1": refused, "limit=%2B1": refused, "limit=1_0": refused, "limit=1.5": refused,
        "limit=0x1": refused, "limit=nan": refused, "limit=": refused, "limit=%201": refused, "limit=1%00": "400 bad-text", "limit=true": refused, "limit=" + "9" * 5000: refused,
        "limit=1&limit=2": "400 duplicate-parameter", "limit=1&limit=1": "400 duplicate-parameter", "limit[]=1": "200", "ratio=nan": refused, "ratio=NaN": refused,
        "ratio=inf": refused, "ratio=-inf": refused, "ratio=Infinity": refused, "ratio=1e400": refused, "ratio=-0": "200", "ratio=%D9%A0": refused, "ratio=0_5": refused, "ratio=0,5": refused, "ratio=0x1p-1": refused,
        "exact=2": refused, "exact=yes": refused, "cursor=%00": "400 bad-text", "cursor=%ff": "200", "cursor=%ed%a0%80": "200", "cursor=" + "a" * 201: refused,
        "&" * 4000: "400 too-many-parameters", "a&" * 4000: "400 too-many-parameters", "a=1;" * 100: "200", "=&=&=": "400 duplicate-parameter", "%": "200", "a=%zz": "200",
        "__proto__=1": "200", "cursor=" + "%26" * 60: "200",
    }.items():  # fmt: skip
        yield f"query {query[:40]} ({len(query)})", ask(f"/api/probe/page?{query}"), expected


def bodies() -> Iterator[Case]:
    """JSON that is none, and JSON that no reader should have to take."""
    broken, deep, large, number = "400 malformed-body", "400 too-deep", "400 too-large-inside", "400 bad-number"
    shape, text = "400 invalid-input", b'{"text": "%b"}'
    for name, body, expected in (
        ("empty", b"", shape), ("space", b"   ", broken), ("null", b"null", shape), ("true", b"true", shape), ("list", b"[]", shape), ("text", b'"a"', shape), ("number", b"1", shape),
        ("invalid UTF-8", text % b"\xff\xfe", broken), ("overlong UTF-8", text % b"\xc0\xaf", broken), ("raw surrogate", text % b"\xed\xa0\x80", broken), ("cut UTF-8", text % b"\xe2\x82", broken),
        ("BOM", b"\xef\xbb\xbf{}", broken), ("UTF-16", '{"text": "a"}'.encode("utf-16"), broken), ("UTF-16 without BOM", "{}".encode("utf-16-le"), broken), ("UTF-32", "{}".encode("utf-32"), broken),
        ("two bytes", b'"\xff', broken), ("NUL raw", text % b"\0", broken), ("control character raw", text % b"\x01", broken), ("NUL escaped", text % b"\\u0000", "400 bad-text"),
        ("lone surrogate", text % b"\\ud800", broken), ("surrogates reversed", text % b"\\udc00\\ud800", broken), ("surrogate pair", text % b"\\ud83d\\ude00", "200"), ("bad escape", text % b"\\x41", broken),
        ("deep lists", b'{"items": ' + b"[" * 100_000, deep), ("deep objects", b'{"items": [' + b'{"a":' * 40_000, deep), ("33 deep", b'{"items": ' + b"[" * 33 + b"]" * 33 + b"}", deep),
        ("deep in an unknown field", b'{"unknown": ' + b"[" * 2000 + b"]" * 2000 + b"}", deep),
        ("5,000 digits", b'{"number": ' + b"9" * 5000 + b"}", broken), ("5,000 digits below zero", b'{"number": -' + b"9" * 5000 + b"}", broken), ("1e400", b'{"share": 1e400}', broken), ("-1e400", b'{"share": -1e400}', broken),
        ("1e-400", b'{"share": 1e-400}', "200"), ("2^53", b'{"number": 9007199254740992}', number), ("2^53 - 1", b'{"number": 9007199254740991}', "200"), ("2^63", b'{"number": 9223372036854775808}', number), ("2^64", b'{"number": 18446744073709551616}', number),
        ("1e999999999", b'{"share": 1e999999999}', broken), ("NaN", b'{"share": NaN}', broken), ("Infinity", b'{"share": Infinity}', broken), ("-0", b'{"number": -0}', "200"), ("1.0 for an integer", b'{"number": 1.0}', "200"),
        ("1.5 for an integer", b'{"number": 1.5}', shape), ("text for an integer", b'{"number": "1"}', shape), ("true for an integer", b'{"number": true}', shape), ("leading zero", b'{"number": 01}', broken), ("plus", b'{"number": +1}', broken),
        ("hex", b'{"number": 0x1}', broken), ("duplicate keys", b'{"number": 1, "number": 2}', "200"), ("unknown field", b'{"more": 1}', shape), ("prototype", b'{"__proto__": {}}', shape),
        ("comma at the end", b'{"number": 1,}', broken), ("comment", b"{/**/}", broken), ("single quotes", b"{'number': 1}", broken), ("more after it", b"{} {}", broken), ("JSON lines", b"{}\n{}", broken),
        ("text of 70,000", text % (b"a" * 70_000), large), ("11,000 items", b'{"items": [' + b"1," * 11_000 + b"1]}", large), ("300 keys", b"{" + b",".join(b'"%d": 1' % n for n in range(300)) + b"}", large),
        ("key of 100 KB", b'{"' + b"k" * 100_000 + b'": 1}', "400 too-large-inside"), ("300 KB", text % (b"a" * 300_000), "413 body-too-large|"),
    ):  # fmt: skip
        yield f"json {name}", send(body), expected
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "text/json",
        "application/json, text/plain",
        "",
        "*/*",
        "application/msgpack",
    ):
        yield f"type {kind}", send(b"{}", kind=kind), "415 unsupported-media-type"
    for kind in ("APPLICATION/JSON", "application/json; charset=utf-8", "application/json;charset=nope", "application/json; charset=utf-16"):
        yield f"type {kind}", send(b"{}", kind=kind), "200"
    yield "no type", ask(JSON, "Content-Length: 2", method="POST", body=b"{}"), "415 unsupported-media-type"
    yield "type twice", send(b"{}").replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\n"), "400 duplicate-header"


def forms() -> Iterator[Case]:
    """Multipart and URL-encoded bodies."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
    end, refused, broken = b"--b--\r\n", "400 invalid-input", "400 malformed-body"
    kind = "multipart/form-data; boundary=b"
    for name, body, expected in (
        ("whole", part + end, "200"), ("no file", b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n' + end, refused), ("empty", b"", refused), ("only the end", end, refused),
        ("charset of a part", part.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=nope\r\n\r\n") + end, "200"),
        ("charset of a field", b'--b\r\nContent-Disposition: form-data; name="note"\r\nContent-Type: text/plain; charset=nope\r\n\r\nx\r\n' + part + end, broken),
        ("5,000 headers of a part", part.replace(b"\r\n\r\n", b"\r\n" + b"X-A: 1\r\n" * 5000 + b"\r\n") + end, broken), ("header of 100 KB", part.replace(b"\r\n\r\n", b"\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n") + end, broken),
        ("unterminated", part, broken), ("nothing but preamble", b"a" * 200_000, broken), ("9 MB preamble", b"a" * 9_000_000 + part + end, "413 body-too-large|"), ("no disposition", b"--b\r\nX-A: 1\r\n\r\nx\r\n" + end, broken),
        ("no name", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + end, refused), ("name beyond UTF-8", b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n' + end, broken),
        ("field beyond UTF-8", b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n\xff\xfe\r\n' + part + end, broken), ("name of a path", part.replace(b"a.txt", b"../../etc/passwd") + end, "200"),
        ("name with NUL", part.replace(b"a.txt", b"a\0.txt") + end, "200"), ("name of 100 KB", part.replace(b"a.txt", b"a" * 100_000) + end, broken), ("bare LF", (part + end).replace(b"\r\n", b"\n"), broken),
        ("51 parts", b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n' * 50 + part + end, broken), ("file twice", part + part + end, refused),
        ("extended name", part.replace(b'filename="a.txt"', b"filename*=utf-8''%ff%fe") + end, refused), ("endless quote", part.replace(b'"a.txt"', b'"' + b"\\" * 10_000) + end, broken),
        ("base64", part.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + end, "200"), ("file for a field", part.replace(b'"file"', b'"note"') + part + end, "400 invalid-input"),
        ("field for a file", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n' + end, "400 invalid-input"),
    ):  # fmt: skip
        yield f"upload {name}", send(body, target="/api/probe/upload", kind=kind), expected
    for name, value in {"none": "multipart/form-data", "empty": "multipart/form-data; boundary=", "of 300": "multipart/form-data; boundary=" + "b" * 300, "other": "multipart/form-data; boundary=c", "quoted": 'multipart/form-data; boundary="b', "beyond ASCII": "multipart/form-data; boundary=\xff"}.items():  # fmt: skip
        yield f"boundary {name}", send(part + end, target="/api/probe/upload", kind=value), broken
    for name, body, expected in (
        ("whole", b"name=a", "200"), ("bad percent", b"name=%zz", "200"), ("beyond UTF-8", b"name=%ff%fe", "200"), ("raw bytes", b"name=\xff\xfe", "200"), ("NUL", b"name=%00", "400 bad-text"), ("raw NUL", b"name=\0", "400 bad-text"),
        ("5,000 fields", b"&".join(b"a%d=1" % n for n in range(5000)), "400 too-many-parameters"), ("twice", b"name=a&name=b", refused), ("too long", b"name=" + b"a" * 101, "400 invalid-input"), ("empty", b"", "200"),
    ):  # fmt: skip
        yield f"form {name}", send(body, target="/api/probe/form", kind="application/x-www-form-urlencoded"), expected


def manners() -> Iterator[Case]:
    """Several requests at once, promises and upgrades."""
    page = b"GET /api/probe/page HTTP/1.1\r\nHost: {host}\r\n\r\n"
    yield "pipeline of 50", page * 50 + ask("/api/probe/page"), "200"
    yield "pipeline then garbage", page + b"\0\1\2\r\n\r\n", "200|400 malformed-request"
    yield "pipeline behind a body", send(b"{}").replace(b"Connection: close\r\n", b"") + ask("/api/probe/page"), "200"
    yield "pipeline then an endless head", page + b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X-A: 1\r\n" * 20_000, "200|431 headers-too-large"
    yield "pipeline then a large head", page + ask("/api/probe/page", "X-A: " + "a" * 9000), "200|431 headers-too-large"
    yield "pipeline behind a bad request", b"GET / HTTP/1.1\r\nBad Header: 1\r\n\r\n" + page, MALFORMED
    smuggled = b"GET /api/admin/plugins HTTP/1.1\r\nX: "
    yield "smuggled in a body", send(smuggled).replace(b"Connection: close\r\n", b"") + ask("/api/probe/page"), "400 malformed-body"
    yield "HEAD", ask("/api/probe/page", method="HEAD"), "200"
    yield "HEAD of what fails", ask("/api/nowhere", method="HEAD"), "404"
    json = ["Content-Type: application/json", "Content-Length: 2"]
    yield "expect and send", ask(JSON, "Expect: 100-continue", *json, method="POST", body=b"{}"), "100|200"
    yield "expect and wait", ask(JSON, "Expect: 100-continue", *json, method="POST"), "100|408 request-timeout"
    yield "expect nonsense", ask(JSON, "Expect: the-unexpected", *json, method="POST", body=b"{}"), "200"
    yield (
        "expect too much",
        ask(JSON, "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 99999999", method="POST"),
        "413 body-too-large",
    )
    yield (
        "upgrade to h2c",
        ask("/api/probe/page", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__").replace(b"n: close", b"n: Upgrade, HTTP2-Settings"),
        "200",
    )
    socket = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    up = (b"Connection: close", b"Connection: Upgrade")
    yield "socket key of two bytes", ask("/api/probe/push", *socket[:2], "Sec-WebSocket-Key: YQ==").replace(*up), "400"
    yield "socket without key", ask("/api/probe/push", *socket[:2]).replace(*up), "400"
    yield "socket version 12", ask("/api/probe/push", "Upgrade: websocket", "Sec-WebSocket-Version: 12", socket[2]).replace(*up), "400"
    yield "socket where there is none", ask("/api/probe/page", *socket).replace(*up), "403"
    yield "socket by POST", ask("/api/probe/push", *socket, method="POST").replace(*up), "405"
    yield "socket for a foreign host", ask("/api/probe/push", *socket).replace(*up).replace(b"{host}", b"evil.example"), "421 unknown-host"
    for name, value, expected in (
        ("no secret", "Bearer", "401 bad-credential"), ("empty", "", "401 bad-credential"), ("8 KB", "Bearer " + "a" * 8000, "401 bad-credential"), ("beyond ASCII", "Bearer \xff", "401 bad-credential"),
        ("a JWT of nothing", "Bearer ..", "401 bad-credential"), ("alg none", "Bearer eyJhbGciOiJub25lIn0.e30.", "401 bad-credential"), ("two words", "Bearer a b", "401 bad-credential"), ("basic", "Basic OjE=", "401 bad-credential"),
    ):  # fmt: skip
        yield f"credential {name}", ask("/api/admin/plugins", f"Authorization: {value}"), expected
    for name, value in {"empty": "", "300 letters": "a" * 300, "beyond ASCII": "\xff", "tab": "a\tb"}.items():
        yield (
            f"idempotency key {name}",
            send(b"{}").replace(b"\r\n\r\n", f"\r\nIdempotency-Key: {value}\r\n\r\n".encode("latin-1")),
            "400 bad-idempotency-key",
        )
    yield "cookies", ask("/api/probe/page", "Cookie: " + "; ".join(f"a{n}=\xff" for n in range(500))), "200"
    yield "cookie of no shape", ask("/api/probe/page", 'Cookie: ="";;=\x80'), "200"
    yield "accept of no shape", ask("/api/nowhere", "Accept: ;q=nan,*/*;q=9,text/"), "404 unknown-route"
    yield "origin null", ask("/api/probe/page", "Origin: null"), "200"
    yield "range", ask("/api/probe/page", "Range: bytes=0-,1-,2-,-1"), "200"


CASES: list[Case] = [case for family in (lengths, chunks, heads, names, queries, bodies, forms, manners) for case in family()]
