"""The cache that processes share, in Redis: what one drops, all have lost at once.

An entry is a hash with the marks that its tags had; a tag is a key that holds its mark. So dropping a tag is one write, however many entries have it;
entries of a subject are also listed, because what an erased person had made must be gone, and not only out of reach. Each step is one script.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from luminai.contracts.cache import Kept
from luminai.data.redis import connect

LISTED: Final = "subject:"
"""Tags that begin so are listed."""
KEPT_MS: Final = 8 * 86_400 * 1000
"""How long a mark is kept: a day longer than the longest entry."""
_GET: Final = """
local e = redis.call('HMGET', KEYS[1], 'v', 'c', 't', 'm', 's')
if not e[1] then return false end
local tags, marks = cjson.decode(e[3]), cjson.decode(e[4])
for i, tag in ipairs(tags) do
  if redis.call('GET', ARGV[1] .. 'tag:' .. tag) ~= marks[i] then redis.call('DEL', KEYS[1]) return false end
end
if e[5] ~= '' then redis.call('PEXPIRE', KEYS[1], e[5]) end
return {e[1], e[2], redis.call('PTTL', KEYS[1])}
"""
_MARKS: Final = """
local found = {}
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2])
  redis.call('PEXPIRE', key, ARGV[2])
  found[i] = redis.call('GET', key)
end
return found
"""
_PUT: Final = """
if ARGV[7] ~= '' and redis.call('GET', ARGV[1] .. 'lock:' .. ARGV[8]) ~= ARGV[7] then return 0 end
local tags, marks = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
for i, tag in ipairs(tags) do
  if redis.call('GET', ARGV[1] .. 'tag:' .. tag) ~= marks[i] then return 0 end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'c', ARGV[3], 't', ARGV[4], 'm', ARGV[5], 's', ARGV[9])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
for i, tag in ipairs(tags) do
  if string.sub(tag, 1, #ARGV[10]) == ARGV[10] then
    local list = ARGV[1] .. 'list:' .. tag
    redis.call('SADD', list, KEYS[1])
    redis.call('PEXPIRE', list, ARGV[11])
  end
end
return 1
"""
_DROP: Final = """
for i, tag in ipairs(ARGV) do
  if i > 3 then
    redis.call('SET', ARGV[1] .. 'tag:' .. tag, ARGV[2] .. i, 'PX', ARGV[3])
    local list = ARGV[1] .. 'list:' .. tag
    for _, key in ipairs(redis.call('SMEMBERS', list)) do redis.call('DEL', key) end
    redis.call('DEL', list)
  end
end
"""
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisCache:
    """Implements ``CacheStore``."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._redis: Any = connect(url)
        self._prefix = prefix
        self._get, self._marks, self._put, self._drop, self._unlock = map(self._redis.register_script, (_GET, _MARKS, _PUT, _DROP, _UNLOCK))

    async def get(self, key: str, /) -> Kept | None:
        """Return an entry."""
        found = await self._get(keys=[self._entry(key)], args=[self._prefix])
        return Kept(bytes(found[0]), max(0, int(found[2])) / 1000, float(found[1])) if found else None

    async def marks(self, tags: Sequence[str], /) -> tuple[str, ...]:
        """Return the marks of tags."""
        if not tags:
            return ()
        found = await self._marks(keys=[f"{self._prefix}tag:{tag}" for tag in tags], args=[secrets.token_hex(8), KEPT_MS])
        return tuple(bytes(one).decode() for one in found)

    async def put(
        self, key: str, value: bytes, /, *, seconds: float, tags: Sequence[str], marks: Sequence[str], slides: bool, cost: float, token: str = ""
    ) -> bool:
        """Keep an entry."""
        ms = max(1, round(seconds * 1000))
        said = [msgspec.json.encode(list(tags)), msgspec.json.encode(list(marks))]
        args = [self._prefix, value, cost, *said, ms, token, key, ms if slides else "", LISTED, KEPT_MS]
        return bool(await self._put(keys=[self._entry(key)], args=args))

    async def drop(self, key: str, /) -> None:
        """Forget an entry."""
        await self._redis.delete(self._entry(key), self._lock(key))

    async def drop_tags(self, tags: Sequence[str], /) -> None:
        """Forget every entry that has one of the tags."""
        await self._drop(keys=[], args=[self._prefix, secrets.token_hex(8), KEPT_MS, *tags])

    async def lock(self, key: str, seconds: float, /) -> str:
        """Return a token."""
        token = secrets.token_hex(8)
        return token if await self._redis.set(self._lock(key), token, nx=True, px=max(1, round(seconds * 1000))) else ""

    async def unlock(self, key: str, token: str, /) -> None:
        """Give a lock back."""
        await self._unlock(keys=[self._lock(key)], args=[token])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _entry(self, key: str) -> str:
        return f"{self._prefix}entry:{key}"

    def _lock(self, key: str) -> str:
        return f"{self._prefix}lock:{key}"
