import { Validator } from "@cfworker/json-schema";
import { expect, it } from "vitest";
import { fetchDemo } from "../../src/providers/demo.ts";

const parameters = {
  type: "object",
  properties: {
    city: { type: "string" },
    days: { type: "integer", minimum: 2 },
    unit: { enum: ["C", "F"] },
    places: {
      type: "array",
      minItems: 1,
      items: { type: "object", properties: { id: { type: ["number", "null"] } }, required: ["id"] },
    },
    extra: { type: "boolean" },
  },
  required: ["city", "days", "unit", "places"],
  additionalProperties: false,
};
const tools = [
  { type: "function", function: { name: "weather", parameters } },
  { type: "function", function: { name: "clock", parameters: { type: "object", properties: {} } } },
];

type Answer = {
  choices: { message: { content: string | null; tool_calls?: { function: { name: string; arguments: string } }[] } }[];
};

async function ask(body: object): Promise<Answer["choices"][0]["message"]> {
  const request = new Request("http://demo.invalid/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model: "demo", ...body }),
  });
  const answer: Answer = await (await fetchDemo(request)).json();
  return answer.choices[0]!.message;
}

const user = (content: string): object => ({ role: "user", content });

it.each([
  ["required", "weather"],
  [{ type: "function", function: { name: "clock" } }, "clock"],
  [
    {
      type: "allowed_tools",
      allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "clock" } }] },
    },
    "clock",
  ],
])("the demo calls a tool when the choice demands one, with arguments of its schema: %j", async (tool_choice, name) => {
  const { tool_calls: calls } = await ask({ messages: [user("Paris")], tools, tool_choice });
  expect(calls?.map((call) => call.function.name)).toEqual([name]);
  const args: unknown = JSON.parse(calls![0]!.function.arguments);
  if (name === "weather") expect(new Validator(parameters as object).validate(args).errors).toEqual([]);
});

it("the demo calls the tool that the message names, if the choice allows it, and none if the choice is none", async () => {
  const messages = [user('call clock with {"zone":"UTC"}')];
  const demanded = await ask({ messages, tools, tool_choice: "required" });
  expect(demanded.tool_calls?.[0]?.function).toEqual({ name: "clock", arguments: '{"zone":"UTC"}' });
  expect(await ask({ messages, tools, tool_choice: "none" })).not.toHaveProperty("tool_calls");
  expect(await ask({ messages: [user("Paris")], tools })).not.toHaveProperty("tool_calls");
});

it("the demo's summary of a transcript has what the user said, so that facts survive it", async () => {
  const transcript =
    "User: My name is Ada.\n\nAssistant: I will remember that your name is Ada.\n\nUser: What is my name?";
  const { content } = await ask({
    messages: [{ role: "system", content: "Write a summary from which to go on." }, user(transcript)],
  });
  expect(content).toBe("The user said:\nMy name is Ada.\nWhat is my name?");
  const restored = user(`What was said so far, in short:\n\n${content}`);
  expect((await ask({ messages: [restored, user("What is my name?")] })).content).toBe("Your name is Ada.");
  const again = await ask({
    messages: [{ role: "system", content: "Write a summary." }, user(`User: ${content}\n\nUser: Thanks`)],
  });
  expect(again.content).toContain("My name is Ada.");
  expect((await ask({ messages: [user("My dog is Rex."), user("Please summarise our talk")] })).content).toContain(
    "My dog is Rex.",
  );
});

it("the demo calls a custom tool as one", async () => {
  const custom = { type: "custom", custom: { name: "run", description: "Runs code" } };
  const { tool_calls: calls } = await ask({ messages: [user("print(1)")], tools: [custom], tool_choice: "required" });
  expect(calls).toMatchObject([{ type: "custom", custom: { name: "run", input: "print(1)" } }]);
});

it("the demo answers in the requested format", async () => {
  const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
  const messages = [user("My name is Alice."), user("What's my name?")];
  const formats: [object, object][] = [
    [{ type: "json_schema", json_schema: { name: "x", schema } }, { name: "Your name is Alice." }],
    [{ type: "json_object" }, { answer: "Your name is Alice." }],
  ];
  for (const [response_format, value] of formats)
    expect(JSON.parse((await ask({ messages, response_format })).content!)).toEqual(value);
});
