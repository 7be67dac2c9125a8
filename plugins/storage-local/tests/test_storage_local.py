"""The backend ``local``: the contract, and what only a folder can do wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from luminai import InvalidInput, TooLarge, Unavailable
from luminai.testing import running_hub
from luminai.testing.storage_suite import StorageContract, collect, pieces

PUTTER = """
import asyncio, sys
from pathlib import Path
from luminai.telemetry.clock import SystemClock
from luminai_storage_local.backend import LocalStorage
from luminai_storage_local.files import Folder

async def content(size):
    for _ in range(size):
        yield b"x" * 65536
        print("chunk", flush=True)

async def main():
    folder = Folder(Path(sys.argv[1]))
    folder.prepare()
    backend = LocalStorage(folder, clock=SystemClock(), max_bytes=2**40, run_sync=asyncio.to_thread)
    await backend.put("k", b"old")
    print("ready", flush=True)
    try:
        await backend.put("k", content(int(sys.argv[2])))
    except Exception as error:
        print("failed", getattr(error, "code", error), flush=True)

if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
asyncio.run(main())
"""


@asynccontextmanager
async def local(base: Path, **config):
    async with running_hub("storage-local", config={"storage-local": config}, folder=base) as hub:
        assert hub.state("storage-local") == "enabled"
        yield hub.hub.generation.wiring.providers.storage_backends["local"]


def root(folder: Path) -> Path:
    (found,) = folder.rglob("blobs")
    return found.parent


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class TestContract(StorageContract):
    def backend(self, folder: Path):
        return local(folder)


def test_storage_local__configured_folder__is_used_and_survives_a_restart(tmp_path):
    async def main():
        async with local(tmp_path, folder="things") as backend:
            await backend.put("a/b", b"kept")
        assert (tmp_path / "things" / "index").is_dir()
        async with local(tmp_path, folder="things") as backend:
            assert await collect(backend.open("a/b")) == b"kept"

    asyncio.run(main())


def test_storage_local__above_max_bytes__is_refused_and_leaves_nothing(tmp_path):
    async def main():
        async with local(tmp_path, **{"max-bytes": 1000}) as backend:
            assert backend.capabilities().max_bytes == 1000
            await backend.put("k", b"x" * 1000)
            with pytest.raises(TooLarge):
                await backend.put("k", pieces(b"x" * 999, b"yy"))
            assert await collect(backend.open("k")) == b"x" * 1000
            assert len(files(root(tmp_path) / "blobs")) == 1

    asyncio.run(main())


def test_storage_local__many_puts_of_one_key__leave_one_blob(tmp_path):
    async def main():
        async with local(tmp_path) as backend:
            await asyncio.gather(*(backend.put("k", bytes([number])) for number in range(20)))
            assert len(files(root(tmp_path) / "blobs")) == 1

    asyncio.run(main())


def test_storage_local__cancelled_at_any_moment__object_is_whole(tmp_path):
    async def main():
        async with local(tmp_path) as backend:
            await backend.put("k", b"old")
            for turns in range(60):
                task = asyncio.create_task(backend.put("k", b"new"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                assert await collect(backend.open("k")) in (b"old", b"new")
            assert len(files(root(tmp_path) / "blobs")) == 1

    asyncio.run(main())


def test_storage_local__cancelled_before_the_rename__keeps_the_old(tmp_path):
    from luminai_storage_local.files import Abandoned, Folder

    async def main():
        async with local(tmp_path) as backend:
            info = await backend.put("k", b"old")
            folder = Folder(root(tmp_path))
            blob, file = folder.new_blob()
            abandoned = threading.Event()
            abandoned.set()
            file.write(b"new")
            with file, pytest.raises(Abandoned):
                folder.commit(blob, file, info, abandoned)
            folder.discard(blob, "k")
            assert await collect(backend.open("k")) == b"old"
            assert len(files(root(tmp_path) / "blobs")) == 1

    asyncio.run(main())


@pytest.mark.parametrize("key", ["evil/x", "evil/deep/x", "evil"])
def test_storage_local__link_inside_the_folder__nothing_outside_is_touched(tmp_path, key):
    async def main():
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "x~").write_text('{"blob":"00000000000000000000000000000000"}')
        base = tmp_path / "base"
        base.mkdir()
        async with local(base) as backend:
            (root(base) / "index" / "evil").symlink_to(outside)
            (root(base) / "index" / "evil~").symlink_to(outside / "x~")
            for call in (lambda: backend.stat(key), lambda: collect(backend.open(key)), lambda: backend.delete(key)):
                with pytest.raises(Unavailable) as refused:
                    await call()
                assert refused.value.code == "storage-local.damaged"
            with pytest.raises(Unavailable):
                await backend.put(key, b"mine")
            assert (await backend.list()).items == ()
        assert files(outside) == ["x~"]
        assert [path.name for path in outside.iterdir()] == ["x~"]

    asyncio.run(main())


def test_storage_local__entry_that_names_a_path__is_refused(tmp_path):
    async def main():
        async with local(tmp_path) as backend:
            await backend.put("k", b"old")
            entry = root(tmp_path) / "index" / "k~"
            (blob,) = files(root(tmp_path) / "blobs")
            entry.write_text(entry.read_text().replace(blob, "../../../hub.lock"))
            with pytest.raises(Unavailable) as refused:
                await collect(backend.open("k"))
            assert refused.value.code == "storage-local.damaged"

    asyncio.run(main())


@pytest.mark.parametrize("labels", [{"content_type": "a\r\nb"}, {"content_type": "ü"}, {"meta": {"k": "v" * 501}}])
def test_storage_local__bad_labels__are_refused(tmp_path, labels):
    async def main():
        async with local(tmp_path) as backend:
            with pytest.raises(InvalidInput):
                await backend.put("k", b"", **labels)
            with pytest.raises(InvalidInput):
                await collect(backend.open("k", start=-1))

    asyncio.run(main())


def test_storage_local__killed_while_it_writes__old_object_stays_and_start_sweeps(tmp_path):
    from luminai_storage_local.files import Folder

    store = tmp_path / "store"
    with subprocess.Popen([sys.executable, "-c", PUTTER, str(store), "1000000"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("chunk"):
                break
        folder = Folder(store)
        assert folder.prepare() == 0, "a running put was swept"
        process.send_signal(signal.SIGKILL)
    assert len(files(store / "blobs")) == 2
    assert folder.prepare() == 1
    _, file = folder.open("k")
    with file:
        assert file.read() == b"old"


def test_storage_local__no_room__is_storage_full_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", PUTTER, str(tmp_path / "store"), "64", "1000000"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "failed storage-full", done.stderr
    assert len(files(tmp_path / "store" / "blobs")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_storage_local__folder_without_permission__is_unavailable(tmp_path):
    async def main():
        async with local(tmp_path) as backend:
            (root(tmp_path) / "blobs").chmod(0)
            with pytest.raises(Unavailable):
                await backend.put("k", b"x")

    asyncio.run(main())
