"""The official Python SDK of Google (google-genai) against a served gateway, at RHONE_BASE_URL with the key RHONE_KEY.

Run by python.test.ts, or by hand.
"""

import sys

from checks import KEY, ORIGIN, PROVIDERS, REMEMBERED, SESSION, check, check_each, holds, raised, run_all, same
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

OPTIONS = types.HttpOptions(base_url=ORIGIN, timeout=60_000, retry_options=types.HttpRetryOptions(attempts=1))

client = genai.Client(api_key=KEY, http_options=OPTIONS)
models = client.models

SIGNATURE = "Eg4Kgemini+fake/signatureAA="


class Weather(BaseModel):
    city: str
    degrees: float


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"fine in {city}"


def whole(model, contents, **config):
    return models.generate_content(model=model, contents=contents, config=config)


def streamed(model, contents, **config):
    """The chunks of a stream as the one answer they are."""
    chunks = list(models.generate_content_stream(model=model, contents=contents, config=config))
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or []]
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or []]
    answer = chunks[-1]
    answer.candidates[0].content = types.Content(role="model", parts=parts)
    return answer


WAYS = (whole, streamed)


def text_of(answer, thought=None):
    parts = answer.candidates[0].content.parts
    return "".join(part.text or "" for part in parts if part.thought == thought)


def in_session(answer):
    return {"http_options": {"headers": {SESSION: answer.sdk_http_response.headers[SESSION]}}}


@check_each(PROVIDERS)
def an_answer_is_the_sdks_own_type_whole_and_streamed(provider):
    for ask in WAYS:
        answer = ask(f"{provider}/say", "hello")
        same(text_of(answer), "Said say.")
        same(answer.candidates[0].finish_reason, types.FinishReason.STOP)
        usage = answer.usage_metadata
        same((usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count), (12, 5, 17))


@check_each(PROVIDERS)
def functions_are_called_by_the_sdks_own_loop(provider):
    answer = whole(f"{provider}/tools", "hello", tools=[get_weather])
    same(answer.text, 'It is fine in Paris and fine in Rome.')


@check_each(PROVIDERS)
def functions_are_called_at_once_in_a_stream(provider):
    manual = types.AutomaticFunctionCallingConfig(disable=True)
    answer = streamed(f"{provider}/tools", "hello", tools=[get_weather], automatic_function_calling=manual)
    calls = [part.function_call for part in answer.candidates[0].content.parts if part.function_call]
    same([(call.name, call.args) for call in calls], [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})])


@check_each(PROVIDERS)
def thoughts_are_told_and_an_answer_can_be_sent_back_as_it_came(provider):
    for ask in WAYS:
        first = ask(f"{provider}/think", "hello", thinking_config={"include_thoughts": True})
        same((text_of(first, thought=True), text_of(first)), ("Let me think.", "Said think."))
        contents = [
            types.Content(role="user", parts=[types.Part(text="hello")]),
            first.candidates[0].content,
            types.Content(role="user", parts=[types.Part(text="and?")]),
        ]
        shown = text_of(ask(f"{provider}/think", contents))
        if provider == "fakegem":
            # The SDK holds bytes, and writes them in the other base64 alphabet.
            assert holds(shown, thoughtSignature=SIGNATURE.replace("+", "-").replace("/", "_")), shown


@check_each(PROVIDERS)
def structured_output_is_parsed(provider):
    answer = whole(
        f"{provider}/json", "hello", response_mime_type="application/json", response_schema=Weather
    )
    same(answer.parsed, Weather(city="Paris", degrees=21))


@check_each(PROVIDERS)
def refusals_are_the_sdks_own_errors(provider):
    kinds = {
        "refuse": (errors.ClientError, 400, "max_tokens is too large"),
        "limited": (errors.ClientError, 429, "Slow down"),
        "broken": (errors.ServerError, 500, "Internal trouble"),
    }
    for ask in WAYS:
        for script, (kind, code, message) in kinds.items():
            error = raised(kind, lambda: ask(f"{provider}/{script}", "hello"))
            same((error.code, error.message), (code, message))


@check_each(PROVIDERS)
def a_broken_stream_raises(provider):
    for script in ("cut", "failing"):
        raised(errors.APIError, lambda: streamed(f"{provider}/{script}", "hello"))


@check_each(PROVIDERS)
def a_chat_resends_what_was_said(provider):
    chat = client.chats.create(model=f"{provider}/mirror")
    list(chat.send_message_stream("My name is Alice."))
    assert "My name is Alice." in chat.send_message("What's my name?").text


@check
def a_session_remembers_what_was_said_before():
    first = whole("demo", "My name is Alice.")
    same(first.text, REMEMBERED)
    for ask in WAYS:
        same(text_of(ask("demo", "What's my name?", **in_session(first))), "Your name is Alice.")


@check
def what_is_not_there_is_a_client_error():
    same(raised(errors.ClientError, lambda: whole("no-such-model", "hi")).code, 404)
    typo = {"http_options": {"headers": {SESSION: "sess_typo"}}}
    same(raised(errors.ClientError, lambda: whole("demo", "hi", **typo)).code, 404)
    wrong = genai.Client(api_key="rhone_sk_wrong", http_options=OPTIONS)
    same(raised(errors.ClientError, lambda: wrong.models.generate_content(model="demo", contents="hi")).code, 401)


@check
async def the_async_client_streams():
    chunks = [
        chunk async for chunk in await client.aio.models.generate_content_stream(model="demo", contents="My name is Alice.")
    ]
    same("".join(chunk.text or "" for chunk in chunks), REMEMBERED)


if __name__ == "__main__":
    sys.exit(run_all())
