# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``StorageBackend`` must do. A plugin's tests subclass ``StorageContract`` as ``Test…`` and give it a backend."""

from __future__ import annotations

import asyncio
import hashlib
import string
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai.contracts.errors import Conflict, HubError, InvalidInput, NotFound, Unprocessable
from luminai.contracts.storage import StorageBackend

_segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=260).filter(lambda part: part not in (".", ".."))
keys = st.lists(_segments, min_size=1, max_size=4).map("/".join).filter(lambda key: len(key) <= 512)
BAD_KEYS = ("", ".", "..", "/a", "a/", "a//b", "a/../b", "./a", "a b", "ä", "a\\b", "a\x00", "a\n", "a" * 513, "~", "a+b")


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    """Return all chunks as one."""
    return b"".join([chunk async for chunk in chunks])


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield ``parts``."""
    for part in parts:
        yield part


class StorageContract:
    """The conformance suite."""

    def backend(self, folder: Path) -> AbstractAsyncContextManager[StorageBackend]:
        """Return an empty, started backend for the length of a block; ``folder`` is the test's own."""
        raise NotImplementedError

    def test_put__then_open__gives_the_bytes_and_their_digest(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                content = bytes(range(256)) * 4096
                info = await backend.put("a/b.bin", pieces(content[:7], b"", content[7:]), content_type="x/y", meta={"k": "v"})
                assert (info.key, info.size, info.sha256) == ("a/b.bin", len(content), hashlib.sha256(content).hexdigest())
                assert (info.content_type, info.meta) == ("x/y", {"k": "v"})
                assert info.modified_at.tzinfo is not None
                assert await backend.stat("a/b.bin") == info
                assert await collect(backend.open("a/b.bin")) == content

        asyncio.run(main())

    @pytest.mark.parametrize(("start", "end"), [(0, None), (0, 0), (3, 7), (9, None), (10, None), (50, None), (5, 500)])
    def test_open__range__gives_that_slice(self, tmp_path: Path, start: int, end: int | None) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                await backend.put("k", b"0123456789")
                assert await collect(backend.open("k", start=start, end=end)) == b"0123456789"[start:end]

        asyncio.run(main())

    def test_missing_object__open_and_stat__raise_not_found(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                with pytest.raises(NotFound):
                    await collect(backend.open("none"))
                with pytest.raises(NotFound):
                    await backend.stat("a/none")
                await backend.delete("none")

        asyncio.run(main())

    def test_delete__twice__is_the_same_as_once(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                await backend.put("a", b"1")
                await backend.put("a/b", b"2")
                await backend.delete("a/b")
                await backend.delete("a/b")
                with pytest.raises(NotFound):
                    await backend.stat("a/b")
                assert await collect(backend.open("a")) == b"1"

        asyncio.run(main())

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_bad_key__every_call__is_refused(self, tmp_path: Path, key: str) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                for call in (backend.put(key, b""), backend.stat(key), backend.delete(key), collect(backend.open(key))):
                    with pytest.raises(InvalidInput):
                        await call

        asyncio.run(main())

    def test_put__wrong_digest__is_a_conflict_and_keeps_the_old(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                await backend.put("k", b"old", sha256=hashlib.sha256(b"old").hexdigest())
                with pytest.raises(Conflict) as refused:
                    await backend.put("k", b"new", sha256="0" * 64)
                assert refused.value.code == "digest-mismatch"
                assert await collect(backend.open("k")) == b"old"

        asyncio.run(main())

    def test_put__source_fails__keeps_the_old(self, tmp_path: Path) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionResetError

        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                await backend.put("k", b"old")
                with pytest.raises((ConnectionResetError, HubError)):
                    await backend.put("k", broken())
                assert await collect(backend.open("k")) == b"old"

        asyncio.run(main())

    def test_put__cancelled_while_it_streams__keeps_the_old(self, tmp_path: Path) -> None:
        async def main() -> None:
            waiting = asyncio.Event()

            async def endless() -> AsyncIterator[bytes]:
                yield b"half"
                waiting.set()
                await asyncio.Event().wait()

            async with self.backend(tmp_path) as backend:
                await backend.put("k", b"old")
                task = asyncio.create_task(backend.put("k", endless()))
                await waiting.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await collect(backend.open("k")) == b"old"
                assert [item.key for item in (await backend.list()).items] == ["k"]

        asyncio.run(main())

    def test_put__same_key_at_once__leaves_one_whole_object(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                contents = [bytes([number]) * 50_000 for number in range(12)]
                reads: list[bytes] = []

                async def read() -> None:
                    reads.extend([await collect(backend.open("k")) for _ in range(20)])

                await backend.put("k", contents[0])
                await asyncio.gather(*(backend.put("k", pieces(one[:9], one[9:])) for one in contents), read())
                assert all(one in contents for one in [*reads, await collect(backend.open("k"))])
                assert (await backend.stat("k")).sha256 == hashlib.sha256(await collect(backend.open("k"))).hexdigest()

        asyncio.run(main())

    def test_presign__without_the_capability__is_not_supported(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.backend(tmp_path) as backend:
                if not backend.capabilities().presign:
                    with pytest.raises(Unprocessable) as refused:
                        await backend.presign("k", expires=60)
                    assert refused.value.code == "not-supported"

        asyncio.run(main())

    def test_list__any_keys__is_ordered_paged_and_filtered(self) -> None:
        # a function of this call: a method with @given would be shared by every subclass of a run, which hypothesis refuses
        @settings(max_examples=30, deadline=None)
        @given(stored=st.lists(keys, min_size=1, max_size=12, unique=True), limit=st.integers(1, 5), data=st.data())
        def check(stored: list[str], limit: int, data: st.DataObject) -> None:
            whole = data.draw(st.sampled_from(stored))
            prefix = whole[: data.draw(st.integers(0, len(whole)))]

            async def main(folder: Path) -> None:
                async with self.backend(folder) as backend:
                    for key in stored:
                        await backend.put(key, key.encode())
                    found: list[str] = []
                    cursor: str | None = None
                    while True:
                        page = await backend.list(prefix, cursor=cursor, limit=limit)
                        assert len(page.items) <= limit
                        found += [item.key for item in page.items]
                        cursor = page.cursor
                        if cursor is None:
                            break
                    assert found == sorted(key for key in stored if key.startswith(prefix))
                    assert await collect(backend.open(whole)) == whole.encode()
                    for key in stored:
                        await backend.delete(key)
                    assert (await backend.list()).items == ()

            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(main(Path(folder)))

        check()
