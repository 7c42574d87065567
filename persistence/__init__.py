"""Where executions are kept: tables, stores, migrations."""
