"""What PAI-EAS's SDKs and sample clients send, made again from the reference: they need a region's endpoint."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import subprocess

import openai
import pytest

from dialect_models import EMBEDDING_MODEL, TEXT_MODEL
from spillway_process import BINARY, READY_SECONDS_MAX, wait_until

SERVICE = TEXT_MODEL.replace("-", "_")  # as EAS's names are: no dashes
PREDICT = f"/api/predict/{SERVICE}"
BODY = {"messages": [{"role": "user", "content": "Name three rivers."}], "top_k": 1,
        "max_completion_tokens": 16}


@pytest.fixture
def ask(dialects):
    connection = dialects.connection()

    def send(method, path, body=None, token=dialects.token):
        headers = {"Content-Type": "application/octet-stream"}  # the SDKs' own
        if token:
            headers["Authorization"] = token
        connection.request(method, path, body and json.dumps(body), headers)
        return connection.getresponse()

    yield send
    connection.close()


def test_the_bare_token_and_no_model(ask):
    reply = ask("POST", f"{PREDICT}/v1/chat/completions", BODY)
    answer = json.loads(reply.read())
    assert reply.status == 200 and answer["model"] == SERVICE
    assert len(answer["choices"][0]["message"]["content"]) > 10
    refused = ask("POST", f"{PREDICT}/v1/chat/completions", BODY, token="sk-wrong")
    assert refused.status == 401 and json.loads(refused.read())["error"]["code"] == "invalid_api_key"


def test_bladellm_s_client_reads_the_stream(ask):
    """It cuts six characters off each line, and reads a content that must be there."""
    reply = ask("POST", f"{PREDICT}/v1/chat/completions", {**BODY, "stream": True})
    text, done = "", False
    for line in reply:
        line = line.decode().rstrip("\n")
        if not line:
            continue
        assert line.startswith("data: ")
        if line[6:] == "[DONE]":
            done = True
            break
        text += json.loads(line[6:])["choices"][0]["delta"]["content"]
    assert done and len(text) > 10


def test_the_web_ui_s_client(dialects):
    """It asks for the models, takes the first, and replaces within each content."""
    endpoint = f"{dialects.base_url.removesuffix('/v1')}{PREDICT}/"
    with openai.OpenAI(base_url=endpoint + "v1", api_key=dialects.token, max_retries=0) as client:
        model = client.models.list().data[0].id
        assert model == TEXT_MODEL
        stream = client.chat.completions.create(model=model, messages=BODY["messages"], stream=True,
                                                max_completion_tokens=16, temperature=0.7, top_p=0.8)
        assert "".join(chunk.choices[0].delta.content.replace("\n", " ") for chunk in stream)


def test_each_service_has_its_own_model(dialects, ask):
    endpoint = f"{dialects.base_url.removesuffix('/v1')}/api/predict/{EMBEDDING_MODEL}/v1"
    with openai.OpenAI(base_url=endpoint, api_key=dialects.token, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [EMBEDDING_MODEL]
        assert client.embeddings.create(model=EMBEDDING_MODEL, input="a text").data[0].embedding
        with pytest.raises(openai.NotFoundError, match="this service has: " + EMBEDDING_MODEL):
            client.embeddings.create(model=TEXT_MODEL, input="a text")


def test_paisdk_s_wait_for_readiness(ask):
    ready = ask("GET", PREDICT)
    assert ready.status == 200 and b"no healthy upstream" not in ready.read()
    unknown = ask("GET", "/api/predict/unheard_of")
    assert unknown.status == 404 and unknown.read()


def test_the_path_of_an_api_is_missing(ask):
    reply = ask("POST", PREDICT, BODY)
    assert reply.status == 404
    assert f"{PREDICT}/v1/chat/completions" in json.loads(reply.read())["error"]["message"]


@pytest.mark.parametrize("path", ["/exported/apis/eas.alibaba-inc.k8s.io/v1/upstreams/",
                                  "/api/v1/servicediscovery/upstreams/"])
def test_discovery_asks_for_no_token_and_leads_here(dialects, ask, path):
    reply = ask("GET", f"{path}{SERVICE}?internal=true", token=None)
    found = json.loads(reply.read())
    assert found["correlative"] == [SERVICE]
    [item] = found["endpoints"]["items"]
    there = http.client.HTTPConnection(item["ip"], item["port"], timeout=60)
    there.request("GET", PREDICT, headers={"Authorization": dialects.token})
    assert there.getresponse().status == 200
    there.close()


def signed(method, path, body, token):
    """The headers of the SDK for Python, whose Date is local time under the name of GMT."""
    md5 = hashlib.md5(body).hexdigest()
    date = datetime.datetime.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    kind = "application/octet-stream"
    text = "\n".join((method, md5, kind, date, path))
    signature = base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest())
    return {"Content-MD5": md5, "Date": date, "Content-Type": kind,
            "Authorization": "EAS " + signature.decode()}


def test_a_signature_in_the_token_s_place(dialects):
    def create(name, *arguments):
        return subprocess.run([BINARY, "token", "create", name, "--data-dir", dialects.data_dir,
                               *arguments], capture_output=True, text=True, check=True).stdout.strip()

    signer, plain = create("eas-signer", "--eas-signature"), create("eas-plain")
    path = f"{PREDICT}/v1/chat/completions"
    body = json.dumps(BODY).encode()

    def status(token, path=path, signed_path=path):
        connection = dialects.connection()
        connection.request("POST", path, body, signed("POST", signed_path, body, token))
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    # Of tokens that it doesn't know the server bears 20 a minute.
    wait_until(lambda: status(signer) == 200, READY_SECONDS_MAX, dialects.log, pause_seconds=1)
    assert status(signer, path + "?a=b", path + "?a=b") == 200  # as Java's signs it
    assert status(signer, path + "?a=b") == 200
    assert status(signer, path, PREDICT) == 401
    assert status(plain) == 401
