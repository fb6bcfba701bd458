"""bailian_double.py does what its manual says. Standard library only."""

import http.client
import json
import pathlib
import re
import subprocess
import sys
import unittest

import bailian_double
from bailian_double import BailianDouble

CHAT = "/compatible-mode/v1/chat/completions"
NATIVE_CHAT = "/api/v1/services/aigc/text-generation/generation"
HERE = pathlib.Path(__file__).parent
ERRORS = json.loads((HERE / "bailian_errors.json").read_text())
HELLO = [{"role": "user", "content": "你是谁？"}]


class Reply:

    def __init__(self, reply):
        self.status, self.headers = reply.status, reply.headers
        try:
            self.body, self.whole = reply.read(), True
        except http.client.IncompleteRead as broken:
            self.body, self.whole = broken.partial, False

    @property
    def json(self):
        return json.loads(self.body)

    def events(self):
        """The data of the frames, unparsed."""
        return re.findall(r"^data: ?(.*?)\r?$", self.body.decode(), re.MULTILINE)

    def chunks(self):
        return [json.loads(data) for data in self.events() if data != "[DONE]"]


class BailianDoubleTest(unittest.TestCase):

    def setUp(self):
        self.double = BailianDouble(rpm=None)
        self.addCleanup(self.double.stop)

    def ask(self, method, path, body=None, key="sk-double", headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.double.port, timeout=30)
        try:
            raw = None if body is None else json.dumps(body)
            connection.request(method, path, raw, {"Authorization": f"Bearer {key}", **dict(headers)})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def chat(self, faults="", model="qwen-plus", **fields):
        body = {"model": f"{model}+{faults}" if faults else model, "messages": HELLO, **fields}
        return self.ask("POST", CHAT, body)

    def stream(self, faults="", **fields):
        return self.chat(faults, stream=True, **fields)

    def native(self, faults="", stream=False, model="qwen-plus", **parameters):
        body = {"model": f"{model}+{faults}" if faults else model, "input": {"messages": HELLO},
                "parameters": {"result_format": "message", **parameters}}
        headers = {"X-DashScope-SSE": "enable"} if stream else {}
        return self.ask("POST", NATIVE_CHAT, body, headers=headers)

    def admin(self, path, **body):
        return self.ask("POST", f"/double/{path}", body).json

    def code(self, reply):
        return reply.json["error"]["code"]

    # ---- answers ----

    def test_whole_and_streamed_answers_say_the_same_in_both_dialects(self):
        whole = self.chat().json
        text = whole["choices"][0]["message"]["content"]
        self.assertIn("通义千问", text)
        streamed = self.stream().chunks()
        self.assertEqual("".join(c["choices"][0]["delta"]["content"] for c in streamed), text)
        self.assertEqual(self.stream().events()[-1], "[DONE]")
        native = self.native().json
        self.assertEqual(native["output"]["choices"][0]["message"]["content"], text)
        self.assertEqual(set(native["usage"]), {"input_tokens", "output_tokens", "total_tokens"})
        pieces = self.native(stream=True, incremental_output=True).chunks()
        choices = [piece["output"]["choices"][0] for piece in pieces]
        self.assertEqual("".join(choice["message"]["content"] for choice in choices), text)
        self.assertEqual([choice["finish_reason"] for choice in choices[-2:]], ["null", "stop"])
        last = self.native(stream=True).chunks()[-1]["output"]["choices"][0]
        self.assertEqual(last["message"]["content"], text, "not incremental: all of it, each time")

    def test_native_frames_have_number_event_and_status(self):
        frame = self.native(stream=True).body.decode().split("\n\n")[0].split("\n")
        self.assertEqual(frame[:3], ["id:1", "event:result", ":HTTP_STATUS/200"])
        self.assertTrue(frame[3].startswith("data:{"))

    def test_usage_of_a_stream_only_where_asked_for(self):
        self.assertTrue(all(chunk["usage"] is None and chunk["choices"]
                            for chunk in self.stream().chunks()))
        last = self.stream(stream_options={"include_usage": True}).chunks()[-1]
        self.assertEqual(last["choices"], [])
        self.assertEqual(last["usage"]["completion_tokens"], 8)
        quiet = self.stream("no_usage=1", stream_options={"include_usage": True}).chunks()
        self.assertNotEqual(quiet[-1]["choices"], [])

    def test_thinking_comes_first_beside_null_content(self):
        chunks = self.stream(model="deepseek-r1", stream_options={"include_usage": True}).chunks()
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
        kinds = ["t" if delta.get("reasoning_content") else "c" if delta.get("content") else ""
                 for delta in deltas]
        self.assertRegex("".join(kinds), "^t+c+$")
        self.assertIsNone(deltas[0]["content"])
        self.assertEqual(chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"], 6)
        self.assertIn("reasoning_content", self.chat(model="deepseek-r1").json["choices"][0]["message"])

    def test_what_needs_a_stream_is_refused_without_one(self):
        for model, fields, words in (
                ("qwen-plus", {"enable_thinking": True}, "must be set to false for non-streaming"),
                ("qwen3-32b", {}, "must be set to false for non-streaming"),
                ("qwq-plus", {}, "only support stream mode"),
                ("deepseek-r1", {"enable_thinking": False}, "restricted to True")):
            reply = self.chat(model=model, **fields)
            self.assertEqual((reply.status, self.code(reply)), (400, "invalid_parameter_error"))
            self.assertIn(words, reply.json["error"]["message"])
        self.assertEqual(self.chat(model="qwen3-32b", enable_thinking=False).status, 200)
        self.assertEqual(self.stream(model="qwen3-32b").status, 200)

    def test_parameters_beyond_their_range_are_refused(self):
        for fields, ok in (({"temperature": 2}, False), ({"temperature": 1.99}, True),
                           ({"top_p": 0}, False), ({"top_p": 1}, True), ({"top_k": -1}, False),
                           ({"n": 5}, False), ({"n": 4}, True), ({"presence_penalty": 3}, False),
                           ({"thinking_budget": 32769}, False), ({"max_tokens": 65537}, False),
                           ({"response_format": {"type": "json_object"}}, False)):
            with self.subTest(fields):
                self.assertEqual(self.chat(**fields).status == 200, ok)

    def test_tools_choices_and_lengths(self):
        tools = [{"type": "function", "function": {"name": "weather"}}]
        call = self.chat(tools=tools).json["choices"][0]
        self.assertEqual(call["finish_reason"], "tool_calls")
        arguments = call["message"]["tool_calls"][0]["function"]["arguments"]
        parts = [c["choices"][0]["delta"]["tool_calls"][0] for c in self.stream(tools=tools).chunks()
                 if "tool_calls" in c["choices"][0]["delta"]]
        self.assertEqual("".join(part["function"]["arguments"] for part in parts), arguments)
        self.assertEqual([bool(part["id"]) for part in parts], [True, False, False])
        self.assertEqual(len(self.chat(n=3).json["choices"]), 3)
        self.assertEqual(self.chat(max_tokens=3).json["choices"][0]["finish_reason"], "length")
        spent = self.stream("no_answer=1", model="deepseek-r1", max_tokens=4).chunks()
        self.assertEqual(spent[-1]["choices"][0]["finish_reason"], "length")
        self.assertFalse(any(chunk["choices"][0]["delta"].get("content") for chunk in spent))

    def test_embeddings_and_models(self):
        reply = self.ask("POST", "/compatible-mode/v1/embeddings",
                         {"model": "text-embedding-v4", "input": ["a", "b", "a"]}).json
        vectors = [row["embedding"] for row in reply["data"]]
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])
        native = self.ask("POST", "/api/v1/services/embeddings/text-embedding/text-embedding",
                          {"model": "text-embedding-v4", "input": {"texts": ["a"]}}).json
        self.assertEqual(native["output"]["embeddings"][0]["embedding"], vectors[0])
        models = self.ask("GET", "/compatible-mode/v1/models").json["data"]
        self.assertIn("deepseek-r1", [model["id"] for model in models])

    def test_the_same_bytes_each_time(self):
        self.assertEqual(self.stream("comments=0", n=2).body, self.stream(n=2).body)
        self.assertNotEqual(self.stream().body, self.stream(n=2).body)

    # ---- errors ----

    def test_every_error_in_both_dialects(self):
        for row in ERRORS:
            name = row.get("name") or row["native"]
            with self.subTest(name):
                reply = self.chat(f"error={name}")
                self.assertEqual((reply.status, self.code(reply)), (row["status"], row["compatible"]))
                self.assertIn("request_id", reply.json)
                self.assertNotIn("request_id", reply.json["error"])
                native = self.native(f"error={name}")
                self.assertEqual(native.status, row["status"])
                self.assertEqual(native.json["code"], row["native"] or row["compatible"] or "")

    def test_wrong_keys_models_and_paths(self):
        reply = self.ask("POST", CHAT, {"model": "qwen-plus", "messages": HELLO}, key="sk-other")
        self.assertEqual((reply.status, self.code(reply)), (401, "invalid_api_key"))
        self.assertEqual(self.code(self.chat(model="gpt-4")), "model_not_found")
        self.assertEqual(self.ask("POST", "/v1/chat/completions", {}).status, 404)

    def test_errors_in_other_clothes(self):
        framed = self.stream("framed_error=Throttling.RateQuota")
        self.assertEqual((framed.status, framed.headers["Content-Type"]), (429, "application/json"))
        self.assertIn(b"event:error\n:HTTP_STATUS/429\ndata:{", framed.body)
        self.assertEqual(self.chat("native_error=Arrearage").json["code"], "Arrearage")
        page = self.chat("page=502")
        self.assertEqual((page.status, page.headers["Content-Type"]), (502, "text/html"))
        self.assertEqual((self.chat("blank=503").status, self.chat("blank=503").body), (503, b""))
        self.assertEqual(self.chat("error=Throttling,retry_after=7").headers["Retry-After"], "7")
        self.assertIsNone(self.chat("error=Throttling").headers["Retry-After"])

    def test_error_frames_within_a_200(self):
        reply = self.stream("error_frame=DataInspectionFailed,after=3")
        self.assertEqual((reply.status, len(reply.events())), (200, 4))
        self.assertEqual(reply.chunks()[-1]["error"]["code"], "data_inspection_failed")
        reply = self.stream("native_frame=Throttling.AllocationQuota,after=2")
        self.assertEqual(reply.chunks()[-1]["code"], "Throttling.AllocationQuota")
        self.assertIn(b"event:error\n:HTTP_STATUS/429\n", reply.body)
        self.assertIn(b"event:error", self.native("native_frame=InternalError", stream=True).body)

    # ---- bytes and time ----

    def test_cuts_after_every_byte(self):
        whole = self.stream("tokens=1").body
        for count in range(len(whole) + 1):
            cut = self.stream(f"tokens=1,cut={count}")
            self.assertEqual((cut.body, cut.whole), (whole[:count], False))

    def test_cuts_of_whole_answers(self):
        whole = self.chat("tokens=1").body
        cut = self.chat(f"tokens=1,cut={len(whole) // 2}")
        self.assertEqual((cut.body, cut.whole), (whole[:len(whole) // 2], False))

    def test_resets(self):
        with self.assertRaises(ConnectionResetError):
            self.stream("reset=100")

    def test_slow_drips_are_the_same_bytes(self):
        self.assertEqual(self.stream("tokens=2,drip=7").body, self.stream("tokens=2").body)

    def test_stalls_until_released(self):
        for faults in ("stall=100", "hold=1"):
            connection = http.client.HTTPConnection("127.0.0.1", self.double.port, timeout=0.2)
            connection.request("POST", CHAT, json.dumps(
                {"model": f"qwen-plus+{faults}", "messages": HELLO, "stream": True}),
                {"Authorization": "Bearer sk-double"})
            with self.assertRaises(TimeoutError):
                connection.getresponse().read()
            connection.close()
        self.admin("release")
        self.assertTrue(self.stream("stall=100").whole)

    def test_frames_that_are_wrong_or_odd(self):
        with self.assertRaises(ValueError):
            self.stream("malformed=3").chunks()
        self.assertNotIn("[DONE]", self.stream("no_done=1").events())
        self.assertTrue(all(chunk["choices"][0]["finish_reason"] is None
                            for chunk in self.stream("no_finish=1").chunks()))
        plain = self.stream().body
        self.assertEqual(self.stream("crlf=1").body, plain.replace(b"\n", b"\r\n"))
        self.assertEqual(self.stream("no_space=1").body, plain.replace(b"data: ", b"data:"))
        self.assertEqual(self.stream("comments=1").body.replace(b": keep-alive\n", b""), plain)
        self.assertGreater(len(self.stream("big=100000").body), 100000)

    # ---- limits ----

    def test_requests_per_minute_and_second(self):
        self.double.throttle.rpm = 120
        self.admin("clock", now=100)
        codes = []
        for second in range(61):
            self.admin("clock", now=100 + second)
            codes += [self.code(reply) if reply.status == 429 else "ok"
                      for reply in (self.chat() for _ in range(3))]
        self.assertEqual(codes[:3], ["ok", "ok", "limit_burst_rate"])
        self.assertEqual(codes.count("ok"), 122, "two a second, of which 120 in the first minute")
        self.assertEqual(self.chat(model="qwen-max").status, 200, "each model for itself")

    def test_requests_over_the_minute(self):
        self.double.throttle.rpm = 2
        for now, code in ((0, None), (2, None), (4, "limit_requests"), (60, None)):
            self.admin("clock", now=now)
            reply = self.chat()
            self.assertEqual(self.code(reply) if reply.status == 429 else None, code, now)

    def test_tokens_per_minute_and_second(self):
        self.double.throttle.tpm = 600
        self.admin("clock", now=0)
        self.assertEqual(self.chat(max_tokens=300).status, 200, "the first of a second passes")
        self.assertEqual(self.code(self.chat()), "insufficient_quota")
        self.admin("clock", now=2)
        self.assertEqual(self.code(self.chat(max_tokens=300)), "insufficient_quota")
        self.admin("clock", now=60)
        self.assertEqual(self.chat(max_tokens=300).status, 200)

    # ---- control ----

    def test_faults_in_turn_then_always(self):
        self.admin("faults", queue=["error=Arrearage", ""], always="page=502")
        self.assertEqual([self.chat().status for _ in range(4)], [400, 200, 502, 502])
        self.assertEqual(self.ask("POST", CHAT, {"model": "qwen-plus", "messages": HELLO}, headers={
            "X-Bailian-Double": "blank=503"}).status, 503, "the request's own come first")
        self.assertIn("no fault 'no_such'", self.admin("faults", queue=["no_such=1"])["double"])
        self.assertIn("no error 'None'", self.chat("error=None").json["double"])

    def test_what_came_is_kept(self):
        self.ask("POST", CHAT, {"model": "qwen-plus", "messages": HELLO}, headers={"X-Mine": "1"})
        came = self.ask("GET", "/double/requests").json
        self.assertEqual([(row["method"], row["path"]) for row in came], [("POST", CHAT)])
        self.assertEqual(came[0]["headers"]["X-Mine"], "1")
        self.assertEqual(json.loads(came[0]["body"])["model"], "qwen-plus")

    def test_manual_names_every_fault_and_the_process_serves(self):
        self.assertIn("native_frame", bailian_double.manual())
        process = subprocess.Popen([sys.executable, str(HERE / "bailian_double.py")],
                                   stdout=subprocess.PIPE, text=True)
        try:
            self.assertRegex(process.stdout.readline(), r"^listening on http://127.0.0.1:\d+$")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


if __name__ == "__main__":
    unittest.main()
