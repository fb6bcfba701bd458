"""A server without a model of its own, in front of a provider: what passes through, and what fails."""

import json
import re

import openai
import pytest

from bailian_double import BailianDouble
from spillway_process import ROOT, SpillwayProcess, wait_until

CHAT = "/v1/chat/completions"
KEY = "sk-double-0123456789"
TEXT = "你好！我是通义千问，a \"model\" of\nAlibaba's cloud😊"


@pytest.fixture(scope="module")
def double():
    with BailianDouble(key=KEY) as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(double):
    double.reset()


@pytest.fixture(scope="module")
def front(double, tmp_path_factory):
    """In front of the double, each name as it is."""
    with SpillwayProcess(tmp_path_factory.mktemp("front") / "data", "--provider",
                         f"bailian={double.base_url}", "--no-model", model=None,
                         environment={"DASHSCOPE_API_KEY": KEY}) as process:
        yield process.wait_ready()


@pytest.fixture(scope="module")
def sdk(front):
    with openai.OpenAI(base_url=front.base_url, api_key=front.token, max_retries=0) as made:
        yield made


def request(model="qwen-plus", **members):
    return {"model": model, "messages": [{"role": "user", "content": "你是谁？"}], **members}


# ---- with OpenAI's SDK ----

def test_chat_whole(sdk):
    reply = sdk.chat.completions.with_raw_response.create(**request())
    assert reply.headers["x-spillway-upstream"] == "bailian"
    answer = reply.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.model == "qwen-plus"
    assert answer.usage.completion_tokens > 0


def test_chat_streamed(sdk):
    with sdk.chat.completions.with_streaming_response.create(
            **request(), stream=True, stream_options={"include_usage": True}) as reply:
        assert reply.headers["x-spillway-upstream"] == "bailian"
        chunks = list(reply.parse())
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0


def test_thinking_unstreamed_is_asked_for_as_a_stream(sdk, double):
    answer = sdk.chat.completions.create(**request("deepseek-r1"))
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.reasoning_content.startswith("Okay, the user asks")
    assert json.loads(double.requests[-1]["body"])["stream"] is True


def test_embeddings(sdk):
    answer = sdk.embeddings.create(model="text-embedding-v4", input=["a", "b"],
                                   encoding_format="float")
    assert [len(each.embedding) for each in answer.data] == [8, 8]


def test_models_are_the_providers(sdk):
    models = sdk.models.list().data
    assert "deepseek-r1" in [model.id for model in models]
    assert sdk.models.retrieve("qwen-plus").owned_by == "system"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("no-such")


def test_errors_have_their_class(sdk, double):
    with pytest.raises(openai.NotFoundError):
        sdk.chat.completions.create(**request("no-such-model"))
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.chat.completions.create(**request("qwen-plus+error=DataInspectionFailed"))
    assert refused.value.code == "content_filter"
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(**request(temperature="hot", n="x"))


# ---- what goes there ----

