// The library of chatgpt-web, used as its service does (service/src/chatgpt/index.ts), and what its
// page asks for beside it: the balance.

import assert from "node:assert/strict";
import test from "node:test";

import { ChatGPTAPI } from "chatgpt";

import { SPILLWAY_TOKEN, SPILLWAY_URL, TEXT_MODEL } from "./spillway.mjs";

// chatgpt-web appends /v1 to OPENAI_API_BASE_URL; without `fetch` the library looks for another.
const connect = (apiKey) => new ChatGPTAPI({
  apiBaseUrl: `${SPILLWAY_URL}/v1`, apiKey, fetch: globalThis.fetch,
  completionParams: { model: TEXT_MODEL, temperature: 0, presence_penalty: 0 },
  // Its own names the date, and so would have another answer every day.
  systemMessage: "You are a helpful assistant.",
  maxModelTokens: 2000, maxResponseTokens: 24,
});
const api = connect(SPILLWAY_TOKEN);
const TIMEOUT = { timeoutMs: 100_000 };

test("a stream says what the whole answer says", async () => {
  const asked = "Name three rivers and where they end.";
  const whole = await api.sendMessage(asked, TIMEOUT);
  assert.equal(whole.role, "assistant");
  assert.ok(whole.text.length > 20);
  const told = [];
  const final = await api.sendMessage(asked, { ...TIMEOUT,
    onProgress: ({ text, delta, detail }) => told.push({ text, delta, model: detail.model }) });
  assert.equal(final.text, whole.text.trim());
  assert.ok(told.length > 5);
  assert.ok(told.every(({ delta, model }) => typeof delta === "string" && model === TEXT_MODEL));
  assert.equal(told.map(({ delta }) => delta).join("").trim(), final.text);
  const reason = whole.detail.choices[0].finish_reason;
  assert.ok(["stop", "length"].includes(reason));
  assert.equal(final.detail.choices[0].finish_reason, reason);
  assert.match(final.id, /^chatcmpl-/);
});

test("text beyond ASCII arrives whole", async () => {
  const asked = "Repeat exactly: 你好世界 😀 naïve";
  const whole = await api.sendMessage(asked, TIMEOUT);
  const final = await api.sendMessage(asked, { ...TIMEOUT, onProgress: () => {} });
  assert.equal(final.text, whole.text.trim());
  assert.ok(!final.text.includes("\ufffd"));
});

test("a conversation goes on from the message that it names", async () => {
  const first = await api.sendMessage("My name is Ada.", TIMEOUT);
  const next = await api.sendMessage("What is my name?", {
    ...TIMEOUT, parentMessageId: first.id, systemMessage: "You are terse." });
  const alone = await api.sendMessage("What is my name?", { ...TIMEOUT, systemMessage: "You are terse." });
  assert.ok(next.detail.usage.prompt_tokens > alone.detail.usage.prompt_tokens + 20);
  assert.notEqual(next.id, first.id);
});

test("refusals bring the status that chatgpt-web shows a text for", async () => {
  for (const more of [{}, { onProgress: () => {} }]) {
    await assert.rejects(connect("sk-wrong").sendMessage("Hello", { ...TIMEOUT, ...more }),
      { statusCode: 401 });
    await assert.rejects(
      api.sendMessage("Hello", { ...TIMEOUT, ...more, completionParams: { model: "gpt-17" } }),
      (error) => error.statusCode === 404 && error.message.includes(TEXT_MODEL));
  }
});

test("the balance", async () => {
  const day = new Date().toISOString().slice(0, 10);
  // The page appends /v1 also where the setting ends in it.
  for (const base of [SPILLWAY_URL, `${SPILLWAY_URL}/v1`]) {
    const reply = await fetch(
      `${base}/v1/dashboard/billing/usage?start_date=${day}&end_date=${day}`,
      { headers: { "Content-Type": "application/json", Authorization: `Bearer ${SPILLWAY_TOKEN}` } });
    assert.equal(reply.status, 200);
    assert.ok(Number.isFinite((await reply.json()).total_usage));
  }
});
