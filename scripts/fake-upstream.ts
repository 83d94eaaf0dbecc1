import { answer } from "../test/fake/dialects.ts";
import { FAULTS } from "../test/fake/faults.ts";
import { listen } from "../test/fake/upstream.ts";

/** `npm run fake-upstream`: the scripted provider on `PORT` (default: any free port), for a gateway on the same machine. */
const { url } = await listen(answer, Number(process.env.PORT ?? 0));
const rows = { fake: "openai-chat", fakeresp: "openai-responses", fakeanth: "anthropic", fakegem: "gemini" };
const providers = Object.entries(rows).map(([id, dialect]) => ({ id, dialect, base_url: url, api_key: "fake-key" }));
console.log(`The scripted provider listens at ${url}; the requests that it received: GET ${url}/log

RHONE_PROVIDERS='${JSON.stringify(providers)}' npm start

Models: ${Object.keys(FAULTS)
  .map((name) => `fault-${name}`)
  .join(" ")}
A suffix makes a separate model with a separate count: fault-500-once.a
`);
