"""What people do with OpenAI's Python SDK works, and says the same streamed and whole."""

import math

import openai
import pytest

QUESTION = [{"role": "user", "content": "Name three rivers and where they end."}]


def chat(client, model, **options):
    options = {"messages": QUESTION, "temperature": 0, "max_tokens": 24, **options}
    return client.chat.completions.create(model=model, **options)


def joined(chunks, choice=0):
    """(text, finish reason) of one choice of a stream."""
    text, reason = "", None
    for chunk in chunks:
        for part in chunk.choices:
            if part.index != choice:
                continue
            assert reason is None, "a delta after the end"
            text += (part.delta.content or "") if hasattr(part, "delta") else part.text
            reason = part.finish_reason
    return text, reason


def test_models_are_listed(client):
    models = client.models.list().data
    assert [model.id for model in models] == ["smollm2-135m-instruct"]
    assert client.models.retrieve(models[0].id).object == "model"
    assert models[0].numerics_ids[0].startswith("cpu-")


def test_chat_answers_and_counts(client, model):
    answer = chat(client, model)
    assert answer.object == "chat.completion"
    assert answer.model == model
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert len(choice.message.content) > 20
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.prompt_tokens > 10
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_answer_ends_by_itself(client, model):
    answer = chat(client, model, messages=[{"role": "user", "content": "Say only: hello"}],
                  max_tokens=200)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens < 200
    assert "<|im_end|>" not in answer.choices[0].message.content


def test_stream_says_what_the_whole_answer_says(client, model):
    whole = chat(client, model)
    chunks = list(chat(client, model, stream=True))
    text, reason = joined(chunks)
    assert text == whole.choices[0].message.content
    assert reason == whole.choices[0].finish_reason
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len(chunks) > 5
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_reports_usage_only_when_asked(client, model):
    assert all(chunk.usage is None for chunk in chat(client, model, stream=True))
    *others, last = chat(client, model, stream=True, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in others)
    assert last.choices == []
    assert last.usage.completion_tokens == 24
    assert last.usage.prompt_tokens == chat(client, model).usage.prompt_tokens


def test_text_beyond_ascii_arrives_whole(client, model):
    question = [{"role": "user", "content": "Repeat exactly: 你好世界 😀 naïve"}]
    whole = chat(client, model, messages=question).choices[0].message.content
    text, _ = joined(chat(client, model, messages=question, stream=True))
    assert text == whole


def test_system_message_and_turns(client, model):
    turns = [{"role": "system", "content": "You are terse."}, *QUESTION,
             {"role": "assistant", "content": "The Nile, the Rhine and the Po."},
             {"role": "user", "content": [{"type": "text", "text": "And one more?"}]}]
    answer = chat(client, model, messages=turns)
    assert answer.choices[0].message.content
    assert answer.usage.prompt_tokens > chat(client, model).usage.prompt_tokens


def test_completion(client, model):
    options = {"model": model, "prompt": "The capital of France is", "temperature": 0,
               "max_tokens": 12}
    whole = client.completions.create(**options)
    assert "Paris" in whole.choices[0].text
    assert whole.usage.completion_tokens == 12
    text, reason = joined(client.completions.create(**options, stream=True))
    assert (text, reason) == (whole.choices[0].text, "length")


