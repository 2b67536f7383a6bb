"""Alembic's environment: it is handed a connection, and transactions are the caller's."""

from alembic import context

from config_api.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
