// What the programs of this folder share: where the server is, and what they ask it.

// Set by npm_clients_test.py.
export const { SPILLWAY_URL, SPILLWAY_OLLAMA_URL, SPILLWAY_TOKEN, TEXT_MODEL, EMBEDDING_MODEL } =
  process.env;

export const QUESTION = [{ role: "user", content: "Name three rivers and where they end." }];

export const RIVER = {
  type: "object",
  properties: { name: { type: "string", maxLength: 20 }, km: { type: "integer" } },
  required: ["name", "km"],
  additionalProperties: false,
};

export const WEATHER = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

export const cosine = (a, b) =>
  a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.hypot(...a) / Math.hypot(...b);
