"""Embeddings with OpenAI's Python SDK, which asks for base64 unless it is told otherwise."""

import array
import math

import openai
import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL


@pytest.fixture(scope="module")
def client(dialects):
    with openai.OpenAI(base_url=dialects.base_url, api_key=dialects.token, max_retries=0) as made:
        yield made


def embed(client, texts, **options):
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=texts, **options)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def test_near_meanings_have_near_vectors(client):
    cat, kitten, bank = embed(client, ["A cat sleeps.", "The kitten is asleep.", "Banks lend money."])
    assert len(cat) == 384
    assert math.hypot(*cat) == pytest.approx(1, abs=1e-3)
    assert cosine(cat, kitten) > 0.6 > 0.3 > cosine(cat, bank)


def test_floats_and_base64_are_the_same_numbers(client):
    numbers = embed(client, "river", encoding_format="float")[0]
    assert embed(client, "river")[0] == list(array.array("f", numbers))


def test_a_batch_is_what_each_alone_is(client):
    texts = ["one", "two words", "今天天气很好"]
    for together, alone in zip(embed(client, texts), (embed(client, text)[0] for text in texts)):
        assert together == pytest.approx(alone, abs=1e-5)


def test_token_ids_are_taken_as_they_are(client):
    hello = [101, 7592, 102]  # [CLS] hello [SEP]
    for given in (hello, [hello]):
        assert embed(client, given)[0] == pytest.approx(embed(client, "hello")[0], abs=1e-6)


def test_usage_counts_what_was_read(client):
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["hello", "hello hello"])
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 3 + 4
    assert answer.model == EMBEDDING_MODEL


def test_as_many_as_openai_takes(client):
    vectors = embed(client, [[7592], [1037]] * 1024)  # more than one call of the worker's
    assert len(vectors) == 2048
    assert vectors[2046] == pytest.approx(vectors[0], abs=1e-5)
    assert vectors[2047] == pytest.approx(vectors[1], abs=1e-5)


def test_its_own_dimensions_and_no_others(client):
    assert len(embed(client, "a", dimensions=384)[0]) == 384
    with pytest.raises(openai.BadRequestError) as error:
        embed(client, "a", dimensions=7)
    assert error.value.param == "dimensions"


def test_a_text_that_is_too_long_is_named(client):
    with pytest.raises(openai.BadRequestError) as error:
        embed(client, ["fine", "river " * 1000])
    assert "input 1" in error.value.message


def test_each_model_does_what_it_can(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model=TEXT_MODEL, input="a")
    assert error.value.param == "model" and "makes no embeddings" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=EMBEDDING_MODEL, max_tokens=4,
                                       messages=[{"role": "user", "content": "hi"}])
    assert error.value.param == "model" and "makes embeddings" in error.value.message
    with pytest.raises(openai.NotFoundError) as error:
        client.embeddings.create(model="other", input="a")
    assert error.value.code == "model_not_found"


def test_the_list_says_what_each_model_can(client):
    models = {model.id: model for model in client.models.list().data}
    assert models[TEXT_MODEL].capabilities == ["completion"]
    assert models[EMBEDDING_MODEL].capabilities == ["embedding"]
    assert models[EMBEDDING_MODEL].embedding_size == 384


def test_a_request_without_a_model_goes_to_one_that_can(client, dialects):
    reply = dialects.post("/v1/embeddings", {"input": "a"})
    assert reply.json["model"] == EMBEDDING_MODEL
    reply = dialects.post("/v1/chat/completions",
                          {"max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]})
    assert reply.json["model"] == TEXT_MODEL
