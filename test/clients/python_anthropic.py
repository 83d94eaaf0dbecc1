"""The official Python SDK of Anthropic against a served gateway, at RHONE_BASE_URL with the key RHONE_KEY.

Run by python.test.ts, or by hand.
"""

import sys

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from checks import KEY, ORIGIN, PROVIDERS, REMEMBERED, SESSION, check, check_each, holds, raised, run_all, same
from pydantic import BaseModel

client = Anthropic(base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=60)
messages = client.messages

TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SIGNATURE = "EqYCanthropic+fake/signature=="


class Weather(BaseModel):
    city: str
    degrees: float


def asking(model, content="hello", **more):
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": content}], **more}


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def folded(**body):
    with messages.stream(**body) as stream:
        return stream.get_final_message()


WAYS = (messages.create, folded)


@check_each(PROVIDERS)
def an_answer_is_the_sdks_own_type_whole_and_streamed(provider):
    for ask in WAYS:
        message = ask(**asking(f"{provider}/say"))
        same(text_of(message), "Said say.")
        same((message.type, message.role, message.stop_reason), ("message", "assistant", "end_turn"))
        usage = message.usage
        same((usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens), (8, 4, 5))


@check_each(PROVIDERS)
def a_stream_comes_piece_by_piece(provider):
    with messages.stream(**asking(f"{provider}/json")) as stream:
        heard = list(stream.text_stream)
    assert len(heard) > 1
    same("".join(heard), '{"city":"Paris","degrees":21}')


@check_each(PROVIDERS)
def tools_are_called_at_once_and_take_their_results(provider):
    for ask in WAYS:
        first = ask(**asking(f"{provider}/tools", tools=[TOOL]))
        same(first.stop_reason, "tool_use")
        calls = [block for block in first.content if block.type == "tool_use"]
        same([call.input for call in calls], [{"city": "Paris"}, {"city": "Rome"}])
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"fine in {call.input['city']}"} for call in calls
        ]
        transcript = asking(f"{provider}/tools", tools=[TOOL])
        transcript["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        same(text_of(ask(**transcript)), "It is fine in Paris and fine in Rome.")


@check_each(PROVIDERS)
def thoughts_are_told_and_an_answer_can_be_sent_back_as_it_came(provider):
    for ask in WAYS:
        first = ask(**asking(f"{provider}/think", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=4000))
        thinking, text = first.content
        same((thinking.type, thinking.thinking, text.text), ("thinking", "Let me think.", "Said think."))
        body = asking(f"{provider}/think", max_tokens=4000)
        body["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "and?"}]
        shown = text_of(ask(**body))
        if provider == "fakeanth":
            assert holds(shown, type="thinking", thinking="Let me think.", signature=SIGNATURE), shown


@check_each(PROVIDERS)
def structured_output_is_parsed(provider):
    parsed = messages.parse(**asking(f"{provider}/json"), output_format=Weather)
    same(parsed.parsed_output, Weather(city="Paris", degrees=21))


@check_each(PROVIDERS)
def refusals_are_the_sdks_own_errors(provider):
    kinds = {
        "refuse": (anthropic.BadRequestError, "max_tokens is too large"),
        "limited": (anthropic.RateLimitError, "Slow down"),
        "broken": (anthropic.InternalServerError, "Internal trouble"),
    }
    for ask in WAYS:
        for script, (kind, message) in kinds.items():
            error = raised(kind, lambda: ask(**asking(f"{provider}/{script}")))
            same(error.body["error"]["message"], message)
            assert error.request_id
            if script == "limited":
                same(error.response.headers["retry-after"], "7")


@check_each(PROVIDERS)
def a_broken_stream_raises_and_never_ends_as_a_success(provider):
    for script in ("cut", "failing"):
        heard = []

        def read(script=script, heard=heard):
            for event in messages.create(**asking(f"{provider}/{script}"), stream=True):
                heard.append(event.type)

        raised(anthropic.APIError, read)
        assert "message_stop" not in heard


@check
def a_session_remembers_what_was_said_before():
    raw = messages.with_raw_response.create(**asking("demo", "My name is Alice."))
    same(text_of(raw.parse()), REMEMBERED)
    session = {SESSION: raw.headers[SESSION]}
    same(text_of(messages.create(**asking("demo", "What's my name?"), extra_headers=session)), "Your name is Alice.")
    same(text_of(folded(**asking("demo", "What's my name?"), extra_headers=session)), "Your name is Alice.")


@check
def what_is_not_there_is_a_not_found_error():
    raised(anthropic.NotFoundError, lambda: messages.create(**asking("no-such-model")))
    typo = {SESSION: "sess_typo"}
    raised(anthropic.NotFoundError, lambda: messages.create(**asking("demo"), extra_headers=typo))
    wrong = client.with_options(api_key="rhone_sk_wrong")
    raised(anthropic.AuthenticationError, lambda: wrong.messages.create(**asking("demo")))


@check
async def the_async_client_streams():
    async with AsyncAnthropic(base_url=ORIGIN, api_key=KEY, max_retries=0) as client:
        async with client.messages.stream(**asking("demo", "My name is Alice.")) as stream:
            same(await stream.get_final_text(), REMEMBERED)


if __name__ == "__main__":
    sys.exit(run_all())
