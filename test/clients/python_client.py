"""The official Python SDK of OpenAI against a served gateway, at RHONE_BASE_URL with the key RHONE_KEY.

Run by python.test.ts, or by hand.
"""

import asyncio
import sys

import openai
from checks import KEY, ORIGIN, REMEMBERED, check, run_all
from openai import AsyncOpenAI, OpenAI

BASE_URL = ORIGIN + "/v1"

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=60)
chat = client.chat.completions

ALICE = {"model": "demo", "messages": [{"role": "user", "content": "My name is Alice."}]}
WHAT_NAME = {"model": "demo", "messages": [{"role": "user", "content": "What's my name?"}]}
WEATHER = {
    "model": "demo",
    "messages": [{"role": "user", "content": 'call get_weather with {"city":"Paris"}'}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ],
}
MODES = {"stateful": {}, "stateless": {"rhone": {"context_mode": "stateless"}}}
BREAKS = {"cut": "stream.interrupted", "empty": "stream.interrupted", "failing": "overloaded"}


def asking(model, content="hello"):
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def session_of(answer):
    """What the next call sends besides what is new. `rhone` is a member the SDK keeps without knowing it."""
    return {"rhone": {"session_id": answer.rhone["session_id"]}}


def text_of(answer):
    return answer.choices[0].message.content


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def failure(call):
    """The SDK's error of a call that must fail."""
    try:
        call()
    except openai.OpenAIError as error:
        return error
    raise AssertionError("the call must fail")


def check_error(error, kind, **members):
    assert isinstance(error, kind), repr(error)
    found = {name: getattr(error, name) for name in members}
    assert found == members, f"{found} != {members}"


@check
def a_whole_answer_is_the_sdks_own_type_with_our_object_beside_it():
    answer = chat.create(**ALICE)
    assert text_of(answer) == REMEMBERED
    assert (answer.model, answer.choices[0].finish_reason) == ("demo", "stop")
    assert answer.usage.total_tokens == 12
    assert answer.rhone["session_id"].startswith("sess_")


@check
def a_session_remembers_what_was_said_before():
    first = chat.create(**ALICE)
    second = chat.create(**WHAT_NAME, extra_body=session_of(first))
    assert text_of(second) == "Your name is Alice."
    assert second.rhone["context"] == {"mode": "stateful", "turns": 1}


@check
def the_headers_say_it_too_and_keep_the_body_clean():
    raw = chat.with_raw_response.create(**ALICE, extra_headers={"x-rhone-annotate": "headers"})
    assert text_of(raw.parse()) == REMEMBERED
    assert "rhone" not in raw.parse().model_extra
    assert (raw.headers["x-rhone-model"], raw.headers["x-rhone-provider"]) == ("demo", "demo")
    assert raw.request_id
    session = {"x-rhone-session-id": raw.headers["x-rhone-session-id"]}
    assert text_of(chat.create(**WHAT_NAME, extra_headers=session)) == "Your name is Alice."


@check
def a_stream_comes_chunk_by_chunk_and_names_its_session():
    chunks = list(chat.create(**ALICE, stream=True))
    assert joined(chunks) == REMEMBERED
    assert len(chunks) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert not any(chunk.usage for chunk in chunks)
    second = chat.create(**WHAT_NAME, extra_body=session_of(chunks[0]))
    assert text_of(second) == "Your name is Alice."


