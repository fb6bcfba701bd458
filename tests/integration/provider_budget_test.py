"""What requests to a provider may cost: each has money reserved before it leaves, none costs more."""

import csv
import json
import subprocess
import threading

import pytest

from bailian_double import BailianDouble
from spillway_process import BINARY, MODEL, SpillwayProcess, wait_until

KEY = "sk-double-0123456789"
CHAT = "/v1/chat/completions"
NAME = "here"
# For a token of input 0.001 CNY, of output 0.002.
PRICE = ("--provider-price", f"{NAME}=1000/2000")


@pytest.fixture(scope="module")
def double():
    with BailianDouble(key=KEY) as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(double):
    double.reset()


@pytest.fixture
def start(tmp_path, double):
    started = []

    def begin(*arguments, model=None):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(SpillwayProcess(
            folder / "data", "--provider", f"bailian={double.base_url}", "--provider-model",
            f"{NAME}=qwen-plus", *arguments, model=model, environment={"DASHSCOPE_API_KEY": KEY}))
        return started[-1].wait_listening()

    yield begin
    for process in started:
        process.stop()


def run(server, *arguments):
    result = subprocess.run([BINARY, *arguments, "--data-dir", server.data_dir],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def poor(server, budget):
    """The headers of a token that has so much for a day."""
    name = f"poor-{budget}"
    secret = run(server, "token", "create", name, "--budget-per-day", f"{budget} CNY").split()[-1]
    headers = {"Authorization": f"Bearer {secret}"}
    wait_until(lambda: server.get("/v1/models", headers).status == 200, 10, "the token isn't known")
    return headers


def request(**members):
    return {"model": NAME, "max_tokens": 64,
            "messages": [{"role": "user", "content": "Hello."}], **members}


def bound(double):
    """What the last request that came there could have cost at most."""
    body = double.requests[-1]["body"]
    return len(body.encode()) * 0.001 + json.loads(body)["max_tokens"] * 0.002


def cost(server):
    rows = list(csv.DictReader(run(server, "usage", "--by", "upstream", "--csv").splitlines()))
    return sum(float(row["cost"]) for row in rows if row["upstream"] == "bailian")


def settled(server, requests):
    wait_until(lambda: server.metric("spillway_provider_requests_total") >= requests
               and server.metric("spillway_budget_unsettled") == 0, 10, "not settled")


def use_up(server, headers):
    """Eight clients at once until each was refused; how many answers there were, and a refusal."""
    answered, refused, lock = [], [], threading.Lock()

    def ask(stream):
        while True:
            reply = server.post(CHAT, request(stream=stream), headers)
            with lock:
                (answered if reply.status == 200 else refused).append(reply)
            if reply.status != 200 or len(answered) > 200:
                return

    threads = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answered, refused


def test_a_budget_is_used_up_and_never_exceeded(start, double):
    server = start("--no-model", *PRICE)
    headers = poor(server, "1")
    answered, refused = use_up(server, headers)
    assert 3 < len(answered) < 200 and len(refused) == 8
    for reply in refused:
        assert reply.status == 429 and reply.json["error"]["code"] == "insufficient_quota"
        assert reply.headers["x-should-retry"] == "false"
        assert 0 < int(reply.headers["retry-after"]) <= 24 * 3600
        assert "budget of token" in reply.json["error"]["message"]
    assert len(double.requests) == len(answered)
    wait_until(lambda: cost(server) > 1 - bound(double), 10, "the cost isn't in the books")
    assert cost(server) <= 1.0
    assert server.metric("spillway_budget_refused_total") == 8
    # Another token has no budget: it may go on, and its cost is shown.
    before = cost(server)
    assert server.post(CHAT, request()).status == 200
    wait_until(lambda: cost(server) > before, 10, "no cost without a budget")


def test_what_would_spill_is_refused_as_here_once_nothing_is_left(start, double):
    server = start("--worker-binary", "/bin/false", *PRICE, model=f"{NAME}={MODEL}")
    headers = poor(server, "0.5")
    answered, refused = use_up(server, headers)
    assert answered and {r.headers["x-spillway-upstream"] for r in answered} == {"bailian"}
    assert {(r.status, r.json["error"]["code"]) for r in refused} == {(503, "no_ready_replica")}
    wait_until(lambda: cost(server) > 0.5 - bound(double), 10, "the cost isn't in the books")
    assert cost(server) <= 0.5


def test_under_a_budget_what_is_said_and_what_is_not_sent(start, double):
    server = start("--no-model", *PRICE, "--provider-model", "r1=deepseek-r1")
    headers = poor(server, "100")
    body = request()
    del body["max_tokens"]
    assert server.post(CHAT, body, headers).status == 200
    assert json.loads(double.requests[-1]["body"])["max_tokens"] == 4096
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    for refused, word in ((request(model="r1"), "r1"),
                          (request(messages=[{"role": "user", "content": image}]), "image_url"),
                          (request(enable_search=True), "enable_search")):
        reply = server.post(CHAT, refused, headers)
        assert reply.status == 403 and reply.json["error"]["code"] == "not_priced"
        assert word in reply.json["error"]["message"]
    assert len(double.requests) == 1
    # Who has no budget may.
    assert server.post(CHAT, request(model="r1")).status == 200


@pytest.mark.parametrize("fault,costs", [("error=Throttling.RateQuota", False), ("cut=0", True)])
def test_what_failed_counts_as_the_provider_says_or_in_full(start, double, fault, costs):
    server = start("--no-model", *PRICE)
    headers = poor(server, "100")
    double.queue = [fault] * 3
    assert server.post(CHAT, request(stream=True), headers).status != 200
    settled(server, 1)
    wait_until(lambda: not costs or cost(server) > 0, 10, "no cost")
    expected = bound(double) * len(double.requests) if costs else 0
    assert cost(server) == pytest.approx(expected)
