// What people do with the AI SDK and its provider for servers that speak OpenAI's API.

import assert from "node:assert/strict";
import test from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError, embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool,
} from "ai";

import {
  collect, cosine, EMBEDDING_MODEL, QUESTION, RIVER, SPILLWAY_TOKEN, SPILLWAY_URL, TEXT_MODEL, WEATHER,
} from "./spillway.mjs";

const connect = (apiKey) => createOpenAICompatible({
  name: "spillway", baseURL: `${SPILLWAY_URL}/v1`, apiKey, includeUsage: true,
  supportsStructuredOutputs: true,
});
const spillway = connect(SPILLWAY_TOKEN);

const asked = (more = {}) => ({
  model: spillway(TEXT_MODEL), messages: QUESTION, temperature: 0, maxOutputTokens: 24, maxRetries: 0,
  ...more,
});

// onError: the SDK writes the errors of streams to the console otherwise.
const streamed = (more) => streamText({ ...asked(more), onError: () => {} });

test("a stream says what the whole answer says", async () => {
  const whole = await generateText(asked());
  assert.ok(whole.text.length > 20);
  assert.equal(whole.finishReason, "length");
  assert.equal(whole.usage.outputTokens, 24);
  assert.equal(whole.response.modelId, TEXT_MODEL);

  const stream = streamed();
  const pieces = await collect(stream.textStream);
  assert.ok(pieces.length > 5);
  assert.equal(pieces.join(""), whole.text);
  assert.equal(await stream.finishReason, "length");
  assert.deepEqual(await stream.usage.then(({ inputTokens, outputTokens }) => [inputTokens, outputTokens]),
    [whole.usage.inputTokens, 24]);
});

test("a system prompt and turns", async () => {
  const { usage } = await generateText(asked({ system: "You are terse.", messages: [...QUESTION,
    { role: "assistant", content: "The Nile." },
    { role: "user", content: [{ type: "text", text: "And one more?" }] }] }));
  assert.ok(usage.inputTokens > (await generateText(asked())).usage.inputTokens);
});

test("structured output, whole and in parts", async () => {
  const output = Output.object({ schema: jsonSchema(RIVER) });
  const whole = await generateText(asked({ output, maxOutputTokens: 100 }));
  assert.deepEqual(Object.keys(whole.output), ["name", "km"]);
  assert.ok(typeof whole.output.name === "string" && Number.isInteger(whole.output.km));
  const parts = await collect(streamed({ output, maxOutputTokens: 100 }).partialOutputStream);
  assert.deepEqual(parts.at(-1), whole.output);
});

test("a tool is run and its result goes back", async () => {
  const cities = [];
  const more = {
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    maxOutputTokens: 100,
    providerOptions: { spillway: { parallel_tool_calls: false } },
    tools: { get_weather: tool({
      description: "The weather now.", inputSchema: jsonSchema(WEATHER),
      execute: ({ city }) => { cities.push(city); return "Rain."; },
    }) },
    toolChoice: "required",
    stopWhen: stepCountIs(2),
  };
  const whole = await generateText(asked(more));
  assert.equal(whole.steps.length, 2);
  assert.equal(whole.steps[0].finishReason, "tool-calls");
  assert.equal(whole.steps[0].toolResults[0].output, "Rain.");
  assert.equal(cities.length, 2);
  assert.ok(cities.every((city) => WEATHER.properties.city.enum.includes(city)));

  const parts = await collect(streamed({ ...more, stopWhen: stepCountIs(1) }).fullStream);
  const [call] = parts.filter((part) => part.type === "tool-call");
  assert.equal(call.toolName, "get_weather");
  assert.deepEqual(call.input, { city: cities[0] });
});

test("embeddings", async () => {
  const { embeddings, usage } = await embedMany({
    model: spillway.embeddingModel(EMBEDDING_MODEL), maxRetries: 0,
    values: ["A cat sleeps.", "The kitten is asleep.", "Banks lend money."] });
  assert.equal(embeddings[0].length, 384);
  assert.ok(cosine(embeddings[0], embeddings[1]) > 0.6 && cosine(embeddings[0], embeddings[2]) < 0.3);
  assert.ok(usage.tokens > 10);
});

test("errors have their status, say why and whether to try again", async () => {
  const refused = (status, words) => (error) => APICallError.isInstance(error) &&
    error.statusCode === status && !error.isRetryable && words.test(error.message);
  await assert.rejects(generateText(asked({ model: spillway("gpt-17") })), refused(404, /gpt-17/));
  await assert.rejects(generateText(asked({ temperature: 3 })), refused(400, /temperature/));
  await assert.rejects(generateText(asked({ model: connect("sk-wrong")(TEXT_MODEL) })),
    refused(401, /token/i));
  const parts = await collect(streamed({ temperature: 3 }).fullStream);
  const [failed] = parts.filter((part) => part.type === "error");
  assert.ok(refused(400, /temperature/)(failed.error));
});
