"""Engines, unit of work, migrations, ids and column types."""
