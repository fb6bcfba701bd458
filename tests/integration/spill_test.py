"""What goes to a provider when the workers here don't take it, and what never does."""

import json
import threading

import openai
import pytest

from bailian_double import BailianDouble
from spillway_process import MODEL, SpillwayProcess, wait_until

KEY = "sk-double-0123456789"
CHAT = "/v1/chat/completions"
NAME = "here"
TEXT = "你好！我是通义千问，a \"model\" of\nAlibaba's cloud😊"


@pytest.fixture(scope="module")
def double():
    with BailianDouble(key=KEY) as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(double):
    double.reset()


def start(folder, double, *arguments, model=f"{NAME}={MODEL}", workers="1"):
    return SpillwayProcess(folder / "data", "--provider", f"bailian={double.base_url}",
                           "--provider-model", f"{NAME}=qwen-plus", "--workers", workers,
                           *arguments, model=model, environment={"DASHSCOPE_API_KEY": KEY})


@pytest.fixture(scope="module")
def exhausted(double, tmp_path_factory):
    """No worker is ever ready: the one that it knows isn't there."""
    folder = tmp_path_factory.mktemp("exhausted")
    with start(folder, double, "--ollama", "127.0.0.1:0", "--worker-binary", "/bin/false") as process:
        process.wait_listening()
        wait_until(lambda: "as an Ollama on" in process.log(), 20, "no Ollama")
        yield process


def request(**members):
    return {"model": NAME, "max_tokens": 8,
            "messages": [{"role": "user", "content": "Hello."}], **members}


# ---- when no worker is ready ----

