"""What a kept turn costs: processor time of the hub for a turn and for each token, the reply read as an event stream by its asker.

The model is scripted in the same process, so its own cost is a part, the same in every run. Compare runs of two trees, not figures with other gateways.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "core"), *(str(path) for path in ROOT.glob("plugins/*/src"))]

from luminai import End, EndState, Usage  # noqa: E402
from luminai.testing import HubUnderTest, ScriptedProvider, Wait, running_hub  # noqa: E402

PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat")
TOKENS, GAP = 250, 0.02
END = End(state=EndState.FINISHED, usage=Usage(input_tokens=3, output_tokens=TOKENS, origin="reported"))
FAST = (*(" word",) * TOKENS, END)
PACED = (*(step for _ in range(TOKENS) for step in (Wait(GAP), " word")), END)


async def run(hub: HubUnderTest, model: str, turns: int, at_once: int) -> tuple[float, float]:
    """Ask so many questions, so many at once; return seconds of processor and of the wall."""
    client, places = hub.client("chat:write", "chat:read"), asyncio.Semaphore(at_once)

    async def ask() -> None:
        async with (
            places,
            client.stream("POST", "/api/chat", json={"message": "go", "model": model}, headers={"accept": "text/event-stream"}) as answer,
        ):
            raw = b"".join([chunk async for chunk in answer.chunks])
            assert b'"end_state":"finished"' in raw, raw[-500:]

    began, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(turns)))
    return time.process_time() - began, time.perf_counter() - wall


async def main() -> None:
    """Print one line for each kind of stream."""
    with TemporaryDirectory() as folder:
        async with running_hub(*PLUGINS, folder=Path(folder), config={"chat": {"turns-per-actor": 100}}) as hub:
            hub.provide(
                "ai_providers",
                ScriptedProvider(FAST, name="fast"),
                ScriptedProvider(PACED, name="paced"),
                ScriptedProvider((" word" * TOKENS, END), name="one"),
            )
            await run(hub, "fast/one", 20, 4)
            for model, turns, at_once, kind in (
                ("one/one", 200, 8, "one piece"),
                ("fast/one", 200, 8, f"{TOKENS} tokens at once"),
                ("paced/one", 40, 40, f"{TOKENS} tokens, 20 ms each"),
            ):
                found = [await run(hub, model, turns, at_once) for _ in range(3)]
                cpu, wall = min(found)
                print(
                    f"{kind:24} {cpu / turns * 1e3:8.2f} ms CPU a turn  {cpu / turns / TOKENS * 1e6:7.1f} µs CPU a token  {turns / wall:7.1f} turns/s",
                    flush=True,
                )


if __name__ == "__main__":
    asyncio.run(main())
