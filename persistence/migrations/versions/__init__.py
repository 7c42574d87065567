"""Alembic migrations of the executions database."""
