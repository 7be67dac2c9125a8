"""The bronze rule about imports: a fresh process imports the plugin and is watched while it does."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
from msgspec import Struct

from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.subject import Subject

MOST_MS = 500
"""Of processor time: how busy the machine is otherwise is not the plugin's fault."""
MOST_WAIT_MS = 5000
TRIES = 3
_PROBE = """
import json, os, sys, threading, time
import luminai.host.hub, luminai.data.migrations
seen, before = [], set(threading.enumerate())
watching = True
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
PLAIN = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
         "os.truncate", "shutil.", "sqlite3.connect", "_thread.start_new_thread", "ctypes.dlopen", "urllib.Request", "http.client")
QUIET = ("socket.gethostname",)
def watch(event, arguments):
    if not watching:
        return
    if event == "open":
        path, mode, flags = (*arguments, None, None)[:3]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITES and not isinstance(mode, str))
        if writes and "__pycache__" not in str(path) and str(path) != os.devnull:
            seen.append(f"it opens {path} for writing")
    elif event == "ctypes.dlopen" and arguments[0] is None:
        return  # `import ctypes` itself opens the running program
    elif event.startswith(PLAIN) and event not in QUIET and "__pycache__" not in str(arguments[:1]):
        seen.append(f"{event} {' '.join(map(repr, arguments))[:120]}")
sys.addaudithook(watch)
module, _, attribute = sys.argv[1].partition(":")
began, worked = time.perf_counter(), time.process_time()
error = ""
try:
    __import__(module)
    getattr(sys.modules[module], attribute or "Plugin")
except BaseException as raised:
    error = f"{type(raised).__name__}: {raised}"
took_ms, ms = (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000
watching = False
threads = [thread.name for thread in threading.enumerate() if thread not in before]
print("\\n" + json.dumps({"ms": ms, "took_ms": took_ms, "seen": seen, "threads": threads, "error": error}), flush=True)
os._exit(0)
"""


class _Seen(Struct):
    ms: float
    took_ms: float
    seen: list[str]
    threads: list[str]
    error: str


def import_is_quick_and_quiet(subject: Subject) -> str:
    """B04."""
    best = MOST_MS * 100.0
    for _ in range(TRIES):
        seen = _import(subject)
        wrong = [seen.error] if seen.error else [*dict.fromkeys(seen.seen), *(f"it starts the thread {name}" for name in seen.threads)]
        if wrong:
            raise RuleBroken("; ".join(wrong[:5]))
        if seen.took_ms - seen.ms > MOST_WAIT_MS:
            raise RuleBroken(f"it waits for {(seen.took_ms - seen.ms) / 1000:.1f} s")
        best = min(best, seen.ms)
        if best < MOST_MS:
            return f"{best:.0f} ms of processor time beside what the hub has loaded already"
    raise RuleBroken(f"{best:.0f} ms of processor time at best of {TRIES}, at most {MOST_MS}")


def _import(subject: Subject) -> _Seen:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(  # noqa: S603 - our own probe in our own interpreter
        [sys.executable, "-c", _PROBE, subject.plugin.entry_point], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RuleBroken(f"the process that imports it ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return msgspec.json.decode(lines[-1], type=_Seen)
