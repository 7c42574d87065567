"""What Alembic runs: migrations on the connection that `upgrade` holds, in its transaction."""

from __future__ import annotations

from alembic import context

from offbook.persistence.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
