"""Alembic's entry point: it runs the steps on the connection that the program hands over."""

from alembic import context

context.configure(**context.config.attributes)
with context.begin_transaction():
    context.run_migrations()
