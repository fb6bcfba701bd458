// What people do with Anthropic's library for JavaScript.

import assert from "node:assert/strict";
import test from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { collect, QUESTION, SPILLWAY_TOKEN, SPILLWAY_URL, TEXT_MODEL, WEATHER } from "./spillway.mjs";

const connect = (credentials) =>
  new Anthropic({ baseURL: SPILLWAY_URL, maxRetries: 0, ...credentials });
const client = connect({ apiKey: SPILLWAY_TOKEN });

const asked = (more = {}) =>
  ({ model: TEXT_MODEL, max_tokens: 16, temperature: 0, messages: QUESTION, ...more });

test("a stream says what the whole message says", async () => {
  const whole = await client.messages.create(asked());
  assert.equal(whole.stop_reason, "max_tokens");
  assert.equal(whole.usage.output_tokens, 16);
  assert.deepEqual(whole.content.map((block) => block.type), ["text"]);
  assert.ok(whole.content[0].text.length > 20);

  const stream = client.messages.stream(asked());
  const told = [];
  stream.on("text", (delta) => told.push(delta));
  const final = await stream.finalMessage();
  assert.equal(told.join(""), whole.content[0].text);
  assert.ok(told.length > 3);
  assert.equal(final.content[0].text, whole.content[0].text);
  assert.equal(final.stop_reason, "max_tokens");
  assert.equal(final.usage.output_tokens, 16);
});

test("the events come in Anthropic's order", async () => {
  const kinds = (await collect(await client.messages.create(asked({ stream: true }))))
    .map((event) => event.type).filter((kind) => kind !== "ping");
  assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  assert.ok(kinds.slice(2, -3).every((kind) => kind === "content_block_delta") && kinds.length > 8);
});

test("system, blocks and a stop sequence", async () => {
  const turns = [...QUESTION, { role: "assistant", content: [{ type: "text", text: "The Nile." }] },
    { role: "user", content: [{ type: "text", text: "And one more?" }] }];
  const more = { messages: turns, system: [{ type: "text", text: "You are terse." }], max_tokens: 40 };
  const whole = (await client.messages.create(asked(more))).content[0].text;
  const stop = whole.slice(4, 8);
  const stopped = await client.messages.create(asked({ ...more, stop_sequences: [stop] }));
  assert.equal(stopped.stop_reason, "stop_sequence");
  assert.equal(stopped.stop_sequence, stop);
  assert.equal(stopped.content[0].text, whole.slice(0, whole.indexOf(stop)));
});

test("tokens are counted as they are billed", async () => {
  const { input_tokens } = await client.messages.countTokens({ model: TEXT_MODEL, messages: QUESTION });
  const { usage } = await client.messages.create(asked());
  assert.equal(input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
});

test("a forced call of a tool, whole and streamed", async () => {
  const more = {
    tools: [{ name: "get_weather", description: "The weather now.", input_schema: WEATHER }],
    tool_choice: { type: "tool", name: "get_weather" },
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    max_tokens: 100,
  };
  const whole = await client.messages.create(asked(more));
  assert.equal(whole.stop_reason, "tool_use");
  const call = whole.content.at(-1);
  assert.equal(call.type, "tool_use");
  assert.equal(call.name, "get_weather");
  assert.ok(WEATHER.properties.city.enum.includes(call.input.city));

  const final = await client.messages.stream(asked(more)).finalMessage();
  assert.equal(final.stop_reason, "tool_use");
  assert.deepEqual(final.content.at(-1).input, call.input);

  const answered = await client.messages.create(asked({ tools: more.tools, messages: [
    ...more.messages, { role: "assistant", content: whole.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "Rain." }] }] }));
  assert.ok(["end_turn", "max_tokens", "tool_use"].includes(answered.stop_reason));
});

test("the settings may come from the environment", async () => {
  Object.assign(process.env, { ANTHROPIC_BASE_URL: SPILLWAY_URL, ANTHROPIC_API_KEY: SPILLWAY_TOKEN });
  assert.ok((await new Anthropic().messages.create(asked())).content.length);
});

test("both kinds of credentials are tokens", async () => {
  assert.ok((await connect({ authToken: SPILLWAY_TOKEN }).messages.create(asked())).content.length);
  await assert.rejects(connect({ apiKey: "sk-wrong" }).messages.create(asked()), (error) =>
    error instanceof Anthropic.AuthenticationError &&
    error.error.error.type === "authentication_error");
});

test("errors are of their classes and say why", async () => {
  for (const stream of [false, true]) {
    await assert.rejects(client.messages.create(asked({ max_tokens: 0, stream })), (error) =>
      error instanceof Anthropic.BadRequestError && error.message.includes("max_tokens"));
    await assert.rejects(client.messages.create(asked({ model: "other", stream })), (error) =>
      error instanceof Anthropic.NotFoundError && error.message.includes(TEXT_MODEL));
  }
});
