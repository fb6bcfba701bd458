"""What people do with Ollama's Python library works against --ollama, without a token."""

import json
import urllib.request

import ollama
import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL

QUESTION = [{"role": "user", "content": "Name three rivers and where they end."}]
GREEDY = {"temperature": 0, "num_predict": 16}


@pytest.fixture(scope="module")
def client(dialects):
    return ollama.Client(host=dialects.ollama)


def test_lists_what_there_is(client):
    models = {model.model: model for model in client.list().models}
    assert set(models) == {f"{TEXT_MODEL}:latest", f"{EMBEDDING_MODEL}:latest"}
    text = models[f"{TEXT_MODEL}:latest"]
    assert text.size > 50_000_000 and len(text.digest) == 64 and text.details.family == "llama"
    assert {model.model for model in client.ps().models} == set(models)
    shown = client.show(TEXT_MODEL)
    assert shown.capabilities == ["completion"]
    assert shown.modelinfo["llama.context_length"] > 1000
    assert client.show(EMBEDDING_MODEL).capabilities == ["embedding"]


def test_a_streamed_chat_says_what_the_whole_one_says(client):
    whole = client.chat(f"{TEXT_MODEL}:latest", QUESTION, options=GREEDY)
    assert whole.done and whole.done_reason == "length" and len(whole.message.content) > 20
    assert whole.eval_count == 16 and whole.prompt_eval_count > 10
    assert whole.total_duration >= whole.eval_duration > 0
    *pieces, last = client.chat(TEXT_MODEL, QUESTION, options=GREEDY, stream=True)
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert last.done and last.eval_count == 16
    assert not any(piece.done for piece in pieces)


def test_generate_uses_the_template_unless_raw(client):
    chat = client.chat(TEXT_MODEL, QUESTION, options=GREEDY)
    asked = client.generate(TEXT_MODEL, QUESTION[0]["content"], options=GREEDY)
    assert asked.response == chat.message.content
    raw = client.generate(TEXT_MODEL, "The capital of France is", raw=True, options=GREEDY)
    assert "Paris" in raw.response
    pieces = client.generate(TEXT_MODEL, "The capital of France is", raw=True, options=GREEDY,
                             stream=True)
    assert "".join(piece.response for piece in pieces) == raw.response


def test_stop_and_seed(client):
    whole = client.chat(TEXT_MODEL, QUESTION, options=GREEDY).message.content
    stop = whole[len(whole) // 2:len(whole) // 2 + 4]
    stopped = client.chat(TEXT_MODEL, QUESTION, options={**GREEDY, "stop": [stop]})
    assert stopped.message.content == whole[:whole.index(stop)]
    assert stopped.done_reason == "stop"
    def sample():
        options = {"temperature": 1, "seed": 7, "num_predict": 8}
        return client.chat(TEXT_MODEL, QUESTION, options=options).message.content
    assert sample() == sample()


def test_load_and_unload(client):
    assert client.generate(TEXT_MODEL).done_reason == "load"
    assert client.generate(TEXT_MODEL, keep_alive=0).done_reason == "unload"
    assert client.chat(TEXT_MODEL, QUESTION, options=GREEDY, keep_alive="5m").done


def test_embeddings(client):
    one, two = client.embed(EMBEDDING_MODEL, ["hello", "a river"]).embeddings
    assert len(one) == 384
    assert client.embed(EMBEDDING_MODEL, "hello").embeddings[0] == pytest.approx(one, abs=1e-5)
    old = client.embeddings(EMBEDDING_MODEL, "a river").embedding
    assert list(old) == pytest.approx(list(two), abs=1e-5)
    cut = client.embed(EMBEDDING_MODEL, "river " * 1000)
    assert cut.prompt_eval_count <= 512
    with pytest.raises(ollama.ResponseError) as error:
        client.embed(EMBEDDING_MODEL, "river " * 1000, truncate=False)
    assert error.value.status_code == 400


@pytest.mark.parametrize("ask, status, word", [
    (lambda client: client.chat("other", QUESTION), 404, "not found"),
    (lambda client: client.show("other"), 404, "not found"),
    (lambda client: client.chat(TEXT_MODEL, QUESTION, format={"not": {}}), 400, "not"),
    (lambda client: client.generate(TEXT_MODEL, "a", suffix="b"), 400, "suffix"),
    (lambda client: client.generate(TEXT_MODEL, "a", images=["aGk="]), 400, "images"),
    (lambda client: client.chat(EMBEDDING_MODEL, QUESTION), 400, "makes embeddings"),
    (lambda client: client.embed(TEXT_MODEL, "a"), 400, "makes no embeddings"),
    (lambda client: client.pull("llama3"), 501, "not possible here"),
    (lambda client: client.delete(TEXT_MODEL), 501, "not possible here"),
    (lambda client: client.copy(TEXT_MODEL, "b"), 501, "not possible here"),
])
def test_refusals_say_why(client, ask, status, word):
    with pytest.raises(ollama.ResponseError) as error:
        ask(client)
    assert error.value.status_code == status
    assert word in error.value.error


def test_a_stream_that_is_refused(client):
    with pytest.raises(ollama.ResponseError) as error:
        list(client.chat("other", QUESTION, stream=True))
    assert error.value.status_code == 404


def ask(url, method="GET", headers=None):
    """(status, body)"""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_command_lines_heartbeat(dialects):
    assert ask(dialects.ollama + "/") == (200, "Ollama is running")
    assert ask(dialects.ollama + "/", "HEAD") == (200, "")
    status, body = ask(dialects.ollama + "/api/version")
    assert status == 200 and json.loads(body)["version"]


def test_web_pages_are_kept_out(dialects):
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        status, body = ask(dialects.ollama + "/api/tags", headers=headers)
        assert status == 403
        assert isinstance(json.loads(body)["error"], str)


def test_the_other_listener_speaks_it_with_a_token(dialects):
    root = dialects.base_url.removesuffix("/v1")
    status, body = ask(root + "/api/tags")
    assert status == 401 and isinstance(json.loads(body)["error"], str)
    client = ollama.Client(host=root, headers={"Authorization": f"Bearer {dialects.token}"})
    assert client.chat(TEXT_MODEL, QUESTION, options=GREEDY).message.content


def test_the_v1_mirror(dialects):
    status, body = ask(dialects.ollama + "/v1/models")
    assert status == 200 and TEXT_MODEL in body
