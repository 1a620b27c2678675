// The official JavaScript client against a server: node openai_client.cjs FOLDER URL PICTURE, where FOLDER holds
// node_modules/openai. Prints what it was answered as JSON.
const { createRequire } = require("node:module");

const [folder, url, picture] = process.argv.slice(2);
const OpenAI = createRequire(`${folder}/`)("openai");
const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
const question = [
  { type: "image_url", image_url: { url: picture } },
  { type: "text", text: "What is " },
  { type: "region", image: 0, box: [0.1, 0.2, 0.6, 0.9] },
];
const messages = [{ role: "user", content: question }];

async function main() {
  const whole = await client.chat.completions.create({ model: "chatspot", messages, max_tokens: 20 });
  const stream = await client.chat.completions.create({
    model: "chatspot", messages, max_completion_tokens: 20, stream: true, stream_options: { include_usage: true },
    temperature: 0, n: 1, stop: null,
  });
  const pieces = [], finishes = [];
  let usage = null;
  for await (const chunk of stream) {
    pieces.push(chunk.choices[0]?.delta?.content ?? "");
    finishes.push(chunk.choices[0]?.finish_reason ?? null);
    usage = chunk.usage ?? usage;
  }
  const again = await client.chat.completions.create({
    model: "chatspot", max_tokens: 5, messages: [...messages, whole.choices[0].message, { role: "user", content: "And?" }],
  });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const errors = [];
  for (const wrong of [{ max_tokens: 0 }, { model: "gpt-5" }, { tools: [] }]) {
    try {
      await client.chat.completions.create({ model: "chatspot", messages, ...wrong });
    } catch (error) {
      errors.push([error.constructor.name, error.status, error.code, error.param]);
    }
  }
  const left = await client.chat.completions.create({ model: "chatspot", messages, max_tokens: 24, stream: true });
  for await (const _ of left) break; // hangs up
  console.log(JSON.stringify({
    whole: whole.choices[0], usage: whole.usage, pieces, finishes: finishes.filter(Boolean), streamed: usage,
    again: again.usage, models, errors,
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