@check
def a_stream_tells_its_usage_when_asked():
    chunks = list(chat.create(**ALICE, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (4, 8)


@check
def the_stream_helper_folds_a_stream():
    with chat.stream(**ALICE) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    heard = "".join(event.delta for event in events if event.type == "content.delta")
    assert heard == text_of(final) == REMEMBERED
    assert [event.content for event in events if event.type == "content.done"] == [REMEMBERED]
    assert final.choices[0].finish_reason == "stop"


@check
def a_tool_is_called_and_its_result_continues_the_session():
    first = chat.create(**WEATHER)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 °C"}
    second = chat.create(**{**WEATHER, "messages": [result]}, extra_body=session_of(first))
    assert text_of(second) == "The tool says: Sunny, 21 °C"


@check
def a_tool_is_called_in_a_stream():
    with chat.stream(**WEATHER) as stream:
        final = stream.get_final_completion()
    function = final.choices[0].message.tool_calls[0].function
    assert (function.name, function.arguments) == ("get_weather", '{"city":"Paris"}')


@check
def every_character_is_kept():
    odd = 'Füße, 日本語, עברית, 👩‍👩‍👧‍👦, "quoted\\", \u2028 and \u0007'
    said = asking("demo", odd)
    assert text_of(chat.create(**said)) == f"You said: {odd}"
    assert joined(chat.create(**said, stream=True)) == f"You said: {odd}"


@check
def refusals_are_the_sdks_own_errors_whole_and_streamed():
    wrong = client.with_options(api_key="rhone_sk_wrong").chat.completions
    for more in ({}, {"stream": True}):
        error = failure(lambda: wrong.create(**ALICE, **more))
        check_error(error, openai.AuthenticationError, status_code=401, code="auth.invalid")
        error = failure(lambda: chat.create(model="demo", messages=[], **more))
        check_error(error, openai.BadRequestError, status_code=400, code="request.invalid", param="messages")
        error = failure(lambda: chat.create(**asking("fake/refuse"), **more))
        check_error(error, openai.BadRequestError, status_code=400, code="too_large", param="max_tokens")
        error = failure(lambda: chat.create(**asking("fake/flat"), **more))
        check_error(error, openai.UnprocessableEntityError, status_code=422, code="3051")
        error = failure(lambda: chat.create(**asking("no-such-model"), **more))
        check_error(error, openai.NotFoundError, status_code=404, code="model.not_found")
        typo = {"rhone": {"session_id": "sess_typo"}}
        error = failure(lambda: chat.create(**ALICE, **more, extra_body=typo))
        check_error(error, openai.NotFoundError, status_code=404, code="session.not_found")
        error = failure(lambda: chat.create(**asking("fake/limited"), **more))
        check_error(error, openai.RateLimitError, status_code=429, code="rate_limit")
        assert error.response.headers["retry-after"] == "7"
        error = failure(lambda: chat.create(**asking("fake/broken"), **more))
        check_error(error, openai.InternalServerError, status_code=500)
        assert error.request_id


@check
def a_broken_stream_raises_and_never_ends_as_a_success():
    for mode, body in MODES.items():
        for script, code in BREAKS.items():
            heard = []
            error = failure(
                lambda: heard.extend(chat.create(**asking(f"fake/{script}"), stream=True, extra_body=body))
            )
            check_error(error, openai.APIError, code=code)
            assert not [chunk for chunk in heard if chunk.choices[0].finish_reason], f"{mode} {script} was finished"


@check
def a_broken_stream_leaves_the_session_as_it_was():
    session = session_of(chat.create(**ALICE))
    failure(lambda: list(chat.create(**asking("fake/cut"), stream=True, extra_body=session)))
    answer = chat.create(**WHAT_NAME, extra_body=session)
    assert (text_of(answer), answer.rhone["context"]["turns"]) == ("Your name is Alice.", 1)


@check
def a_reply_outlives_a_client_that_leaves():
    with chat.create(**asking("fake/slow", "count"), stream=True) as stream:
        session = session_of(next(iter(stream)))
    shown = text_of(chat.create(**asking("fake/mirror", "and?"), extra_body=session))
    assert '"One two three."' in shown, shown


@check
def models_are_listed_and_each_can_be_retrieved():
    models = list(client.models.list())
    assert {"demo", "fake/*"} <= {model.id for model in models}
    for model in models:
        assert client.models.retrieve(model.id) == model
    check_error(failure(lambda: client.models.retrieve("no-such-model")), openai.NotFoundError, status_code=404)


def async_client():
    return AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=60)


@check
async def the_async_client_streams_and_goes_on():
    async with async_client() as client:
        chat = client.chat.completions
        chunks = [chunk async for chunk in await chat.create(**ALICE, stream=True)]
        assert joined(chunks) == REMEMBERED
        async with chat.stream(**WHAT_NAME, extra_body=session_of(chunks[-1])) as stream:
            final = await stream.get_final_completion()
        assert text_of(final) == "Your name is Alice."


@check
async def a_session_answers_all_who_call_at_once():
    async with async_client() as client:
        chat = client.chat.completions
        session = session_of(await chat.create(**ALICE))
        answers = await asyncio.gather(*(chat.create(**WHAT_NAME, extra_body=session) for _ in range(8)))
    assert [text_of(answer) for answer in answers] == ["Your name is Alice."] * 8
    assert sorted(answer.rhone["context"]["turns"] for answer in answers) == list(range(1, 9))


@check
async def the_async_client_raises_for_a_broken_stream():
    async with async_client() as client:
        stream = await client.chat.completions.create(**asking("fake/cut"), stream=True)
        try:
            async for _ in stream:
                pass
        except openai.APIError as error:
            check_error(error, openai.APIError, code="stream.interrupted")
        else:
            raise AssertionError("the stream must fail")


if __name__ == "__main__":
    sys.exit(run_all())
