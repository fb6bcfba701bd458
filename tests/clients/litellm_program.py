"""What people do with litellm's library, by four of its providers. litellm_test.py runs it."""

import json
import os
import unittest

import litellm

URL, OLLAMA_URL, TOKEN = (os.environ[name] for name in
                          ("SPILLWAY_URL", "SPILLWAY_OLLAMA_URL", "SPILLWAY_TOKEN"))
TEXT_MODEL, EMBEDDING_MODEL = os.environ["TEXT_MODEL"], os.environ["EMBEDDING_MODEL"]
QUESTION = [{"role": "user", "content": "Name three rivers and where they end."}]
CITIES = ["Paris", "Rome"]
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": CITIES}},
    "required": ["city"], "additionalProperties": False}}}

PROVIDERS = {
    "openai": {"api_base": f"{URL}/v1", "api_key": TOKEN},
    "hosted_vllm": {"api_base": f"{URL}/v1", "api_key": TOKEN},
    "anthropic": {"api_base": URL, "api_key": TOKEN},
    "ollama_chat": {"api_base": OLLAMA_URL},
}


def chat(provider="openai", **more):
    return litellm.completion(**{
        "model": f"{provider}/{TEXT_MODEL}", "messages": QUESTION, "temperature": 0,
        "max_tokens": 24, "num_retries": 0, **PROVIDERS[provider], **more})


class Litellm(unittest.TestCase):

    def test_all_providers_say_the_same_streamed_and_whole(self):
        told = {}
        for provider in PROVIDERS:
            with self.subTest(provider):
                whole = chat(provider)
                told[provider] = whole.choices[0].message.content
                self.assertGreater(len(told[provider]), 20)
                self.assertEqual(whole.choices[0].finish_reason, "length")
                self.assertEqual(whole.usage.completion_tokens, 24)
                chunks = list(chat(provider, stream=True))
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
                self.assertEqual(text, told[provider])
                self.assertEqual(chunks[-1].choices[0].finish_reason, "length")
        self.assertEqual(len(set(told.values())), 1, told)

    def test_usage_of_a_stream(self):
        *_, last = chat(stream=True, stream_options={"include_usage": True})
        self.assertEqual(last.usage.completion_tokens, 24)

    def test_structured_output(self):
        schema = {"type": "object", "properties": {"city": {"type": "string", "enum": CITIES}},
                  "required": ["city"], "additionalProperties": False}
        for provider in ("openai", "hosted_vllm", "ollama_chat"):
            with self.subTest(provider):
                answer = chat(provider, max_tokens=60, response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "place", "strict": True, "schema": schema}})
                self.assertIn(json.loads(answer.choices[0].message.content)["city"], CITIES)

    def test_a_forced_call(self):
        for provider in ("openai", "hosted_vllm", "anthropic"):
            with self.subTest(provider):
                asked = {"tools": [TOOL], "max_tokens": 60,
                         "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
                choice = chat(provider, **asked).choices[0]
                self.assertEqual(choice.finish_reason, "tool_calls")
                [call] = choice.message.tool_calls
                self.assertEqual(call.function.name, "get_weather")
                self.assertIn(json.loads(call.function.arguments)["city"], CITIES)
                streamed = "".join(part.function.arguments or ""
                                   for chunk in chat(provider, stream=True, **asked)
                                   for part in chunk.choices[0].delta.tool_calls or [])
                self.assertEqual(json.loads(streamed), json.loads(call.function.arguments))

    def test_embeddings(self):
        answer = litellm.embedding(model=f"openai/{EMBEDDING_MODEL}", input=["hello", "a river"],
                                   **PROVIDERS["openai"])
        self.assertEqual([len(item["embedding"]) for item in answer.data], [384, 384])
        self.assertEqual(answer.usage.prompt_tokens, 3 + 4)

    def test_errors_are_of_their_classes(self):
        for provider in ("openai", "hosted_vllm", "anthropic"):
            with self.subTest(provider):
                with self.assertRaises(litellm.NotFoundError) as error:
                    chat(provider, model=f"{provider}/gpt-17")
                self.assertIn(TEXT_MODEL, str(error.exception))
                with self.assertRaises(litellm.AuthenticationError):
                    chat(provider, api_key="sk-wrong")
        with self.assertRaises(litellm.ContextWindowExceededError):
            chat(messages=[{"role": "user", "content": "river " * 20_000}])


if __name__ == "__main__":
    unittest.main()
