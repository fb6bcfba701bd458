"""What a model thinks comes apart from what it answers, whatever happens on the way."""

import os
import signal

import openai
import pytest

from spillway_process import READY_SECONDS_MAX, SpillwayProcess, wait_until
from thinking_model import MESSAGES, write_thinking_model


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thinker")
    model = write_thinking_model(folder / "thinker.gguf")
    with SpillwayProcess(folder / "data", model=model) as process:
        yield process.wait_ready()


@pytest.fixture(scope="module")
def thinking_client(thinker):
    with openai.OpenAI(base_url=thinker.base_url, api_key=thinker.token, max_retries=0) as made:
        yield made


def ask(client, extra=None, **options):
    return client.chat.completions.create(model="thinker", messages=MESSAGES, extra_body=extra,
                                          **{"temperature": 0, "max_tokens": 90, **options})


def streamed(chunks, on_delta=lambda reasoning, content: None):
    """(reasoning, content, usage) of a stream; `on_delta` hears of both so far."""
    reasoning, content, usage = "", "", None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            assert isinstance(choice.delta.content, str), "a delta without content"
            more = getattr(choice.delta, "reasoning_content", None) or ""
            assert not (more and content), "reasoning behind the content"
            reasoning += more
            content += choice.delta.content
            on_delta(reasoning, content)
    return reasoning, content, usage


def counted(usage):
    return usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens


@pytest.fixture(scope="module")
def whole(thinking_client):
    answer = ask(thinking_client)
    message = answer.choices[0].message
    assert len(message.reasoning_content) > 40 and len(message.content) > 40
    return message.reasoning_content, message.content, answer.usage


def test_both_channels_are_what_the_model_wrote(thinking_client, whole):
    raw = ask(thinking_client, {"separate_reasoning": False}).choices[0].message
    assert not hasattr(raw, "reasoning_content")
    reasoning, content = raw.content.split("</think>", 1)
    assert whole[:2] == (reasoning.strip(), content.lstrip())


def test_a_stream_says_what_the_whole_answer_says(thinking_client, whole):
    chunks = ask(thinking_client, stream=True, stream_options={"include_usage": True})
    reasoning, content, usage = streamed(chunks)
    assert (reasoning, content) == whole[:2]
    assert counted(usage) == counted(whole[2])
    assert 10 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens - 10


def test_reasoning_can_be_left_out(thinking_client, whole):
    extra = {"include_reasoning": False}
    answer = ask(thinking_client, extra)
    assert not hasattr(answer.choices[0].message, "reasoning_content")
    assert answer.choices[0].message.content == whole[1]
    assert counted(answer.usage) == counted(whole[2])
    assert streamed(ask(thinking_client, extra, stream=True))[:2] == ("", whole[1])


def test_stop_strings_end_the_answer_alone(thinking_client, whole):
    reasoning, content, _ = whole
    word = next(word for word in content.split()[3:] if word in reasoning)
    message = ask(thinking_client, stop=word).choices[0].message
    assert message.reasoning_content == reasoning
    assert message.content == content[:content.index(word)]


def test_an_answer_cut_short_within_its_reasoning_has_no_content(thinking_client, whole):
    answer = ask(thinking_client, max_tokens=10)
    assert answer.choices[0].message.content == ""
    assert whole[0].startswith(answer.choices[0].message.reasoning_content)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 10


def test_logprobs_are_those_of_the_content(thinking_client, whole):
    logprobs = ask(thinking_client, logprobs=True).choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in logprobs).decode() == whole[1]

    text, scored = "", ""
    for chunk in ask(thinking_client, logprobs=True, stream=True):
        choice = chunk.choices[0]
        text += choice.delta.content
        if choice.logprobs:
            scored += "".join(token.token for token in choice.logprobs.content)
            assert scored == text
    assert scored == whole[1]


# While it thinks; when it has thought and writes the closing marker; while it answers.
@pytest.mark.parametrize("place", ["reasoning", "marker", "content"])
def test_a_killed_worker_is_gone_on_from_in_its_channel(thinker, thinking_client, whole, place):
    killed = []

    def kill_at_the_place(reasoning, content):
        reached = {"reasoning": len(reasoning) > 20, "marker": reasoning == whole[0],
                   "content": len(content) > 20}[place]
        if reached and not killed:
            killed.extend(thinker.worker_pids())
            os.kill(killed[0], signal.SIGKILL)

    resumes = thinker.metric("spillway_resumes_total") or 0
    chunks = ask(thinking_client, stream=True, stream_options={"include_usage": True})
    reasoning, content, usage = streamed(chunks, kill_at_the_place)

    assert (reasoning, content) == whole[:2]
    assert counted(usage) == counted(whole[2])
    assert thinker.metric("spillway_resumes_total") == resumes + 1
    wait_until(lambda: thinker.worker_pids() not in ([], killed), READY_SECONDS_MAX, thinker.log)
