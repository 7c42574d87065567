"""The OpenAI adapter against a real server: what it sends, what it reads, how it fails, and that it hangs up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from offbook.nodes.providers import Message, OpenAIProvider, ProviderSettings
from offbook.workflows.values import Usage
from tests.nodes.providers.asking import PROMPT, Hearing, request
from tests.nodes.providers.model_server import (
    PATIENCE,
    ModelServer,
    drop,
    ending,
    event,
    hang,
    in_turn,
    said,
    stream,
    whole,
)

KEY = "sk-live-0123456789abcdef"


# What it sends


async def test_request_is_what_the_node_asked_for(server: ModelServer) -> None:
    settings = ProviderSettings(
        name="fake",
        base_url=f"{server.url}/v1/",
        options={"seed": 1, "repeat_penalty": 1.1, "temperature": 1.5, "max_tokens": 5},
    )
    provider = OpenAIProvider(settings)
    messages = (Message("system", "Be brief."), Message("user", "Grüße „you“"))
    asked = request(messages=messages, temperature=0.0, max_tokens=9, stop=("END",), options={"seed": 2})
    await Hearing().ask(provider, asked)
    await Hearing().ask(provider)
    await provider.close()
    assert server.asked[0].body == {
        "model": "writer",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße „you“"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "max_tokens": 9,
        "stop": ["END"],
        "seed": 2,
        "repeat_penalty": 1.1,
    }
    # What the node leaves open is as the settings say.
    assert {name: server.asked[1].body[name] for name in ("seed", "temperature", "max_tokens")} == {
        "seed": 1,
        "temperature": 1.5,
        "max_tokens": 5,
    }


async def test_each_request_brings_its_own_key(server: ModelServer, provider: OpenAIProvider) -> None:
    keys = [f"sk-user-{number}" for number in range(5)] + [None]
    await asyncio.gather(
        *(Hearing().ask(provider, request(f"for {key}", api_key=key)) for key in keys),
    )
    sent = {each.body["messages"][0]["content"]: each.headers.get("Authorization") for each in server.asked}
    assert sent == {f"for {key}": f"Bearer {key}" if key else None for key in keys}


async def test_cookies_of_one_request_are_not_sent_with_another(
    server: ModelServer, provider: OpenAIProvider
) -> None:
    server.answer = whole({"choices": [{"message": {"content": "a"}}]}, Set_Cookie="session=ada")
    for _ in range(2):
        await Hearing().ask(provider)
    assert ["Cookie" in each.headers for each in server.asked] == [False, False]


async def test_idempotency_key_is_a_header(server: ModelServer, provider: OpenAIProvider) -> None:
    await Hearing().ask(provider, request(idempotency_key="e-chapters-6-2"))
    await Hearing().ask(provider, request())
    assert [each.headers.get("Idempotency-Key") for each in server.asked] == ["e-chapters-6-2", None]


@pytest.mark.parametrize("key", ["sk\nX-Evil: 1", "sk-\u00fc", "sk\x00"])
async def test_key_that_fits_no_header_is_not_sent(server: ModelServer, provider: OpenAIProvider, key: str) -> None:
    error = await Hearing().refused(provider, request(api_key=key))
    assert (error.type, error.retryable) == ("invalid_key", False)
    assert key not in error.message
    assert server.asked == []


# What it reads


async def test_streamed_answer_comes_in_pieces(server: ModelServer, provider: OpenAIProvider) -> None:
    heard = asyncio.Event()

    async def wait(_: web.Request) -> None:
        # The rest is sent only once the first piece has been heard.
        await asyncio.wait_for(heard.wait(), PATIENCE)

    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(asked)
        await response.write(said("Once "))
        await wait(asked)
        await response.write(said("upon"))
        await response.write(ending(asked=11, answered=2))
        return response

    server.answer = answer
    hearing = Hearing(lambda piece: heard.set())
    whole_answer = await hearing.ask(provider)
    assert hearing.texts == ["Once ", "upon"]
    assert whole_answer.text == "Once upon"
    assert (whole_answer.usage, whole_answer.finish_reason) == (Usage(11, 2), "stop")
    assert whole_answer.model == "the-model-1"


async def test_answer_cut_at_every_byte_is_the_same(server: ModelServer, provider: OpenAIProvider) -> None:
    text = said("Grüße, ") + b": comment\r\n\r\n" + said("„Welt“") + ending()

    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(asked)
        for at in range(len(text)):
            await response.write(text[at : at + 1])
            await asyncio.sleep(0)
        return response

    server.answer = answer
    assert (await Hearing().ask(provider)).text == "Grüße, „Welt“"
    for cut in range(0, len(text), 5):
        server.answer = stream(text[:cut], text[cut:]) if cut else stream(text)
        assert (await Hearing().ask(provider)).text == "Grüße, „Welt“"


async def test_whole_answer_is_read_too(server: ModelServer, provider: OpenAIProvider) -> None:
    server.answer = whole(
        {
            "model": "the-model-2",
            "choices": [
                {"message": {"reasoning_content": "hm", "content": "At once."}, "finish_reason": "length"},
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        }
    )
    hearing = Hearing()
    answer = await hearing.ask(provider)
    assert (answer.text, answer.usage, answer.finish_reason) == ("At once.", Usage(5, 2), "length")
    assert (hearing.texts, hearing.thoughts) == (["At once."], ["hm"])


async def test_reasoning_is_heard_apart(server: ModelServer, provider: OpenAIProvider) -> None:
    server.answer = stream(
        event({"choices": [{"delta": {"reasoning_content": "Let me "}}]}),
        event({"choices": [{"delta": {"reasoning_content": "see."}}]}),
        said("Yes."),
        ending(),
    )
    hearing = Hearing()
    answer = await hearing.ask(provider)
    assert (hearing.thoughts, hearing.texts, answer.text) == (["Let me ", "see."], ["Yes."], "Yes.")


async def test_answer_without_figures_has_no_usage(server: ModelServer, provider: OpenAIProvider) -> None:
    server.answer = stream(said("a"), b"data: [DONE]\n\n")
    answer = await Hearing().ask(provider)
    assert (answer.text, answer.usage, answer.model) == ("a", None, "writer")


async def test_server_that_goes_on_after_the_end_is_not_waited_for(
    server: ModelServer, provider: OpenAIProvider
) -> None:
    server.answer = stream(said("a"), ending(), then=hang)
    async with asyncio.timeout(PATIENCE):
        assert (await Hearing().ask(provider)).text == "a"
    await server.until(lambda: server.hung_up == 1)


async def test_answers_beyond_a_hundred_run_side_by_side(server: ModelServer, provider: OpenAIProvider) -> None:
    every = 150
    gathered = asyncio.Event()

    async def answer(asked: web.Request) -> web.StreamResponse:
        if len(server.asked) == every:
            gathered.set()
        await asyncio.wait_for(gathered.wait(), PATIENCE)
        return await stream(said("a"), ending())(asked)

    server.answer = answer
    answers = await asyncio.gather(*(Hearing().ask(provider) for _ in range(every)))
    assert {each.text for each in answers} == {"a"}


# How it fails


async def test_rate_limit_says_when_to_come_back(server: ModelServer, provider: OpenAIProvider) -> None:
    server.answer = whole({"error": {"message": "slow down"}}, 429, Retry_After="7")
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable, error.retry_after) == ("rate_limit", True, 7.0)
    assert error.message == "fake answered 429: slow down"


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_fault_of_the_server_may_be_tried_again(
    server: ModelServer, provider: OpenAIProvider, status: int
) -> None:
    server.answer = in_turn([whole({"error": "away"}, status, Retry_After="2"), stream(said("back"), ending())])
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable, error.retry_after) == ("server_error", True, 2.0)
    assert (await Hearing().ask(provider)).text == "back"


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_key_is_not_tried_again(server: ModelServer, provider: OpenAIProvider, status: int) -> None:
    server.answer = whole({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status)
    error = await Hearing().refused(provider, request(api_key=KEY))
    assert (error.type, error.retryable) == ("invalid_key", False)
    assert error.message == f"fake answered {status}: Incorrect API key provided: [key]"
    assert "OFFBOOK_KEY_FAKE" in error.hint


async def test_bad_request_is_not_tried_again(server: ModelServer, provider: OpenAIProvider) -> None:
    server.answer = whole({"error": {"message": "no model writer"}}, 404)
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable, error.message) == ("validation", False, "fake answered 404: no model writer")


async def test_error_in_the_middle_of_the_answer_is_named(server: ModelServer, provider: OpenAIProvider) -> None:
    refusal = event({"error": {"message": f"too busy for {PROMPT}", "code": 429}})
    server.answer = stream(said("half "), refusal, said("never heard"), ending())
    hearing = Hearing()
    error = await hearing.refused(provider)
    assert (error.type, error.retryable) == ("rate_limit", True)
    assert (error.message, hearing.texts) == ("fake answered 429: too busy for [prompt]", ["half "])


@pytest.mark.parametrize("pieces", [(), (said("half "),)], ids=["before", "within"])
async def test_dropped_connection_may_be_tried_again(
    server: ModelServer, provider: OpenAIProvider, pieces: tuple[bytes, ...]
) -> None:
    server.answer = stream(*pieces, then=drop)
    hearing = Hearing()
    error = await hearing.refused(provider)
    assert (error.type, error.retryable) == ("dropped", True)
    assert hearing.texts == ["half "] * len(pieces)


@pytest.mark.parametrize("pieces", [(said("half "),), (said("half "), b'data: {"cho')], ids=["whole", "torn"])
async def test_answer_that_ends_before_its_end_was_dropped(
    server: ModelServer, provider: OpenAIProvider, pieces: tuple[bytes, ...]
) -> None:
    server.answer = stream(*pieces)
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable) == ("dropped", True)
    assert "before it was complete" in error.message


async def test_server_that_hangs_up_before_it_answers_was_dropped(
    server: ModelServer, provider: OpenAIProvider
) -> None:
    async def answer(asked: web.Request) -> web.StreamResponse:
        await drop(asked)
        return web.Response()

    server.answer = answer
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable) == ("dropped", True)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on: bound, so that nobody else begins to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_server_that_is_not_there_may_come_back(closed_port: int) -> None:
    provider = OpenAIProvider(ProviderSettings(name="away", base_url=f"http://127.0.0.1:{closed_port}/v1"))
    error = await Hearing().refused(provider)
    await provider.close()
    assert (error.type, error.retryable) == ("dropped", True)
    assert "base_url" in error.hint


async def test_plain_server_at_an_https_address_is_not_tried_again(server: ModelServer) -> None:
    provider = OpenAIProvider(ProviderSettings(name="plain", base_url=f"{server.url}/v1".replace("http:", "https:")))
    error = await Hearing().refused(provider)
    await provider.close()
    assert (error.type, error.retryable) == ("dropped", False)
    assert "scheme" in error.hint


async def test_web_page_is_no_answer(server: ModelServer, provider: OpenAIProvider) -> None:
    async def answer(asked: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    server.answer = answer
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable) == ("validation", False)
    assert "/v1" in error.hint


async def test_page_of_a_proxy_in_trouble_may_be_tried_again(server: ModelServer, provider: OpenAIProvider) -> None:
    async def answer(asked: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Bad gateway</html>", content_type="text/html", status=502)

    server.answer = answer
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable) == ("server_error", True)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_refused_and_not_followed(
    server: ModelServer, provider: OpenAIProvider, status: int
) -> None:
    server.answer = whole({}, status, Location=f"{server.url}/elsewhere")
    error = await Hearing().refused(provider, request(api_key=KEY))
    assert (error.type, error.retryable) == ("validation", False)
    assert (server.elsewhere, len(server.asked)) == (0, 1)


@pytest.mark.parametrize(
    "answer",
    [whole([]), whole("text"), stream(b"data: {]\n\n"), stream(b"data: 3\n\n", then=hang)],
    ids=["list", "text", "torn", "number"],
)
async def test_what_is_no_completion_is_a_fault_of_the_server(
    server: ModelServer, provider: OpenAIProvider, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    server.answer = answer
    error = await Hearing().refused(provider)
    assert (error.type, error.retryable) == ("server_error", True)


# What it lets nobody see


def everything(failure: BaseException | None) -> Iterator[str]:
    """Yield what a failure, and every exception that hangs on it, has in it."""
    while failure is not None:
        yield repr(failure)
        yield repr(vars(failure))
        failure = failure.__cause__ or failure.__context__


def nested(text: str) -> Any:
    return {"error": {"detail": [{"input": {"messages": [{"content": text}]}}]}}


@pytest.mark.parametrize(
    "answer",
    [
        whole({"error": {"message": f"{KEY} may not ask: {PROMPT}"}}, 401),
        whole(nested(f"{KEY} asked {PROMPT}"), 422),
        whole(json.dumps(nested(f"{KEY} asked {PROMPT}")), 500),
        stream(event({"error": {"message": f"{KEY} may not ask: {PROMPT}"}})),
        stream(event({"error": f"{KEY} may not ask: {PROMPT}"})),
        stream(f"data: {KEY} asked {PROMPT}\n\n".encode()),
        stream(then=drop),
        whole({}, 302, Location=f"/?key={KEY}"),
    ],
    ids=["message", "nested", "quoted", "streamed", "bare", "torn", "dropped", "redirect"],
)
async def test_no_failure_shows_key_or_prompt(
    server: ModelServer, provider: OpenAIProvider, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    server.answer = answer
    failure = await Hearing().failure(provider, request(api_key=KEY))
    shown = "\n".join(everything(failure))
    assert "fake" in shown
    assert KEY not in shown
    assert "lighthouse" not in shown


async def test_failure_to_connect_shows_neither(closed_port: int) -> None:
    provider = OpenAIProvider(ProviderSettings(name="away", base_url=f"http://127.0.0.1:{closed_port}/v1"))
    failure = await Hearing().failure(provider, request(api_key=KEY))
    await provider.close()
    shown = "\n".join(everything(failure))
    assert KEY not in shown
    assert "lighthouse" not in shown


async def test_answer_that_is_no_http_shows_neither() -> None:
    """The client's own error for it holds the headers that were sent."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 what? no\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        provider = OpenAIProvider(ProviderSettings(name="fake", base_url=f"http://127.0.0.1:{port}/v1"))
        failure = await Hearing().failure(provider, request(api_key=KEY))
        await provider.close()
    assert (failure.error.type, failure.error.retryable) == ("dropped", True)
    assert KEY not in "\n".join(everything(failure))