def test_the_body_goes_as_it_is(front, double):
    content = [{"type": "text", "text": "?"},
               {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    body = ('{ "model":"qwen-plus",  "temperature": 0.50, "x_unknown": {"b":1, "a":[ 1.0e2 ]},'
            f' "messages": [{{"role":"user","content":{json.dumps(content)}}}] }}')
    assert front.post(CHAT, body.encode()).status == 200
    assert double.requests[-1]["body"] == body


def test_nothing_of_the_client_goes_there_but_the_body(front, double):
    reply = front.post(CHAT, request(), {"X-Secret": "mine", "Cookie": "a=b",
                                         "User-Agent": "their-agent", "X-Request-Id": "theirs"})
    assert reply.status == 200
    headers = double.requests[-1]["headers"]
    assert set(map(str.lower, headers)) == {
        "host", "user-agent", "accept-encoding", "authorization", "content-type", "content-length"}
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert front.token not in json.dumps(double.requests)


def test_the_key_is_nowhere_to_be_seen(start_server, double):
    own = start_server("--provider", f"bailian={double.base_url}", "--no-model", "--verbose",
                       model=None, environment={"DASHSCOPE_API_KEY": KEY}).wait_ready()
    double.always = "error=InvalidApiKey"
    reply = own.post(CHAT, request())
    assert reply.status == 503 and reply.json["error"]["code"] == "provider_unavailable"
    wait_until(lambda: "provider bailian serves us no longer (credentials)" in own.log(), 10,
               "nobody is told of it")
    texts = [reply.text, own.log(), own.get("/metrics").text, own.get("/status").text]
    assert not any(KEY in text for text in texts)
    # The whole key is shut, not only the model.
    assert own.post(CHAT, request("qwen-max")).status == 503
    assert len(double.requests) == 1


def test_log_and_metrics_name_upstream_and_tokens(front):
    reply = front.post(CHAT, request("qwen-flash"), {"X-Request-Id": "a-logged-one"})
    usage = reply.json["usage"]
    wait_until(lambda: "id=a-logged-one" in front.log(), 10, "no line")
    [line] = [line for line in front.log().splitlines() if "id=a-logged-one" in line]
    assert "service=qwen-flash upstream=bailian" in line
    assert f"tokens_in={usage['prompt_tokens']}" in line
    assert f"tokens_out={usage['completion_tokens']}" in line
    assert front.metric("spillway_provider_requests_total", 'outcome="finished"') >= 1
    assert front.metric("spillway_provider_tokens_total", 'kind="completion"') >= 8


def test_the_page_on_metrics_tells_of_those_of_providers(front):
    assert front.post(CHAT, request()).status == 200
    shown = set(re.findall(r"^# TYPE (\S+)", front.get("/metrics").text, re.MULTILINE))
    told = set(re.findall(r"`(spillway_\w+)`", (ROOT / "docs/metrics.md").read_text("utf-8")))
    providers = {name for name in told if name.startswith("spillway_provider_")}
    assert providers <= shown and {name for name in shown if name.startswith("spillway_")} <= told


def test_a_header_forbids_it(front, double):
    reply = front.post(CHAT, request(), {"X-Spillway-Spill": "never"})
    assert reply.status == 403
    assert reply.json["error"]["code"] == "spill_forbidden"
    assert double.requests == []


# ---- what fails ----

def test_failures_before_a_piece_are_tried_again(front, double):
    double.queue = ["error=InternalError", ""]
    assert front.post(CHAT, request("qwen-max")).status == 200
    assert len(double.requests) == 2


def test_throttling_is_told_with_its_time(front, double):
    double.queue = ["error=Throttling.RateQuota,retry_after=7"]
    reply = front.post(CHAT, request("qwen3-max"))
    assert reply.status == 429
    assert reply.headers["retry-after"] == "7"
    # And nobody is sent there meanwhile.
    reply = front.post(CHAT, request("qwen3-max"))
    assert reply.status == 503 and len(double.requests) == 1


def streamed(reply):
    """(events, whether the body had its end)"""
    return [event[len("data: "):] for event in reply.split("\n\n") if event.startswith("data: ")]


def read_to_the_end(front, body):
    """What of a stream comes, and whether it ends as HTTP has it."""
    connection = front.connection()
    connection.request("POST", CHAT, json.dumps(body),
                       {"Authorization": f"Bearer {front.token}"})
    reply = connection.getresponse()
    text = b""
    try:
        while piece := reply.read1():
            text += piece
        whole = True
    except Exception:  # http.client.IncompleteRead and its kin
        whole = False
    connection.close()
    return reply.status, text, whole


def stream_bytes(front, double):
    """How long the body of the double's stream is."""
    _, text, whole = read_to_the_end(front, request(stream=True,
                                                    stream_options={"include_usage": True}))
    assert whole and text.endswith(b"data: [DONE]\n\n")
    return len(text)


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_cut_anywhere_a_stream_never_looks_whole(front, double, how):
    """The table of what real clients make of a broken stream: only an error event, no [DONE], and a
    body without its end make all of them fail (reference on gateways, 1c)."""
    length, broken_streams = stream_bytes(front, double), 0
    for at in range(0, length, 3 if how == "cut" else 29):
        double.reset()
        # A model of its own, so that no open circuit spares it the cut.
        status, text, whole = read_to_the_end(
            front, request(f"qwen-plus+{how}={at}", stream=True,
                           stream_options={"include_usage": True}))
        where = f"{how} after {at} of {length}: {status} {text[-200:]}"
        broken_streams += status == 200
        if status == 200:
            events = streamed(text.decode())
            assert "[DONE]" not in events and not whole, where
            assert "error" in json.loads(events[-1]), where
            assert "choices" not in json.loads(events[-1]), where
            assert len(double.requests) == 1, where
        else:
            assert status in (502, 503), where
            assert whole, where
    assert broken_streams > 20
