// What people do with OpenAI's library for JavaScript.

import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout } from "node:timers/promises";

import OpenAI from "openai";

import {
  collect, cosine, EMBEDDING_MODEL, QUESTION, RIVER, SPILLWAY_TOKEN, SPILLWAY_URL, TEXT_MODEL, WEATHER,
} from "./spillway.mjs";

const client = new OpenAI({ baseURL: `${SPILLWAY_URL}/v1`, apiKey: SPILLWAY_TOKEN, maxRetries: 0 });

const chat = (more = {}) =>
  client.chat.completions.create({
    model: TEXT_MODEL, messages: QUESTION, temperature: 0, max_tokens: 24, ...more,
  });

async function cancelled() {
  const metrics = await (await fetch(`${SPILLWAY_URL}/metrics`)).text();
  const counts = metrics.matchAll(/^spillway_requests_total\{.*outcome="cancelled".*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

test("the settings may come from the environment", async () => {
  Object.assign(process.env, { OPENAI_BASE_URL: `${SPILLWAY_URL}/v1`, OPENAI_API_KEY: SPILLWAY_TOKEN });
  assert.equal((await collect(new OpenAI().models.list())).length, 2);
});

test("models are listed", async () => {
  const models = (await collect(client.models.list())).map((model) => model.id);
  assert.deepEqual(models.sort(), [EMBEDDING_MODEL, TEXT_MODEL].sort());
  assert.equal((await client.models.retrieve(TEXT_MODEL)).id, TEXT_MODEL);
});

test("a stream says what the whole answer says", async () => {
  const whole = await chat();
  assert.equal(whole.usage.completion_tokens, 24);
  assert.equal(whole.choices[0].finish_reason, "length");
  const text = whole.choices[0].message.content;
  assert.ok(text.length > 20);

  const chunks = await collect(await chat({ stream: true }));
  assert.ok(chunks.length > 5);
  assert.deepEqual(chunks[0].choices[0].delta, { role: "assistant", content: "" });
  assert.ok(chunks.every((chunk) => typeof chunk.choices[0].delta.content === "string"));
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content).join(""), text);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
});

test("the library's own stream reader gathers text and usage", async () => {
  const stream = client.chat.completions.stream({
    model: TEXT_MODEL, messages: QUESTION, temperature: 0, max_tokens: 24,
    stream_options: { include_usage: true },
  });
  const told = [];
  stream.on("content", (delta) => told.push(delta));
  const whole = (await chat()).choices[0].message.content;
  assert.equal(await stream.finalContent(), whole);
  assert.equal(told.join(""), whole);
  assert.equal((await stream.totalUsage()).completion_tokens, 24);
});

test("a stream that is left ends on the server too", async () => {
  const before = await cancelled();
  const stream = await chat({ stream: true, max_tokens: 2000, ignore_eos: true });
  for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
  while (await cancelled() === before) await setTimeout(20); // or the program's time is over
});

test("a completion", async () => {
  const asked = { model: TEXT_MODEL, prompt: "The capital of France is", temperature: 0, max_tokens: 12 };
  const whole = (await client.completions.create(asked)).choices[0].text;
  assert.match(whole, /Paris/);
  const chunks = await collect(await client.completions.create({ ...asked, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), whole);
});

test("structured output is parsed by the library", async () => {
  const answer = await client.chat.completions.parse({
    model: TEXT_MODEL, messages: QUESTION, temperature: 0, max_tokens: 100,
    response_format: { type: "json_schema", json_schema: { name: "river", strict: true, schema: RIVER } },
  });
  const river = JSON.parse(answer.choices[0].message.content);
  assert.equal(typeof river.name, "string");
  assert.ok(Number.isInteger(river.km));
  assert.equal(answer.choices[0].finish_reason, "stop");
});

test("a forced call of a tool, whole and streamed", async () => {
  const asked = {
    tools: [{ type: "function", function: { name: "get_weather", parameters: WEATHER, strict: true } }],
    tool_choice: { type: "function", function: { name: "get_weather" } },
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    max_tokens: 100,
  };
  const whole = (await chat(asked)).choices[0];
  assert.equal(whole.finish_reason, "tool_calls");
  assert.equal(whole.message.content, null);
  const [call] = whole.message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.ok(WEATHER.properties.city.enum.includes(JSON.parse(call.function.arguments).city));

  const stream = client.chat.completions.stream({ model: TEXT_MODEL, temperature: 0, ...asked });
  const streamed = (await stream.finalMessage()).tool_calls;
  assert.equal(streamed.length, 1);
  assert.equal(streamed[0].function.name, "get_weather");
  assert.equal(streamed[0].function.arguments, call.function.arguments);

  const answered = await chat({
    tools: asked.tools,
    messages: [...asked.messages, whole.message,
      { role: "tool", tool_call_id: call.id, content: "Rain, 12 degrees." }],
  });
  assert.ok(answered.usage.prompt_tokens > 20);
});

test("runTools calls the function and goes on with what it said", async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model: TEXT_MODEL, temperature: 0, max_tokens: 100,
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    tool_choice: "required", parallel_tool_calls: false,
    tools: [{ type: "function", function: {
      name: "get_weather", parameters: WEATHER, parse: JSON.parse,
      function: ({ city }) => { asked.push(city); return "Rain."; },
    } }],
  }, { maxChatCompletions: 2 });
  await runner.done();
  assert.equal(asked.length, 2);
  assert.ok(asked.every((city) => WEATHER.properties.city.enum.includes(city)));
  assert.deepEqual(runner.messages.map((message) => message.role),
    ["user", "assistant", "tool", "assistant", "tool"]);
});

test("embeddings, which the library asks for as base64", async () => {
  const embed = async (input, more) =>
    (await client.embeddings.create({ model: EMBEDDING_MODEL, input, ...more })).data
      .map((item) => item.embedding);
  const [cat, kitten, bank] = await embed(["A cat sleeps.", "The kitten is asleep.", "Banks lend money."]);
  assert.equal(cat.length, 384);
  assert.ok(cosine(cat, kitten) > 0.6 && cosine(cat, bank) < 0.3);
  const [numbers] = await embed("A cat sleeps.", { encoding_format: "float" });
  assert.ok(cosine(cat, numbers) > 0.9999);
});

test("errors are of their classes and say why", async () => {
  await assert.rejects(chat({ model: "gpt-17" }), (error) =>
    error instanceof OpenAI.NotFoundError && error.code === "model_not_found" &&
    error.message.includes(TEXT_MODEL));
  for (const stream of [false, true]) {
    await assert.rejects(chat({ temperature: 3, stream }), (error) =>
      error instanceof OpenAI.BadRequestError && error.param === "temperature");
    await assert.rejects(chat({ stream, messages: [{ role: "user", content: "river ".repeat(20_000) }] }),
      (error) => error.status === 400 && error.code === "context_length_exceeded");
  }
  const stranger = new OpenAI({ baseURL: `${SPILLWAY_URL}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(collect(stranger.models.list()), (error) =>
    error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key" &&
    Boolean(error.requestID));
});
