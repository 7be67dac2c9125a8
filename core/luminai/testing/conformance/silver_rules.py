"""Silver rules about settings, secrets, words and health."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from luminai.config.binding import bind
from luminai.contracts.errors import ConfigRejected
from luminai.data.data_map import problems
from luminai.telemetry.logs import JSONFormatter
from luminai.testing.conformance.rules import CannotTell, RuleBroken
from luminai.testing.conformance.running_rules import filled
from luminai.testing.conformance.settings import problems_of, secret_settings, spoiled, target, with_secrets
from luminai.testing.conformance.subject import CANARY, Subject
from luminai.testing.harness import HubUnderTest
from luminai.testing.records import only_recorded

SAMPLES: Final = 200
CLIENTS: Final = frozenset(
    {
        *("aiohttp", "asyncpg", "boto3", "botocore", "http.client", "httpx", "imaplib", "kafka", "paramiko", "psycopg", "pymongo", "redis"),
        *("requests", "smtplib", "socket", "stripe", "subprocess", "urllib.request", "urllib3", "websockets"),
    }
)
"""Libraries that reach something outside of the hub."""
_REMOVAL: Final = re.compile(r"(?im)(^#+.*\b(remov|uninstall|purge)|\bremoved?:|\bremov\w*\b.*\b(left|stays?|stay|drop\w*|gone?)\b)")
_ADMIN: Final = ("/api/status", "/api/admin/plugins", "/api/admin/plugins/{id}", "/api/admin/plugins/{id}/why", "/api/admin/repairs", "/openapi.json")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def schema_and_struct_agree(subject: Subject) -> str:
    """S05."""
    schema, struct = subject.schema, subject.struct
    if schema is None or struct is None:
        return "It has no settings."
    try:
        from hypothesis import HealthCheck, given, settings
    except ImportError:
        raise CannotTell("hypothesis is not installed") from None
    from luminai.testing.strategies import from_schema

    count = 0
    try:
        strategy = from_schema(schema)
    except NotImplementedError as unknown:
        raise CannotTell(str(unknown)) from unknown

    @settings(max_examples=SAMPLES, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def compare(sample: dict[str, Any]) -> None:
        nonlocal count
        _same_verdict(subject, schema, struct, sample)
        wrong = list(spoiled(schema, sample))
        _same_verdict(subject, schema, struct, wrong[count % len(wrong)][1])
        count += 1

    compare()
    return f"{count} samples, and as many with one thing wrong"


def secrets_stay_inside(subject: Subject) -> str:
    """S06."""
    schema = subject.schema or {}
    names = secret_settings(schema) if subject.schema else []
    if not names:
        return "It has no secret settings."
    found: list[str] = []
    with only_recorded() as records:
        asked = subject.run(_ask_everything(subject, with_secrets(schema, subject.settings), found))
    lines = JSONFormatter()
    found += [f"log line {line.msg}" for line in records.lines if CANARY in lines.format(line)]
    if found:
        raise RuleBroken(f"the value of a secret stands in {', '.join(dict.fromkeys(found))}")
    return f"{len(names)} secrets, {asked} answers, {len(records.lines)} log lines"


def readme_tells(subject: Subject) -> str:
    """S07."""
    text = readme_of(subject)
    if not text:
        raise RuleBroken("it has no README")
    properties = target(subject.schema, subject.schema).get("properties", {}) if subject.schema else {}
    missing = [f"the setting `{name}`" for name in properties if f"`{name}`" not in text]
    missing += [f"the scope `{scope}`" for scope in subject.manifest.scopes if f"`{scope}`" not in text]
    if not _REMOVAL.search(text):
        missing.append("what is left after removal")
    if missing:
        raise RuleBroken(f"its README does not tell {', '.join(missing)}")
    return f"{len(properties)} settings, {len(subject.manifest.scopes)} scopes"


def outside_is_checked(subject: Subject) -> str:
    """S08."""
    outside = [f"network {host}" for host in subject.manifest.network]
    outside += [f"secret {name}" for name in (secret_settings(subject.schema) if subject.schema else [])]
    outside += sorted({f"library {module}" for module in _modules(Path(subject.plugin.package_dir)) if module in CLIENTS})
    if not outside:
        return "It holds nothing outside of the hub."
    checks = subject.loaded.contributions.get("health_checks", ())
    if not checks:
        raise RuleBroken(f"no health check, although it holds: {', '.join(outside)}")
    return f"{', '.join(check.name for check in checks)} for {', '.join(outside)}"


def columns_have_a_class(subject: Subject) -> str:
    """S09."""
    metadata = subject.loaded.metadata
    if metadata is None:
        return "It has no tables."
    if wrong := problems(metadata):
        raise RuleBroken("; ".join(wrong[:10]))
    return f"{sum(len(table.columns) for table in metadata.tables.values())} columns"


def readme_of(subject: Subject) -> str:
    """Return the README beside the plugin's pyproject.toml or in its package, else the one that its distribution carries."""
    folder = Path(subject.plugin.package_dir)
    for place in (folder, folder.parent, folder.parent.parent):
        if (place / "README.md").is_file() and (place is folder or (place / "pyproject.toml").is_file()):
            return (place / "README.md").read_text()
    try:
        metadata: Any = importlib.metadata.metadata(subject.plugin.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return str(metadata.get_payload() or metadata.get("Description") or "")


def _same_verdict(subject: Subject, schema: dict[str, Any], struct: Any, sample: dict[str, Any]) -> None:
    problems = problems_of(schema, sample, subject.id)
    try:
        bind(struct, sample, str)
    except ConfigRejected as refused:
        if not problems:
            raise RuleBroken(f"the schema takes {sample}, the Struct does not: {refused.errors[0].detail}") from refused
    except Exception as error:
        raise RuleBroken(f"the Struct raises {type(error).__name__} for {sample}: {error}") from error
    else:
        if problems:
            raise RuleBroken(f"the Struct takes {sample}, the schema does not: {problems[0].pointer} {problems[0].detail}")


async def _ask_everything(subject: Subject, settings: dict[str, Any], found: list[str]) -> int:
    """Ask every route and every page that tells of the plugin; note where a secret's value stands."""
    count = 0
    async with subject.hub(config=settings) as hub:
        status = hub.status(subject.id)
        if CANARY in repr(status):
            found.append("the report of the start")
        if not status.running:
            raise RuleBroken(f"with all its secrets set it does not run: {status.reason}")
        async for what, text in _answers(subject, hub):
            count += 1
            if CANARY in text:
                found.append(what)
        if "export_subject" in subject.hooks:
            context = subject_context(hub, subject)
            async for item in subject_export(hub, subject, context):
                count += 1
                if CANARY in repr(item):
                    found.append(f"the export {item.name}")
    return count


async def _answers(subject: Subject, hub: HubUnderTest) -> Any:
    client = hub.client("*")
    loaded = hub.hub.generation.loaded(subject.id)
    wanted = [("GET", path.replace("{id}", subject.id)) for path in _ADMIN]
    wanted += [(route.method, filled(route)) for route in (loaded.routes if loaded else ()) if route.method in _METHODS]
    for method, path in wanted:
        answer = await client.request(method, path, json={} if method not in ("GET", "DELETE") else None)
        yield f"{method} {path}", answer.body.decode(errors="replace") + repr(answer.headers)


def subject_context(hub: HubUnderTest, subject: Subject) -> Any:
    """Return the plugin's context in a hub."""
    loaded = hub.hub.generation.loaded(subject.id)
    if loaded is None or loaded.context is None:
        raise CannotTell("it does not run")
    return loaded.context


def subject_export(hub: HubUnderTest, subject: Subject, context: Any) -> Any:
    """Return what the plugin exports about the person who asked."""
    loaded = hub.hub.generation.loaded(subject.id)
    if loaded is None or loaded.hooks is None:
        raise CannotTell("it does not run")
    return loaded.hooks.call("export_subject", ctx=context, subject="user_test")


def _modules(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from (alias.name, alias.name.partition(".")[0])
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from (node.module, node.module.partition(".")[0], *(f"{node.module}.{alias.name}" for alias in node.names))
