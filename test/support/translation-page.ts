import type { Dialect, Loss } from "../../src/canonical/types.ts";
import { isObject, type Json } from "../../src/wire/json.ts";
import { type RowKind, SHORTEST, type Topic, type TranslationRow } from "./translation.ts";

const NAMES: Record<Dialect, string> = {
  "openai-chat": "OpenAI Chat",
  "openai-responses": "OpenAI Responses",
  anthropic: "Anthropic",
  gemini: "Gemini",
  native: "Native",
};

/** `docs/translation.md`. */
export function renderTopics(topics: readonly Topic[]): string {
  const list = topics.map(({ title }) => `[${title}](#${toAnchor(title)})`).join(",\n");
  const sections = topics.flatMap((topic) => [
    `## ${topic.title}`,
    topic.about,
    ...renderRows(topic, "requests"),
    ...renderRows(topic, "answers"),
  ]);
  return `${[INTRODUCTION, `${list}.`, ...renderShortest(), ...sections].join("\n\n")}\n`;
}

const INTRODUCTION = `# Translation

A request that goes to a provider of another API is translated, and so is the answer. This page shows what becomes of
each part, by topic. It is written by \`node scripts/translation-table.ts\` from the rows in \`test/golden/translation/\`,
which the tests compare with the code.

An example shows only the members in which it differs from the [shortest exchange](#the-shortest-exchange), before and
after the translation: \`{}\` means that nothing is added. A **loss** is what the target cannot represent; the gateway
lists it in \`rhone.losses\`, and refuses the request instead if \`rhone.strict\` is set. A value of the
wrong type is refused with its name, as the provider does not see it. Within one API nothing is translated: the bytes
pass unchanged, and the provider judges them.`;

const toAnchor = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, "")
    .replaceAll(" ", "-");

function renderShortest(): string[] {
  const dialects = Object.keys(NAMES) as Dialect[];
  const examples = (kind: RowKind): string =>
    toCode(dialects.map((dialect) => `// ${NAMES[dialect]}\n${toLines(SHORTEST[kind][dialect], "", 0)}`));
  return [
    "## The shortest exchange",
    "The request that the examples start from. Gemini has the model and the mode in its URL. What the gateway adds to every " +
      "request is not repeated: to Responses `store: false`, and to Anthropic the `max_tokens` that its API requires.",
    examples("requests"),
    "The answer that they start from.",
    examples("answers"),
  ];
}

/** Rows of one title follow one another and have one input. */
function renderRows(topic: Topic, kind: RowKind): string[] {
  const groups = [...Map.groupBy(topic[kind], ({ title }) => title).values()];
  return groups.flatMap((rows) => {
    const [{ title, from, input }] = rows as [TranslationRow];
    const source = `// ${NAMES[from]}\n${toLines(input, "", 0)}`;
    return [`### ${title}${kind === "requests" ? "" : " (answer)"}`, toCode([source, ...rows.map(renderOutput)])];
  });
}

const renderOutput = ({ to, output, losses }: TranslationRow): string =>
  [`// to ${NAMES[to]}`, toLines(output, "", 0), ...losses.map(renderLoss)].join("\n");

const renderLoss = ({ at, what, why }: Loss): string => `// loss: ${at} ${what}: ${why}`;

/** Several JSON values with comments. */
const toCode = (examples: readonly string[]): string => `\`\`\`jsonc\n${examples.join("\n\n")}\n\`\`\``;

/** Columns of a page. */
const WIDTH = 110;

/** JSON text in which a list or an object is on one line if it fits there. `reserved`: columns before and after it. */
function toLines(value: Json, indent: string, reserved: number): string {
  const line = toLine(value);
  const isEmpty = line === "[]" || line === "{}";
  if (isEmpty || (!Array.isArray(value) && !isObject(value)) || indent.length + reserved + line.length <= WIDTH)
    return line;
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const parts = Array.isArray(value)
    ? value.map((item) => toLines(item, inner, 1))
    : Object.entries(value).map(([key, member]) => {
        const name = `${JSON.stringify(key)}: `;
        return `${name}${toLines(member, inner, name.length + 1)}`;
      });
  return `${open}\n${parts.map((part) => `${inner}${part}`).join(",\n")}\n${indent}${close}`;
}

function toLine(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(toLine).join(", ")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${toLine(member)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}
