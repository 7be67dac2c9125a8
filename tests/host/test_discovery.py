"""The cache of what is installed: it saves time, and keeps no verdict that another hub would not come to."""

from pathlib import Path

import msgspec

from luminai.host.discovery import installed_plugins


def test_cache__says_that_a_manifest_is_bad__it_is_read_again(tmp_path: Path) -> None:
    cache_file = tmp_path / "cache.json"
    known = installed_plugins(cache_file=cache_file)
    cache = msgspec.json.decode(cache_file.read_bytes())
    for kept in cache["manifests"].values():
        kept["plugin"] |= {"manifest": None, "problem": "provides: 'job_engines' is no kind"}  # as an older hub had it
    cache_file.write_bytes(msgspec.json.encode(cache))

    assert installed_plugins(cache_file=cache_file) == known
    assert all(kept["plugin"]["problem"] == "" for kept in msgspec.json.decode(cache_file.read_bytes())["manifests"].values())
