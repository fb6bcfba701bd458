"""What people do with Anthropic's Python SDK works, and says the same streamed and whole."""

import anthropic
import pytest

from dialect_models import TEXT_MODEL

QUESTION = [{"role": "user", "content": "Name three rivers and where they end."}]


def connect(dialects, **credentials):
    return anthropic.Anthropic(base_url=dialects.base_url.removesuffix("/v1"), max_retries=0,
                               **credentials)


@pytest.fixture(scope="module")
def client(dialects):
    with connect(dialects, api_key=dialects.token) as made:
        yield made


def options(**more):
    # The SDK has no parameter for the temperature any more.
    return {"model": TEXT_MODEL, "max_tokens": 16, "messages": QUESTION,
            "extra_body": {"temperature": 0}, **more}


def test_a_message(client):
    answer = client.messages.create(**options())
    assert answer.type == "message" and answer.role == "assistant" and answer.model == TEXT_MODEL
    assert [block.type for block in answer.content] == ["text"]
    assert len(answer.content[0].text) > 20
    assert answer.stop_reason == "max_tokens" and answer.stop_sequence is None
    assert answer.usage.output_tokens == 16


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = client.messages.create(**options())
    with client.messages.stream(**options()) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 16
    kinds = [event.type for event in client.messages.create(**options(stream=True))]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]


def test_a_stop_sequence_is_named(client):
    whole = client.messages.create(**options()).content[0].text
    stop = whole[len(whole) // 2:len(whole) // 2 + 4]
    answer = client.messages.create(**options(stop_sequences=["never said", stop]))
    assert answer.content[0].text == whole[:whole.index(stop)]
    assert answer.stop_reason == "stop_sequence" and answer.stop_sequence == stop


def test_the_end_of_a_turn(client):
    answer = client.messages.create(
        **options(max_tokens=200, messages=[{"role": "user", "content": "Say only: hello"}]))
    assert answer.stop_reason == "end_turn"


def test_system_and_blocks(client):
    turns = [*QUESTION, {"role": "assistant", "content": [{"type": "text", "text": "The Nile."}]},
             {"role": "user", "content": [{"type": "text", "text": "And one more?"}]}]
    answer = client.messages.create(
        **options(messages=turns, system=[{"type": "text", "text": "You are terse."}]))
    assert answer.content[0].text


def test_tokens_are_counted_as_they_are_billed(client):
    asked = {"model": TEXT_MODEL, "messages": QUESTION, "system": "You are terse."}
    counted = client.messages.count_tokens(**asked).input_tokens
    usage = client.messages.create(**options(system="You are terse.")).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_both_headers_are_tokens(dialects):
    with connect(dialects, auth_token=dialects.token) as client:
        assert client.messages.create(**options()).content
    with connect(dialects, api_key="sk-wrong") as stranger:
        with pytest.raises(anthropic.AuthenticationError) as error:
            stranger.messages.create(**options())
    assert error.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("more, word", [
    ({"max_tokens": 0}, "max_tokens"),
    ({"tools": [{"name": "f", "input_schema": 1}]}, "tools"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {
        "type": "base64", "media_type": "image/png", "data": "aGk="}}]}]}, "image"),
    ({"messages": [*QUESTION, {"role": "assistant", "content": "The"}]}, "assistant"),
    ({"messages": [{"role": "user", "content": "river " * 20_000}]}, "tokens"),
])
def test_refusals_say_why(client, more, word):
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError) as error:
            client.messages.create(**options(stream=stream, **more))
        assert error.value.body["error"]["type"] == "invalid_request_error"
        assert word in error.value.body["error"]["message"]


def test_unknown_model(client):
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(**options(model="other"))
    assert TEXT_MODEL in error.value.body["error"]["message"]
