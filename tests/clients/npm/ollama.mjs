// What people do with Ollama's library for JavaScript, against --ollama without a token.

import assert from "node:assert/strict";
import test from "node:test";

import { Ollama } from "ollama";

import {
  collect, cosine, EMBEDDING_MODEL, QUESTION, RIVER, SPILLWAY_OLLAMA_URL, SPILLWAY_TOKEN, SPILLWAY_URL,
  TEXT_MODEL,
} from "./spillway.mjs";

const client = new Ollama({ host: SPILLWAY_OLLAMA_URL });
const options = { temperature: 0, num_predict: 16 };
const chat = (more = {}) => client.chat({ model: TEXT_MODEL, messages: QUESTION, options, ...more });

test("lists what there is", async () => {
  const names = [`${EMBEDDING_MODEL}:latest`, `${TEXT_MODEL}:latest`];
  const { models } = await client.list();
  assert.deepEqual(models.map((model) => model.name).sort(), names);
  assert.ok(models.every((model) => model.digest.length === 64 && model.details.family));
  assert.deepEqual((await client.ps()).models.map((model) => model.model).sort(), names);
  const shown = await client.show({ model: TEXT_MODEL });
  assert.deepEqual(shown.capabilities, ["completion"]);
  assert.ok(shown.model_info["llama.context_length"] > 1000);
  assert.match((await client.version()).version, /^\d+\.\d+/);
});

test("a streamed chat says what the whole one says", async () => {
  const whole = await chat();
  assert.equal(whole.done_reason, "length");
  assert.equal(whole.eval_count, 16);
  assert.ok(whole.message.content.length > 20);
  const parts = await collect(await chat({ stream: true }));
  assert.equal(parts.map((part) => part.message.content).join(""), whole.message.content);
  assert.ok(parts.length > 3);
  assert.ok(parts.at(-1).done && parts.at(-1).eval_count === 16);
  assert.ok(parts.slice(0, -1).every((part) => !part.done));
});

test("generate", async () => {
  const asked = { model: TEXT_MODEL, prompt: "The capital of France is", raw: true, options };
  const whole = (await client.generate(asked)).response;
  assert.match(whole, /Paris/);
  const parts = await collect(await client.generate({ ...asked, stream: true }));
  assert.equal(parts.map((part) => part.response).join(""), whole);
});

test("a stream that is aborted throws, and the next request is answered", async () => {
  // abort() ends all streams of the client.
  const own = new Ollama({ host: SPILLWAY_OLLAMA_URL });
  const stream = await own.chat({ model: TEXT_MODEL, messages: QUESTION, stream: true,
    options: { num_predict: 2000 } });
  await assert.rejects(async () => {
    for await (const part of stream) if (part.message.content) own.abort();
  }, { name: "AbortError" });
  assert.ok((await chat()).done);
});

test("structured output", async () => {
  for (const format of ["json", RIVER]) {
    const asked = { format, options: { temperature: 0, num_predict: 100 }, messages: [
      { role: "user", content: "Name a river and its length in km, as JSON with name and km." }] };
    const whole = await chat(asked);
    const parts = await collect(await chat({ ...asked, stream: true }));
    assert.equal(parts.map((part) => part.message.content).join(""), whole.message.content);
    if (whole.done_reason === "stop") assert.equal(typeof JSON.parse(whole.message.content), "object");
    if (format !== RIVER) continue;
    const river = JSON.parse(whole.message.content);
    assert.deepEqual(Object.keys(river), ["name", "km"]);
    assert.ok(Number.isInteger(river.km));
  }
});

test("embeddings", async () => {
  const { embeddings } = await client.embed({ model: EMBEDDING_MODEL,
    input: ["A cat sleeps.", "The kitten is asleep.", "Banks lend money."] });
  assert.equal(embeddings[0].length, 384);
  assert.ok(cosine(embeddings[0], embeddings[1]) > 0.6 && cosine(embeddings[0], embeddings[2]) < 0.3);
  const { embedding } = await client.embeddings({ model: EMBEDDING_MODEL, prompt: "A cat sleeps." });
  assert.ok(cosine(embedding, embeddings[0]) > 0.9999);
});

test("errors have their status and say why", async () => {
  const refused = (asked, status_code, message) =>
    assert.rejects(asked, (error) => error.status_code === status_code && message.test(error.message));
  await refused(chat({ model: "other" }), 404, /not found/);
  await refused(chat({ model: "other", stream: true }), 404, /not found/);
  await refused(chat({ model: EMBEDDING_MODEL }), 400, /makes embeddings/);
  await refused(client.generate({ model: TEXT_MODEL, prompt: "a", suffix: "b" }), 400, /suffix/);
  await refused(client.pull({ model: "llama3" }), 501, /not possible here/);
  await refused(client.delete({ model: TEXT_MODEL }), 501, /not possible here/);
});

test("the other listener speaks it with a token", async () => {
  await assert.rejects(new Ollama({ host: SPILLWAY_URL }).list(), { status_code: 401 });
  const known = new Ollama({ host: SPILLWAY_URL, headers: { Authorization: `Bearer ${SPILLWAY_TOKEN}` } });
  assert.equal((await known.list()).models.length, 2);
});
