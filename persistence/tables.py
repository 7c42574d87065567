"""The tables of the executions database. What they look like now; how they came to be is in `migrations`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

workflows = Table(
    "workflows",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("name", String(200), nullable=False, index=True),
    Column("document", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("registered_at", Float),
    # None: only executions refer to it, and its name means another version or nothing.
)

executions = Table(
    "executions",
    metadata,
    Column("execution_id", String(32), primary_key=True),
    Column("workflow_name", String(200), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("worker_id", String(64), nullable=False),
    Column("user_id", Text),
    Column("user_role", Text),
    Column("user_tier", Text),
    Column("labels", Text, nullable=False),
    Column("inputs", LargeBinary, nullable=False),
    Column("durability", String(10), nullable=False),
    Column("percent", Float, nullable=False),
    Column("error_type", Text),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("idempotency_key", String(64)),
    # Digest of user and key: without a user a key is as unique as with one, though NULL is never equal to NULL.
    Column("request_hash", String(64)),
    Column("outcome", LargeBinary),
    # The state in which it completed, or in which a fork began; in between the state is in its checkpoint.
    Column("parent_id", String(32)),
    # Of a fork: the execution it comes from, which may be gone.
    Column("budget", Text),
    UniqueConstraint("idempotency_key", name="uq_executions_idempotency"),
    Index("ix_executions_newest", "created_at", "execution_id"),
    Index("ix_executions_user", "user_id", "created_at"),
    Index("ix_executions_status", "status", "worker_id"),
    # Most executions are no forks, and cost nothing here.
    Index(
        "ix_executions_parent",
        "parent_id",
        "created_at",
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
)

labels = Table(
    "execution_labels",
    metadata,
    # What lists are filtered by; what is shown is in executions.labels.
    Column("execution_id", String(32), primary_key=True),
    Column("pair", String(64), primary_key=True),
    # Digest of key and value: PostgreSQL indexes no texts of several KB, and none that hold a NUL.
    Index("ix_execution_labels_pair", "pair"),
)

outputs = Table(
    "outputs",
    metadata,
    # One save's new outputs, packed into parts; each output is in one part, once.
    Column("execution_id", String(32), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("save", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("execution_id", String(32), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("user_id", Text),
    Column("user_role", Text),
    Column("user_tier", Text),
    Column("failed_node", Text),
    Column("completed_nodes", Text, nullable=False),
    Column("last_output_node", Text),
    Column("saved_at", Float, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("provider", String(64), primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    # The books: they stay when an execution is deleted. A row sums up what one write entered of a kind, day and
    # model; `entries` has each attempt of it, packed. A row for each attempt cost many cheap steps a tenth of their
    # time.
    Column("execution_id", String(32), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("save", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(10), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("day", String(10), nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    # Billionths of the currency unit.
    Column("estimated", SmallInteger, nullable=False),
    Column("unpriced", SmallInteger, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Index("ix_ledger_user", "user_id", "day"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("scope", String(10), primary_key=True),
    Column("unit", String(10), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("mode", String(10), nullable=False),
)
