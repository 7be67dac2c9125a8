"""Alembic's environment for every owner: connection, version table and metadata come in through the configuration's attributes."""

from alembic import context

options = context.config.attributes
connection = options["connection"]
context.configure(
    connection=connection,
    target_metadata=options["metadata"],
    version_table=options["version_table"],
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=True,
    transactional_ddl=True,
    on_version_apply=options["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
