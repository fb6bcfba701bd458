"""The answers of bailian_double.py, in both dialects of Bailian, and the requests it refuses.

"§" cites the reference on PAI-EAS and Bailian; [R]: from memory, no source.
"""

import json
import pathlib

from bailian_faults import UnknownFault

CREATED = 1770343445
PIECES = ["你好", "！我是", "通义千问", "，a \"model\"", " of\n", "Alibaba's", " cloud", "😊"]
THOUGHTS = ["Okay", ", the", " user", " asks", "：你是谁", "?"]

# How a model thinks (§2.1; DEEP): "never", "off" and "on" by default, "always".
THINKING = {
    "qwen-plus": "off", "qwen-flash": "off", "qwen-turbo": "off", "qwen-max": "never",
    "qwen3-max": "off", "qwen3-32b": "on", "qwen3-0.6b": "on", "qwq-plus": "always",
    "deepseek-v3.2": "off", "deepseek-v3.1": "off", "deepseek-v3": "never",
    "deepseek-r1": "always", "deepseek-r1-0528": "always",
    "deepseek-r1-distill-qwen-1.5b": "always",
}
STREAM_ONLY = {"qwq-plus"}
EMBEDDINGS = {"text-embedding-v3": 8, "text-embedding-v4": 8}
THINKING_TOKENS_MAX = 32768
OUTPUT_TOKENS_MAX = 65536

_ERRORS = json.loads(pathlib.Path(__file__).with_name("bailian_errors.json").read_text())


def find_error(name):
    for row in _ERRORS:
        if name in (row.get("name"), row["native"], row["compatible"]):
            return row
    raise UnknownFault(f"no error {name!r} in bailian_errors.json")


def error_body(row, native, request_id, message=None):
    """§2.3. In the compatible dialect request_id stands outside `error`."""
    message = message or row["message"]
    if native:
        return {"code": row["native"] or row["compatible"] or "", "message": message,
                "request_id": request_id}
    return {"error": {"message": message, "type": row["type"], "param": None,
                      "code": row["compatible"]},
            "request_id": request_id}


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Refused(Exception):
    """`code` of bailian_errors.json, with a message of its own."""

    def __init__(self, code, message=None):
        super().__init__(code)
        self.code, self.message = code, message


