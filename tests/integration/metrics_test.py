"""/metrics: promtool finds nothing to say, docs/metrics.md tells of all, clients can't make series."""

import re
import subprocess

from spillway_process import ROOT

CHAT = "/v1/chat/completions"
DOCS = ROOT / "docs/metrics.md"
ONLY_WHEN_IT_HAPPENS = {"spillway_http_clients_cut_total", "spillway_spans_sent_total",
                        "spillway_spans_dropped_total", "spillway_spilled_total"}


def chat(server, model, headers=None, **options):
    return server.post(CHAT, {"model": model, "messages": [{"role": "user", "content": "Hello."}],
                              "max_tokens": 3, "ignore_eos": True, **options}, headers)


def families(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_promtool_remarks_on_nothing_but_vllms_colons(server, model):
    assert chat(server, model).status == 200
    result = subprocess.run(["promtool", "check", "metrics"], input=server.get("/metrics").text,
                            capture_output=True, text=True, timeout=60, check=False)
    remarks = (result.stdout + result.stderr).splitlines()
    ours = [line for line in remarks if not (line.startswith("vllm:") and "':'" in line)]
    assert ours == []
    assert len(remarks) > 10, "promtool doesn't look"


def test_docs_tell_of_each_metric_and_of_no_other(server, model):
    assert chat(server, model).status == 200
    shown = families(server.get("/metrics").text)
    told = set(re.findall(r"`((?:spillway_|vllm:)\w+)`", DOCS.read_text(encoding="utf-8")))
    assert shown - told == set()
    only_with_a_provider = {name for name in told if name.startswith("spillway_provider_")}
    assert told - shown <= ONLY_WHEN_IT_HAPPENS | only_with_a_provider


def test_clients_make_no_series(server, model):
    def series():
        return {line.rsplit(" ", 1)[0] for line in server.get("/metrics").text.splitlines()
                if not line.startswith("#")}

    def strange(number):
        chat(server, f"no-such-model-{number}")
        chat(server, model, {"x-request-id": f"id-{number}", "Authorization": f"Bearer sk-{number}"})
        chat(server, model, {"x-request-id": f"id-{number}"}, user=f"user-{number}")
        server.get(f"/v1/models/{number}", {"Authorization": f"Bearer {server.token}"})
        server.get(f"/no/such/path/{number}", {"Authorization": f"Bearer {server.token}"})

    strange(0)
    before = series()
    for number in range(1, 5):
        strange(number)
    assert series() == before