def test_request_shows_neither() -> None:
    shown = repr(request(api_key=KEY, options={"user": KEY}))
    assert "writer" in shown
    assert KEY not in shown
    assert "lighthouse" not in shown


# That it hangs up


@pytest.mark.parametrize("pieces", [None, (), (said("half "),)], ids=["silent", "opened", "speaking"])
async def test_cancel_hangs_up_on_the_server(
    server: ModelServer, provider: OpenAIProvider, pieces: tuple[bytes, ...] | None
) -> None:
    heard = asyncio.Event()

    async def silent(asked: web.Request) -> web.StreamResponse:
        await hang(asked)
        return web.Response()

    server.answer = silent if pieces is None else stream(*pieces, then=hang)
    call = asyncio.create_task(Hearing(lambda piece: heard.set()).ask(provider))
    await server.until(lambda: len(server.asked) == 1)
    if pieces:
        await asyncio.wait_for(heard.wait(), PATIENCE)
    assert server.hung_up == 0
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until(lambda: server.hung_up == 1)
    # Others are served as before.
    server.answer = stream(said("a"), ending())
    assert (await Hearing().ask(provider)).text == "a"


async def test_cancel_hangs_up_while_the_reason_of_a_refusal_is_read(
    server: ModelServer, provider: OpenAIProvider
) -> None:
    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(asked)
        await response.write(b"because ")
        await hang(asked)
        return response

    server.answer = answer
    call = asyncio.create_task(Hearing().ask(provider))
    await server.until(lambda: len(server.asked) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until(lambda: server.hung_up == 1)


async def test_whoever_cannot_hear_the_answer_hangs_up(server: ModelServer, provider: OpenAIProvider) -> None:
    def deaf(piece: str) -> None:
        raise LookupError("nobody listens")

    server.answer = stream(said("half "), then=hang)
    with pytest.raises(LookupError):
        await Hearing(deaf).ask(provider)
    await server.until(lambda: server.hung_up == 1)


async def test_close_may_be_said_twice_and_before_anything_was_asked(server: ModelServer) -> None:
    provider = OpenAIProvider(ProviderSettings(name="fake", base_url=f"{server.url}/v1"))
    await provider.close()
    assert (await Hearing().ask(provider)).text == "fine"
    await provider.close()
    await provider.close()
