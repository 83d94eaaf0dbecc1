import { expect, it } from "vitest";
import { api } from "../../support/worker/session-client.ts";

const message = (content: string): object => ({ type: "message", role: "user", content });

it("deleting the only item of a conversation moves its head to the place before the first turn", async () => {
  const { body: conversation } = await api("POST", "/v1/conversations", { items: [message("one")] });
  const at = `/v1/conversations/${conversation.id}`;
  const { body: items } = await api("GET", `${at}/items`);
  expect(items.data).toHaveLength(1);
  expect((await api("DELETE", `${at}/items/${items.data[0].id}`)).status).toBe(200);
  expect((await api("GET", `${at}/items`)).body.data).toEqual([]);
  const { body: session } = await api("GET", `/v1/sessions/${conversation.id.replace("conv_", "sess_")}`);
  expect([session.head, session.turns]).toEqual([null, 0]);
});

it("deleting the newest item, alone in its turn, moves the head to the turn before", async () => {
  const { body: conversation } = await api("POST", "/v1/conversations", { items: [message("one")] });
  const at = `/v1/conversations/${conversation.id}`;
  const { body: added } = await api("POST", `${at}/items`, { items: [message("two")] });
  expect((await api("DELETE", `${at}/items/${added.data[0].id}`)).status).toBe(200);
  const { body: rest } = await api("GET", `${at}/items`);
  expect(rest.data.map(({ content }: { content: { text: string }[] }) => content[0]!.text)).toEqual(["one"]);
  expect((await api("POST", `${at}/items`, { items: [message("three")] })).status).toBe(200);
  expect((await api("GET", `${at}/items?order=asc`)).body.data).toHaveLength(2);
});
