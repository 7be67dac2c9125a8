"""Public pages on the real core."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import HubUnderTest, running_hub

PAGE = """# Generations

A generation is an immutable snapshot of the running plugins.

## What it holds

<script>alert(1)</script> and `code`, and [a link](javascript:alert(1)).

```python
print("hello")
```
"""


def on_site(tmp_path: Path, work: Any) -> Any:
    """Run ``work(hub)`` on a hub with the site and two pages."""
    (tmp_path / "docs" / "explanation").mkdir(parents=True)
    (tmp_path / "docs" / "index.md").write_text("# Start\n\nRead about [generations](/docs/explanation/generations).\n")
    (tmp_path / "docs" / "explanation" / "generations.md").write_text(PAGE)

    async def main() -> Any:
        every = ("personas", "resonance", "knowledge", "ai-offline", "chat", "site")
        async with running_hub(*every, folder=tmp_path, config={"chat": {"playground": True}}) as hub:
            return await work(hub)

    return asyncio.run(main())


@pytest.mark.shows("LR-37", "LR-89", "LR-90", "LR-92", "LR-98", "LR-103", "LW-60", "PX-52b")
def test_pages__public__are_served_strictly(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        client = hub.client()
        for path in ("/", "/playground", "/docs", "/docs/explanation/generations", "/docs/search?q=snapshot", "/about"):
            page = await client.request("GET", path)
            assert page.status == 200, path
            assert page.headers["content-type"].startswith("text/html")
            assert "require-trusted-types-for 'script'" in page.headers["content-security-policy"]
            assert page.headers["x-content-type-options"] == "nosniff"
            assert "unsafe" not in page.headers["content-security-policy"]
            assert not re.search(r"<script(?![^>]* src=)|<style|style=|https?://(?!127)[^\"]*\.(js|css)", page.text), (
                "nothing inline, nothing from elsewhere"
            )
            assert '<meta property="og:title"' in page.text
        assert "Sitemap: /sitemap.xml" in (await client.request("GET", "/robots.txt")).text
        assert "/docs/explanation/generations</loc>" in (await client.request("GET", "/sitemap.xml")).text
        catalogue = (await client.request("GET", "/docs/metadata.json")).json()
        assert {"title": "Generations", "url": "/docs/explanation/generations", "group": "explanation"} in catalogue

    on_site(tmp_path, work)


def test_docs_page__markdown__is_rendered_without_its_dangers(tmp_path: Path) -> None:
    page = on_site(tmp_path, lambda hub: hub.client().request("GET", "/docs/explanation/generations")).text

    assert '<h2 id="what-it-holds"' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "javascript:" not in page.replace("(javascript:alert(1))", "")
    assert 'href="javascript' not in page
    assert '<span class="nb">print</span>' in page
    assert 'rel="prev" href="/docs/index"' in page or 'href="/docs/index"' in page


@pytest.mark.shows("LR-116")
def test_playground__without_javascript__answers_on_the_page(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> tuple[Any, Any]:
        form = {"content-type": "application/x-www-form-urlencoded"}
        client = hub.client()
        good = await client.request("POST", "/playground", body=b"message=What+is+a+generation%3F&persona=airth", headers=form)
        bad = await client.request("POST", "/playground", body=b"message=%3Cimg+src%3Dx%3E&persona=nobody", headers=form)
        return good, bad

    good, bad = on_site(tmp_path, work)
    assert "A generation is an immutable snapshot of the running plugins." in good.text
    assert "Airth" in good.text
    assert re.search(r'class="badge (critical|steady|resonant)"', good.text)
    assert bad.status == 422
    assert "There is no persona" in bad.text
    assert "<img src=x>" not in bad.text


def test_unknown_page__html_for_people_problem_for_the_api(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> tuple[Any, Any, Any]:
        client = hub.client()
        return (
            await client.request("GET", "/docs/nowhere"),
            await client.request("GET", "/no/such/page"),
            await client.request("GET", "/api/no/such/route"),
        )

    docs, page, route = on_site(tmp_path, work)
    assert (docs.status, page.status) == (404, 404)
    assert "There is no such page" in docs.text
    assert "/no/such/page" in page.text
    assert route.json()["code"] == "unknown-route"


def test_static_files__only_by_hashed_name__and_kept_for_a_year(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        client = hub.client()
        css = re.search(r'href="(/static/site\.[0-9a-f]{12}\.css)"', (await client.request("GET", "/")).text)
        assert css
        found = await client.request("GET", css[1])
        assert (found.status, found.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert len(found.body) <= 20_000
        for wrong in ("/static/site.css", "/static/..%2fpages.py", "/static/pages.py"):
            assert (await client.request("GET", wrong)).status == 404

    on_site(tmp_path, work)


def test_search__finds_or_says_that_nothing_was_found(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> tuple[str, str, str]:
        client = hub.client()
        texts = [(await client.request("GET", "/docs/search", query={"q": words})).text for words in ("snapshot", "zzz <b>", "")]
        return texts[0], texts[1], texts[2]

    found, nothing, empty = on_site(tmp_path, work)
    assert "/docs/explanation/generations#generations" in found
    assert "Nothing was found for “zzz &lt;b&gt;”" in nothing
    assert "Type what you look for" in empty
