"""HTML responses: templates, headers, the strict content security policy."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, select_autoescape
from litestar import Response

from luminai_site.assets import assets

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "object-src 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; "
    "report-uri /api/csp-reports; report-to csp"
)


class Pages:
    """Renders the site's templates."""

    def __init__(self, title: str) -> None:
        self._templates = Environment(
            loader=PackageLoader("luminai_site"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
        )
        self._templates.globals.update(site_title=title, asset=lambda name: assets()[name].url)

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response[str]:
        """Return a page."""
        body = self._templates.get_template(template).render(**values)
        headers = {"Content-Security-Policy": CSP, "Reporting-Endpoints": 'csp="/api/csp-reports"', "Cache-Control": "no-cache"}
        return Response(body, status_code=status, media_type="text/html", headers=headers)
