"""The real local model, where the extra `demo` is installed: it answers, and its loss in an answer is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.cli.local_model import PACKAGES, LocalModel
from offbook.nodes import NodeFailure, ProviderSettings
from offbook.nodes.providers import Message, ModelRequest, OpenAIProvider

for package in PACKAGES:
    pytest.importorskip(package, reason="needs the extra `demo`")

ASKED = "The lamp went out, and the keeper"


def request(tokens: int) -> ModelRequest:
    return ModelRequest(
        model="gemma3-270m", messages=(Message("user", ASKED),), max_tokens=tokens, idempotency_key="a"
    )


async def test_local_model_answers_and_its_loss_is_a_dropped_connection(tmp_path: Path) -> None:
    model = await LocalModel.start(tmp_path / "model.log")
    provider = OpenAIProvider(ProviderSettings(name="local", **model.provider))
    try:
        answer = await provider.complete(request(12), lambda text: None)
        assert answer.text.strip()
        assert answer.usage is not None
        assert 0 < answer.usage.output_tokens <= 12
        assert not answer.usage.estimated
        with pytest.raises(NodeFailure) as lost:
            await provider.complete(request(2000), lambda text: model.child.kill_at_once())
        assert (lost.value.error.type, lost.value.error.retryable) == ("dropped", True)
    finally:
        await provider.close()
        await model.child.stop()
    assert not model.child.lives
