"""The log has one line for each request, with its id and what it cost, and never what was said."""

import http.server
import json
import re
import threading

from spillway_process import wait_until

CHAT = "/v1/chat/completions"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def line_of(server, request_id):
    def lines():
        return re.findall(rf"request id={request_id} .*", server.log())
    wait_until(lines, 30, server.log)
    [line] = lines()
    return dict(word.split("=", 1) for word in line.split()[1:])


def test_one_line_a_request_and_nothing_secret(server, model):
    # Words that are in no log by chance.
    body = {"model": model, "max_tokens": 5, "ignore_eos": True, "temperature": 0,
            "messages": [{"role": "system", "content": "zanzibarsystem"},
                         {"role": "user", "content": "zanzibaruser"}]}
    headers = {"x-request-id": "log-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    reply = server.post(CHAT, body, headers)
    assert reply.headers["x-request-id"] == "log-1"
    usage = reply.json["usage"]
    line = line_of(server, "log-1")
    assert line["service"] == model
    assert line["token"] == "default"
    assert line["upstream"] == "worker-0"
    assert int(line["tokens_in"]) == usage["prompt_tokens"]
    assert int(line["tokens_out"]) == 5
    assert line["finish"] == "length" and line["status"] == "200"
    assert line["trace"] == TRACE
    assert float(line["queue_ms"]) <= float(line["ttft_ms"]) <= float(line["total_ms"])

    server.post(CHAT, {**body, "temperature": 9, "user": "zanzibaruser"}, {"x-request-id": "log-2"})
    assert line_of(server, "log-2")["finish"] == "invalid_request"
    server.post(CHAT, {**body, "model": "none such"}, {"x-request-id": "log-3"})
    assert line_of(server, "log-3")["status"] == "404"
    assert "zanzibar" not in server.log()
    assert server.token not in server.log()


def test_an_id_that_could_forge_a_line_is_replaced(server, model):
    reply = server.post(CHAT, {"model": model, "max_tokens": 1, "messages": [
        {"role": "user", "content": "Hi."}]}, {"x-request-id": "log 4 finish=stop"})
    assert re.fullmatch("[0-9a-f]{24}", reply.headers["x-request-id"])
    assert line_of(server, reply.headers["x-request-id"])["service"] == model


def test_spans_reach_a_collector(start_server):
    bodies = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        server = start_server("--otlp-endpoint", f"http://127.0.0.1:{collector.server_port}")
        server.wait_ready()
        reply = server.post(CHAT, {"max_tokens": 2, "ignore_eos": True,
                                   "messages": [{"role": "user", "content": "zanzibaruser"}]},
                            {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        assert reply.status == 200
        wait_until(lambda: bodies, 30, server.log)
        collector.shutdown()
    [(path, body)] = bodies
    [span] = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert path == "/v1/traces"
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, "00f067aa0ba902b7")
    assert int(span["endTimeUnixNano"]) > int(span["startTimeUnixNano"])
    attributes = {entry["key"]: entry["value"] for entry in span["attributes"]}
    assert attributes["gen_ai.usage.output_tokens"] == {"intValue": "2"}
    assert "zanzibar" not in json.dumps(body)
