"""Workflows, executions with labels, outputs and checkpoints, keys of users, the ledger, budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflows",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("registered_at", sa.Float),
    )
    op.create_index("ix_workflows_name", "workflows", ["name"])
    op.create_table(
        "executions",
        sa.Column("execution_id", sa.String(32), primary_key=True),
        sa.Column("workflow_name", sa.String(200), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("worker_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("user_role", sa.Text),
        sa.Column("user_tier", sa.Text),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("inputs", sa.LargeBinary, nullable=False),
        sa.Column("durability", sa.String(10), nullable=False),
        sa.Column("percent", sa.Float, nullable=False),
        sa.Column("error_type", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.Column("idempotency_key", sa.String(64)),
        sa.Column("request_hash", sa.String(64)),
        sa.Column("outcome", sa.LargeBinary),
        sa.Column("parent_id", sa.String(32)),
        sa.Column("budget", sa.Text),
        sa.UniqueConstraint("idempotency_key", name="uq_executions_idempotency"),
    )
    op.create_index("ix_executions_newest", "executions", ["created_at", "execution_id"])
    op.create_index("ix_executions_user", "executions", ["user_id", "created_at"])
    op.create_index("ix_executions_status", "executions", ["status", "worker_id"])
    forks = sa.text("parent_id IS NOT NULL")
    op.create_index(
        "ix_executions_parent",
        "executions",
        ["parent_id", "created_at"],
        sqlite_where=forks,
        postgresql_where=forks,
    )
    op.create_table(
        "execution_labels",
        sa.Column("execution_id", sa.String(32), primary_key=True),
        sa.Column("pair", sa.String(64), primary_key=True),
    )
    op.create_index("ix_execution_labels_pair", "execution_labels", ["pair"])
    op.create_table(
        "outputs",
        sa.Column("execution_id", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("save", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("execution_id", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("user_role", sa.Text),
        sa.Column("user_tier", sa.Text),
        sa.Column("failed_node", sa.Text),
        sa.Column("completed_nodes", sa.Text, nullable=False),
        sa.Column("last_output_node", sa.Text),
        sa.Column("saved_at", sa.Float, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "provider_keys",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("provider", sa.String(64), primary_key=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("execution_id", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("save", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.SmallInteger, nullable=False),
        sa.Column("unpriced", sa.SmallInteger, nullable=False),
        sa.Column("entries", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_ledger_user", "ledger", ["user_id", "day"])
    op.create_table(
        "budgets",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("scope", sa.String(10), primary_key=True),
        sa.Column("unit", sa.String(10), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("mode", sa.String(10), nullable=False),
    )
