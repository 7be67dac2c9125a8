"""Where each owner's migrations lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luminai.contracts.errors import HubError
from luminai.data.migrations import MigrationSource
from luminai.host.discovery import InstalledPlugin

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class BadTables(HubError):
    """The plugin's tables or migrations cannot be used."""

    status, default_code, title = 422, "bad-tables", "Tables refused"


def source_of(installed: InstalledPlugin, metadata: MetaData | None = None) -> MigrationSource:
    """Return the migration source of a plugin.

    Raises:
        BadTables: a table outside the plugin's prefix, or no migrations folder.
    """
    if installed.manifest is None:
        raise BadTables(f"{installed.id} has no usable manifest")
    prefix = installed.manifest.table_prefix
    for table in metadata.tables if metadata is not None else ():
        if not table.startswith(prefix):
            raise BadTables(f"table {table} does not start with {prefix}", hint="Name every table of a plugin with its prefix.")
    if not installed.versions_dir.is_dir():
        raise BadTables(f"{installed.id} has tables but no folder migrations/versions", hint="Ship it as package data.")
    return MigrationSource(owner_id=installed.id, table_prefix=prefix, versions_dir=installed.versions_dir, metadata=metadata)
