"""gRPC's Python library against --grpc, with code made from proto/inference.proto."""

import re
import sys

import grpc
import pytest
from grpc_tools import protoc

from dialect_models import TEXT_MODEL
from spillway_process import READY_SECONDS_MAX, ROOT, wait_until

HEALTHY = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse, SERVING


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """(messages, services) as modules."""
    folder = tmp_path_factory.mktemp("generated")
    assert protoc.main(["protoc", f"-I{ROOT}", f"--python_out={folder}",
                        f"--grpc_python_out={folder}", "proto/inference.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        from proto import inference_pb2, inference_pb2_grpc
    finally:
        sys.path.remove(str(folder))
    return inference_pb2, inference_pb2_grpc


@pytest.fixture
def server(start_server):
    process = start_server("--grpc", "127.0.0.1:0", "--threads", "1").wait_ready()
    process.grpc = re.search(r"listening for gRPC on (\S+)", process.log()).group(1)
    return process


@pytest.fixture
def stub(generated, server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield generated[1].InferenceStub(channel)


def metadata(server):
    return (("authorization", f"Bearer {server.token}"),)


def chat(generated, **fields):
    messages = generated[0]
    question = messages.Message(role="user", content="Name three rivers and where they end.")
    return messages.GenerateRequest(chat=messages.Chat(messages=[question]), temperature=0,
                                    max_tokens=16, **fields)


def test_says_what_http_says(generated, server, stub):
    events = list(stub.Generate(chat(generated), metadata=metadata(server)))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[:2] == ["accepted", "started"] and kinds[-1] == "finished"
    text = "".join(event.delta.content for event in events if event.HasField("delta"))
    finished = events[-1].finished
    assert finished.completion_tokens == 16 and finished.prompt_tokens == events[0].accepted.prompt_tokens
    whole = server.post("/v1/chat/completions",
                        {"messages": [{"role": "user",
                                       "content": "Name three rivers and where they end."}],
                         "temperature": 0, "max_tokens": 16}).json
    assert text == whole["choices"][0]["message"]["content"]
    assert finished.prompt_tokens == whole["usage"]["prompt_tokens"]


def test_models_and_health(generated, server, stub):
    [model] = stub.ListModels(generated[0].ListModelsRequest(), metadata=metadata(server)).models
    assert model.name == TEXT_MODEL and model.context_tokens_max > 1000
    with grpc.insecure_channel(server.grpc) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        wait_until(lambda: check(b"") == HEALTHY, READY_SECONDS_MAX, server.log)


def test_errors_are_statuses_with_a_reason(generated, server, stub):
    def failure(request, **options):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.Generate(request, **options))
        return caught.value, dict(caught.value.trailing_metadata())

    error, _ = failure(chat(generated))
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    error, trailing = failure(chat(generated, model="unheard"), metadata=metadata(server))
    assert error.code() == grpc.StatusCode.NOT_FOUND and TEXT_MODEL in error.details()
    assert trailing["spillway-reason"] == "model_not_found"
    error, trailing = failure(chat(generated, top_p=7), metadata=metadata(server))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "top_p" in error.details()
    error, trailing = failure(chat(generated, text="x " * 20_000), metadata=metadata(server))
    assert trailing["spillway-reason"] == "context_length_exceeded"


def test_a_client_that_goes_away_frees_its_place(generated, server, stub):
    request = chat(generated, ignore_end_of_text=True)
    request.max_tokens = 4000
    answer = stub.Generate(request, metadata=metadata(server))
    while not next(answer).HasField("delta"):
        pass
    answer.cancel()
    wait_until(lambda: server.metric("spillway_replica_running") == 0, READY_SECONDS_MAX,
               server.log)


def test_the_address_must_be_safe_and_free(start_server, server):
    def says(text, *arguments, name):
        process = start_server(*arguments, name=name)
        process.wait_exit()
        wait_until(lambda: text in process.log(), READY_SECONDS_MAX, process.log)

    says(f"can't serve gRPC at {server.grpc}", "--grpc", server.grpc, name="second")
    says("would let everybody", "--grpc", "0.0.0.0:0", "--no-auth", name="open")