def test_openai(exhausted, double):
    with openai.OpenAI(base_url=exhausted.base_url, api_key=exhausted.token, max_retries=0) as sdk:
        reply = sdk.chat.completions.with_raw_response.create(**request())
        assert reply.headers["x-spillway-upstream"] == "bailian"
        assert reply.parse().choices[0].message.content == TEXT
        assert reply.parse().model == NAME
        chunks = list(sdk.chat.completions.create(**request(stream=True)))
    assert {chunk.model for chunk in chunks} == {NAME}
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert json.loads(double.requests[-1]["body"])["model"] == "qwen-plus"


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic(exhausted, double, stream):
    body = {"model": NAME, "max_tokens": 8, "system": "Be brief.", "stream": stream,
            "messages": [{"role": "user", "content": "Hello."}]}
    reply = exhausted.post("/v1/messages", body)
    assert reply.status == 200 and reply.headers["x-spillway-upstream"] == "bailian"
    if stream:
        events = [json.loads(line[len("data: "):]) for line in reply.text.splitlines()
                  if line.startswith("data: ")]
        assert "".join(e["delta"]["text"] for e in events
                       if e["type"] == "content_block_delta") == TEXT
        assert events[-1]["type"] == "message_stop"
    else:
        assert reply.json["content"] == [{"type": "text", "text": TEXT}]
        assert reply.json["usage"]["output_tokens"] > 0
    assert json.loads(double.requests[-1]["body"])["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]


@pytest.mark.parametrize("stream", [False, True])
def test_ollama(exhausted, stream):
    body = {"model": NAME, "stream": stream, "messages": [{"role": "user", "content": "Hello."}]}
    reply = exhausted.post("/api/chat", body)
    assert reply.status == 200 and reply.headers["x-spillway-upstream"] == "bailian"
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == TEXT
    assert lines[-1]["done"] is True and lines[-1]["eval_count"] > 0


def test_a_call_of_a_tool_in_anthropics_words(exhausted):
    reply = exhausted.post("/v1/messages", {
        "model": NAME, "max_tokens": 8, "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"name": "weather", "description": "of a city",
                   "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]})
    assert reply.status == 200, reply.text
    [call] = [block for block in reply.json["content"] if block["type"] == "tool_use"]
    assert call["name"] == "weather" and call["input"] == {"city": "杭州"}


def test_it_is_counted_and_logged_once(exhausted):
    reply = exhausted.post(CHAT, request(), {"X-Request-Id": "spilled-one"})
    assert reply.status == 200
    wait_until(lambda: "id=spilled-one" in exhausted.log(), 10, "no line")
    lines = [line for line in exhausted.log().splitlines() if "id=spilled-one" in line]
    assert len(lines) == 1 and "upstream=bailian" in lines[0]
    assert exhausted.metric("spillway_spilled_total", 'reason="no_ready_replica"') >= 1
    assert exhausted.metric("spillway_requests_total", 'outcome="spilled"') >= 1
    assert not exhausted.metric("spillway_requests_total", 'outcome="no_ready_replica"')


def test_a_header_keeps_it_here(exhausted, double):
    for path, body in ((CHAT, request()), ("/v1/messages", request()), ("/api/chat", request())):
        assert exhausted.post(path, body, {"X-Spillway-Spill": "never"}).status == 503
    assert double.requests == []


def test_where_the_provider_fails_too_the_client_hears_of_here(exhausted, double):
    double.always = "error=InternalError"
    reply = exhausted.post(CHAT, request())
    assert reply.status == 503
    assert reply.json["error"]["code"] == "no_ready_replica"
    assert "retry-after" in reply.headers


def test_the_clients_own_mistake_is_told(exhausted, double):
    double.always = "error=DataInspectionFailed"
    reply = exhausted.post(CHAT, request())
    assert reply.status == 400 and reply.json["error"]["code"] == "content_filter"


def test_a_stream_that_breaks_there_never_looks_whole_in_any_dialect(exhausted, double):
    for path in (CHAT, "/v1/messages", "/api/chat"):
        double.reset()
        double.always = "cut=900"
        connection = exhausted.connection()
        connection.request("POST", path, json.dumps(request(stream=True)),
                           {"Authorization": f"Bearer {exhausted.token}"})
        reply = connection.getresponse()
        assert reply.status == 200
        text = b""
        with pytest.raises(Exception):
            while piece := reply.read1():
                text += piece
        assert b"error" in text and b"[DONE]" not in text and b"message_stop" not in text
        assert len(double.requests) == 1
        connection.close()


# ---- where there are workers ----

def test_policies(start_server_with, double):
    never = start_server_with("--spill", "never", "--worker-binary", "/bin/false")
    never.wait_listening()
    assert never.post(CHAT, request()).status == 503
    prefer = start_server_with("--spill", "prefer").wait_ready()
    assert prefer.post(CHAT, request()).headers["x-spillway-upstream"] == "bailian"
    double.always = "error=InternalError"
    here = prefer.post(CHAT, request())
    assert here.status == 200 and "x-spillway-upstream" not in here.headers
    assert here.json["model"] == NAME


@pytest.fixture
def start_server_with(tmp_path, double):
    started = []

    def begin(*arguments):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(start(folder, double, *arguments))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


def test_what_is_not_in_the_map_stays_and_what_has_room_stays(start_server_with, double):
    server = start_server_with().wait_ready()
    reply = server.post(CHAT, request())
    assert reply.status == 200 and "x-spillway-upstream" not in reply.headers
    assert server.post(CHAT, request(model="another")).status == 404
    assert double.requests == []


def test_three_times_its_capacity_each_request_starts_spills_or_is_refused(start_server_with, double):
    """One worker with two places and two to wait in, and thirty clients at once."""
    double.throttle.rpm = 600  # the provider takes ten in a second
    server = start_server_with("--worker-arg=--running-max=2",
                               "--worker-arg=--waiting-max=2").wait_ready()
    ends, lock = [], threading.Lock()

    def ask(number):
        body = request(stream=True, max_tokens=24, ignore_eos=True,
                       messages=[{"role": "user", "content": f"Count from {number}."}])
        reply = server.post(CHAT, body)
        whole = reply.text.endswith("data: [DONE]\n\n")
        if reply.status != 200:
            end = f"refused {reply.status}"
        else:
            end = "spilled" if "x-spillway-upstream" in reply.headers else "started"
            assert whole, reply.text[-300:]
        with lock:
            ends.append(end)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ends) == 30, ends
    assert ends.count("started") >= 2 and ends.count("spilled") >= 5, ends
    assert set(ends) <= {"started", "spilled", "refused 429"}, ends


def test_who_waits_too_long_spills(start_server_with, double):
    server = start_server_with("--worker-arg=--running-max=1", "--spill-after", "300").wait_ready()
    long = threading.Thread(target=server.post, args=(
        CHAT, request(max_tokens=100, ignore_eos=True)))
    long.start()
    wait_until(lambda: server.metric("spillway_replica_running") == 1, 20, "it doesn't begin")
    reply = server.post(CHAT, request(stream=True))
    long.join()
    assert reply.headers.get("x-spillway-upstream") == "bailian"
    assert server.metric("spillway_spilled_total", 'reason="wait_over_spill_after"') == 1