def test_stop_string_ends_the_answer_before_itself(client, model):
    whole = chat(client, model, max_tokens=48).choices[0].message.content
    stop = whole[len(whole) // 2:len(whole) // 2 + 4]
    expected = whole[:whole.index(stop)]
    stopped = chat(client, model, max_tokens=48, stop=[stop, "never said"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (expected, "stop")
    assert joined(chat(client, model, max_tokens=48, stop=stop, stream=True)) == (expected, "stop")


def test_seed_repeats_and_other_seeds_differ(client, model):
    def sample(seed):
        return chat(client, model, temperature=1, seed=seed).choices[0].message.content
    assert sample(7) == sample(7)
    assert len({sample(seed) for seed in (7, 8, 9)}) > 1


def test_two_choices(client, model):
    one = chat(client, model, temperature=1, seed=7)
    two = chat(client, model, temperature=1, seed=7, n=2)
    assert [choice.index for choice in two.choices] == [0, 1]
    texts = [choice.message.content for choice in two.choices]
    assert texts[0] == one.choices[0].message.content
    assert texts[1] != texts[0]
    assert two.usage.prompt_tokens == one.usage.prompt_tokens
    assert two.usage.completion_tokens == 48
    chunks = list(chat(client, model, temperature=1, seed=7, n=2, stream=True))
    assert [joined(chunks, choice)[0] for choice in (0, 1)] == texts


def test_logit_bias_decides(client, model):
    text = client.completions.create(model=model, prompt="The capital of France is", temperature=0,
                                     max_tokens=3, logit_bias={"28": 100}).choices[0].text
    assert text and text == text[:len(text) // 3] * 3


def entries(chunks):
    """(text, logprobs) of each chunk of a stream that has either."""
    for chunk in chunks:
        for part in chunk.choices:
            text = part.delta.content or "" if hasattr(part, "delta") else part.text
            if text or part.logprobs:
                yield text, part.logprobs


# The answer has characters of several tokens each.
RARE = [{"role": "user", "content": "Write 5 emojis: 😀 🦜 🏔️ and the Chinese word for parrot: 鹦鹉"}]


def test_logprobs_have_the_bytes_of_the_text(client, model):
    options = {"messages": RARE, "logprobs": True, "top_logprobs": 20, "seed": 5, "temperature": 1,
               "logit_bias": {"164": 8}, "max_tokens": 40}
    whole = chat(client, model, **options).choices[0]
    content = whole.logprobs.content
    text = b"".join(bytes(entry.bytes) for entry in content)
    assert text.decode(errors="replace") == whole.message.content
    assert any(entry.token.startswith("\\x") for entry in content), "no character was cut"
    for entry in content:
        tops = entry.top_logprobs
        assert len(tops) == 20
        assert [top.logprob for top in tops] == sorted((top.logprob for top in tops), reverse=True)
        assert 0.2 < sum(math.exp(top.logprob) for top in tops) < 1.0001
        same = [top for top in tops if top.bytes == entry.bytes]
        assert same and same[0].logprob == entry.logprob or entry.logprob <= tops[-1].logprob

    streamed = []
    for text, logprobs in entries(chat(client, model, **options, stream=True)):
        streamed.extend(logprobs.content if logprobs else [])
        # Aligned: the text so far never has more than the tokens so far.
        assert bool(text) == bool(logprobs)
    assert streamed == content


def test_logprobs_do_not_depend_on_how_the_token_was_chosen(client, model):
    plain = chat(client, model, max_tokens=1, logprobs=True, top_logprobs=3).choices[0].logprobs
    hot = chat(client, model, max_tokens=1, logprobs=True, top_logprobs=3, temperature=2, seed=1,
               presence_penalty=2, logit_bias={"28": 100}).choices[0].logprobs
    assert hot.content[0].top_logprobs == plain.content[0].top_logprobs
    assert hot.content[0].token == ","
    assert hot.content[0].logprob < plain.content[0].logprob


def test_logprobs_of_a_stop_string_are_cut_with_it(client, model):
    options = {"logprobs": True, "max_tokens": 48}
    whole = chat(client, model, **options).choices[0]
    stop = "".join(entry.token for entry in whole.logprobs.content[10:12])
    stopped = chat(client, model, **options, stop=stop).choices[0]
    assert stopped.finish_reason == "stop"
    text = b"".join(bytes(entry.bytes) for entry in stopped.logprobs.content).decode()
    assert text.startswith(stopped.message.content)
    assert stopped.logprobs.content == whole.logprobs.content[:len(stopped.logprobs.content)]
    streamed = []
    for text, logprobs in entries(chat(client, model, **options, stop=stop, stream=True)):
        streamed.extend(logprobs.content if logprobs else [])
    assert streamed == stopped.logprobs.content


def test_completion_logprobs(client, model):
    options = {"model": model, "prompt": "Ein Vogel heißt 鹦鹉 oder 🦜, naïve 鹦鹉 🦜 鹦", "max_tokens": 24,
               "temperature": 0, "logprobs": 5}
    choice = client.completions.create(**options).choices[0]
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == 24
    assert told.text_offset[0] == 0 and told.text_offset == sorted(told.text_offset)
    assert any(token.startswith("bytes:") for token in told.tokens), "no character was cut"
    for token, offset, logprob, top in zip(told.tokens, told.text_offset, told.token_logprobs,
                                           told.top_logprobs):
        assert top[token] == logprob
        assert max(top.values()) == logprob  # greedy
        assert 5 <= len(top) <= 6
        assert token.startswith("bytes:") or choice.text[offset:].startswith(token)
    streamed = [[], [], [], []]
    for _, logprobs in entries(client.completions.create(**options, stream=True)):
        if logprobs:
            for to, part in zip(streamed, (logprobs.tokens, logprobs.text_offset,
                                           logprobs.token_logprobs, logprobs.top_logprobs)):
                to.extend(part)
    assert streamed == [told.tokens, told.text_offset, told.token_logprobs, told.top_logprobs]


def complete(client, model, **options):
    return client.completions.create(model=model, temperature=0, **options)


PARAGRAPH = "The capital of France is Paris. Its river, the Seine, flows past 鹦鹉 and 🦜. " * 12


def test_echo_scores_the_prompt_as_sampling_would(client, model):
    whole = complete(client, model, prompt=PARAGRAPH, max_tokens=8, echo=True, logprobs=1)
    choice, told = whole.choices[0], whole.choices[0].logprobs
    assert choice.text.startswith(PARAGRAPH)
    assert len(told.tokens) == whole.usage.prompt_tokens + 8
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    assert all(logprob <= 0 for logprob in told.token_logprobs[1:])
    for token, offset in zip(told.tokens, told.text_offset):
        assert token.startswith("bytes:") or choice.text[offset:].startswith(token)
    # What is read and what is said have one arithmetic: read back, the answer has the same numbers.
    again = complete(client, model, prompt=choice.text, max_tokens=0, echo=True, logprobs=1)
    assert again.choices[0].text == choice.text
    assert again.usage.completion_tokens == 0
    if again.choices[0].logprobs.tokens == told.tokens:  # it was tokenized as it was sampled
        assert again.choices[0].logprobs == told
    else:
        known = len(told.tokens) - 8
        assert again.choices[0].logprobs.token_logprobs[:known] == told.token_logprobs[:known]


def test_echo_streams_what_it_says_whole(client, model):
    options = {"prompt": PARAGRAPH, "max_tokens": 4, "echo": True, "logprobs": 2}
    told = complete(client, model, **options).choices[0]
    streamed, text = [], ""
    for part, logprobs in entries(complete(client, model, **options, stream=True)):
        text += part
        if logprobs:
            streamed.extend(zip(logprobs.tokens, logprobs.text_offset, logprobs.token_logprobs,
                                logprobs.top_logprobs))
    assert text == told.text
    assert streamed == list(zip(told.logprobs.tokens, told.logprobs.text_offset,
                                told.logprobs.token_logprobs, told.logprobs.top_logprobs))


def test_scores_of_token_ids_as_evaluations_ask_for_them(client, model):
    """lm-eval's local-completions: prompts as ids, echo, one token more, one score for each."""
    prompts = [[504, 3575, 282, 4649, 314], [504, 3575], [5, 6, 7, 8, 9, 10, 11]]
    answer = complete(client, model, prompt=prompts, max_tokens=1, echo=True, logprobs=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for ids, choice in zip(prompts, answer.choices):
        assert len(choice.logprobs.token_logprobs) == len(ids) + 1
        alone = complete(client, model, prompt=ids, max_tokens=1, echo=True, logprobs=1)
        assert alone.choices[0].logprobs == choice.logprobs
    assert answer.usage.prompt_tokens == 14
    assert answer.usage.completion_tokens == 3


def test_several_prompts_are_answered_as_each_alone(client, model):
    prompts = ["The capital of France is", "One, two, three,", "Water boils at"]
    alone = [complete(client, model, prompt=prompt, max_tokens=6).choices[0].text
             for prompt in prompts]
    together = complete(client, model, prompt=prompts, max_tokens=6, n=2)
    assert [choice.index for choice in together.choices] == list(range(6))
    assert [choice.text for choice in together.choices] == [text for text in alone for _ in (0, 1)]
    assert together.usage.completion_tokens == 36
    chunks = list(complete(client, model, prompt=prompts, max_tokens=6, stream=True))
    assert [joined(chunks, index)[0] for index in range(3)] == alone


def test_one_wrong_prompt_refuses_all(client, model):
    for prompts in (["fine", "river " * 20_000], [[504], [10**6]], ["a"] * 129):
        with pytest.raises(openai.BadRequestError):
            complete(client, model, prompt=prompts, max_tokens=2)


def test_no_logprobs_unless_asked(client, model):
    assert chat(client, model).choices[0].logprobs is None
    assert all(chunk.choices[0].logprobs is None for chunk in chat(client, model, stream=True))


def test_unknown_model_names_those_there_are(client):
    with pytest.raises(openai.NotFoundError) as error:
        chat(client, "gpt-17")
    assert error.value.code == "model_not_found"
    assert "gpt-17" in error.value.message
    assert "smollm2-135m-instruct" in error.value.message


def test_prompt_beyond_the_context(client, model):
    long = [{"role": "user", "content": "river " * 20_000}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as error:
            chat(client, model, messages=long, stream=stream)
        assert error.value.code == "context_length_exceeded"


@pytest.mark.parametrize("options, field", [
    ({"temperature": 3}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"n": 0}, "n"),
    ({"presence_penalty": 5}, "presence_penalty"),
    ({"messages": []}, "messages"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"extra_body": {"stop": 7}}, "stop"),
    ({"logit_bias": {"49152": 1}}, "logit_bias"),
    ({"logit_bias": {"1": 101}}, "logit_bias"),
    ({"extra_body": {"stop_token_ids": [49152]}}, "stop_token_ids"),
    ({"extra_body": {"min_p": -1}}, "min_p"),
    ({"extra_body": {"top_k": -2}}, "top_k"),
    ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty"),
    ({"extra_body": {"min_tokens": 25}}, "min_tokens"),
])
def test_wrong_parameter_is_named(client, model, options, field):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, model, **options)
    assert error.value.param == field
    assert field in error.value.message


def test_wrong_key(server, model):
    with openai.OpenAI(base_url=server.base_url, api_key="sk-wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as error:
            chat(stranger, model)
    assert error.value.code == "invalid_api_key"


def test_async_client(server, model):
    import asyncio

    async def ask():
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=server.token,
                                      max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=model, messages=QUESTION, temperature=0, max_tokens=24, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    with openai.OpenAI(base_url=server.base_url, api_key=server.token, max_retries=0) as client:
        assert asyncio.run(ask()) == chat(client, model).choices[0].message.content