class Ask:
    """A request for an answer, the same for both dialects. Raises Refused (§2.2)."""

    def __init__(self, body, native, stream):
        parameters = body.get("parameters") or {} if native else body
        if not isinstance(parameters, dict):
            raise Refused("InvalidParameter")
        self.native, self.stream = native, stream
        self.model = body.get("model")
        self.messages = (body.get("input") or {}).get("messages") if native else body.get("messages")
        self.choices = parameters.get("n", 1)
        options = parameters.get("stream_options") or {}
        self.usage = native or bool(options.get("include_usage"))
        self.incremental = bool(parameters.get("incremental_output", not native))
        self.max_tokens = parameters.get("max_tokens")
        self.tools = parameters.get("tools") if parameters.get("tool_choice") != "none" else None
        mode = THINKING.get(self.model, "never")
        wanted = parameters.get("enable_thinking")
        self.thinks = mode == "always" or (wanted if wanted is not None else mode == "on")
        self._check(parameters, mode, wanted)

    def _check(self, parameters, mode, wanted):
        if self.model not in THINKING:
            raise Refused("ModelNotFound",
                          f"The model `{self.model}` does not exist or you do not have access to it.")
        if not isinstance(self.messages, list) or not self.messages:
            raise Refused("BadRequest.EmptyInput")
        if self.model in STREAM_ONLY and not self.stream:
            raise Refused("InvalidParameter", "This model only support stream mode, please enable "
                          "the stream parameter to access the model.")
        if mode == "always" and wanted is False:
            raise Refused("InvalidParameter",
                          "The value of the enable_thinking parameter is restricted to True.")
        if mode in ("on", "off") and self.thinks and not self.stream:
            raise Refused("InvalidParameter", "parameter.enable_thinking must be set to false for "
                          "non-streaming calls")
        for name, low, high, open_low, open_high in (
                ("temperature", 0, 2, False, True), ("top_p", 0, 1, True, False),
                ("top_k", 0, float("inf"), False, False), ("presence_penalty", -2, 2, False, False),
                ("n", 1, 4, False, False), ("max_tokens", 1, OUTPUT_TOKENS_MAX, False, False),
                ("thinking_budget", 1, THINKING_TOKENS_MAX, False, False)):
            value = parameters.get(name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or value < low or value > high or (
                    open_low and value == low) or (open_high and value == high):
                raise Refused("InvalidParameter", f"Range of {name} should be "
                              f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}")
        if (parameters.get("response_format") or {}).get("type") == "json_object":
            if self.thinks:
                raise Refused("InvalidParameter", "Json mode response is not supported when "
                              "enable_thinking is true")
            if "json" not in dump(self.messages).lower():
                raise Refused("InvalidParameter", "'messages' must contain the word 'json' in some "
                              "form, to use 'response_format' of type 'json_object'.")

    @property
    def prompt_tokens(self):
        return max(1, len(dump(self.messages)) // 4)


class Answer:
    """What the model says: its pieces, and both ways to tell them."""

    def __init__(self, ask, faults, number):
        self.ask, self._faults = ask, faults
        self.request_id = f"00000000-0000-9000-8000-{number:012d}"
        count = 8 if faults["tokens"] is None else faults["tokens"]
        limit = ask.max_tokens or 10**9
        thoughts = (6 if faults["think"] is None else faults["think"]) if ask.thinks else 0
        if faults["no_answer"]:
            thoughts, count = min(limit, thoughts), 0
        self.thoughts = [THOUGHTS[i % len(THOUGHTS)] for i in range(min(thoughts, limit))]
        room = limit - len(self.thoughts)
        self.pieces = [PIECES[i % len(PIECES)] for i in range(min(count, room))]
        if faults["big"]:
            self.pieces = ["x" * faults["big"]]
        self.finish = "length" if count > room or faults["no_answer"] else "stop"
        if ask.tools:
            self.finish = "tool_calls"

    def usage(self):
        """§2.2; the details as deepseek's and qwen's pages show them."""
        thoughts = len(self.thoughts) * self.ask.choices
        output = len(self.pieces) * self.ask.choices + thoughts
        prompt = self.ask.prompt_tokens
        if self.ask.native:
            return {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}
        usage = {"prompt_tokens": prompt, "completion_tokens": output,
                 "total_tokens": prompt + output, "prompt_tokens_details": {"cached_tokens": 0}}
        if thoughts:
            usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
        return usage

    def _tool_calls(self):
        function = self.ask.tools[0].get("function", {})
        return [{"index": 0, "id": "call_0123456789abcdef", "type": "function",
                 "function": {"name": function.get("name", ""), "arguments": '{"city": "杭州"}'}}]

    # ---- whole ----

    def whole(self):
        message = {"role": "assistant", "content": "".join(self.pieces)}
        if self.thoughts:
            message["reasoning_content"] = "".join(self.thoughts)
        if self.ask.tools:
            message.update(content="", tool_calls=self._tool_calls())
        if self.ask.native:
            return {"output": {"choices": [{"finish_reason": self.finish, "message": message}]},
                    "usage": self.usage(), "request_id": self.request_id}
        choices = [{"message": message, "finish_reason": self.finish, "index": index,
                    "logprobs": None} for index in range(self.ask.choices)]
        answer = {"choices": choices, "object": "chat.completion", "usage": self.usage(),
                  "created": CREATED, "system_fingerprint": None, "model": self.ask.model,
                  "id": f"chatcmpl-{self.request_id}"}
        if self._faults["no_usage"]:
            del answer["usage"]
        return answer

    # ---- streamed ----

    def events(self):
        """The frames of the stream, as bytes."""
        values = list(self._native_values() if self.ask.native else self._compatible_values())
        texts = [dump(value) for value in values]
        if self._faults["malformed"] is not None:
            index = self._faults["malformed"] % len(texts)
            texts[index] = texts[index][:len(texts[index]) // 2]
        frames = [self._frame(text, number) for number, text in enumerate(texts, 1)]
        for name, native in (("error_frame", self.ask.native), ("native_frame", True)):
            if self._faults[name]:
                row = find_error(self._faults[name])
                at = min(self._faults["after"] or 0, len(frames))
                text = dump(error_body(row, native, self.request_id))
                del frames[at:]
                frames.append(self._frame(text, at + 1, row["status"] if native else None))
                return frames
        if not self.ask.native and not self._faults["no_done"]:
            frames.append(self._frame("[DONE]", 0))
        return frames

    def _frame(self, text, number, error_status=None):
        lines = []
        if self._faults["comments"]:
            lines.append(": keep-alive")
        if self.ask.native or error_status:
            lines += [f"id:{number}", "event:error" if error_status else "event:result",
                      f":HTTP_STATUS/{error_status or 200}", f"data:{text}"]
        else:
            lines.append(f"data:{text}" if self._faults["no_space"] else f"data: {text}")
        end = "\r\n" if self._faults["crlf"] else "\n"
        return (end.join(lines) + end + end).encode()

    def _compatible_values(self):
        """The order of keys differs between the first chunk and the rest, as captured."""
        end = {"object": "chat.completion.chunk", "usage": None, "created": CREATED,
               "system_fingerprint": None, "model": self.ask.model,
               "id": f"chatcmpl-{self.request_id}"}

        def chunk(index, delta, finish=None):
            return {"choices": [{"finish_reason": finish, "logprobs": None, "delta": delta,
                                 "index": index}], **end}

        # Beside thinking `content` is null (§2.2).
        first = {"content": None, "role": "assistant", "reasoning_content": ""} if self.thoughts \
            else {"content": "", "role": "assistant"}
        for index in range(self.ask.choices):
            yield {"choices": [{"delta": first, "index": index, "logprobs": None,
                                "finish_reason": None}], **end}
        deltas = [{"content": None, "reasoning_content": thought} for thought in self.thoughts]
        if self.ask.tools:
            call = self._tool_calls()[0]
            arguments = call["function"]["arguments"]
            deltas.append({"content": None, "tool_calls": [
                {**call, "function": {**call["function"], "arguments": ""}}]})
            # Later pieces have an empty id and no name [R].
            deltas += [{"content": None, "tool_calls": [
                {"index": 0, "id": "", "type": "function", "function": {"arguments": part}}]}
                       for part in (arguments[:5], arguments[5:])]
        else:
            deltas += [{"content": piece, **({"reasoning_content": None} if self.thoughts else {})}
                       for piece in self.pieces]
        for delta in deltas:
            for index in range(self.ask.choices):
                yield chunk(index, delta)
        if not self._faults["no_finish"]:
            for index in range(self.ask.choices):
                yield chunk(index, {"content": ""}, self.finish)
        if self.ask.usage and not self._faults["no_usage"]:
            yield {"choices": [], **{**end, "usage": self.usage()}}

    def _native_values(self):
        """An unfinished finish_reason is the string "null" (§2.2)."""
        text = thinking = ""
        steps = [("", thought) for thought in self.thoughts] + [(piece, "") for piece in self.pieces]
        for piece, thought in steps + [("", "")]:
            last = (piece, thought) == ("", "")
            text, thinking = text + piece, thinking + thought
            message = {"role": "assistant", "content": piece if self.ask.incremental else text}
            if self.thoughts:
                message["reasoning_content"] = thought if self.ask.incremental else thinking
            finish = self.finish if last and not self._faults["no_finish"] else "null"
            yield {"output": {"choices": [{"message": message, "finish_reason": finish}]},
                   "usage": self.usage(), "request_id": self.request_id}


def embeddings(body, native, number):
    """A vector per text that depends on the text alone."""
    model = body.get("model")
    texts = (body.get("input") or {}).get("texts") if native else body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if model not in EMBEDDINGS:
        raise Refused("ModelNotFound")
    if not isinstance(texts, list) or not texts:
        raise Refused("BadRequest.EmptyInput")
    vectors = [[(sum(str(text).encode()) * (i + 1) % 97) / 97 for i in range(EMBEDDINGS[model])]
               for text in texts]
    tokens = sum(max(1, len(str(text)) // 4) for text in texts)
    request_id = f"00000000-0000-9000-8000-{number:012d}"
    if native:
        return {"output": {"embeddings": [{"text_index": i, "embedding": vector}
                                          for i, vector in enumerate(vectors)]},
                "usage": {"total_tokens": tokens}, "request_id": request_id}
    return {"data": [{"embedding": vector, "index": i, "object": "embedding"}
                     for i, vector in enumerate(vectors)],
            "model": model, "object": "list",
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens}, "id": request_id}
