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

it("an id that two turns give is removed from the first of them only", async () => {
  const named = (id: string, text: string): object => ({ ...message(text), id });
  const { body: conversation } = await api("POST", "/v1/conversations", { items: [named("msg_x", "one")] });
  const at = `/v1/conversations/${conversation.id}`;
  await api("POST", `${at}/items`, { items: [named("msg_x", "two"), named("msg_y", "three")] });
  expect((await api("DELETE", `${at}/items/msg_x`)).status).toBe(200);
  const { data } = (await api("GET", `${at}/items?order=asc`)).body as {
    data: { id: string; content: { text: string }[] }[];
  };
  expect(data.map(({ id, content }) => [id, content[0]!.text])).toEqual([
    ["msg_x", "two"],
    ["msg_y", "three"],
  ]);
});

it.each(["fake/say", "fakeanth/think", "fakeresp/think", "fakegem/think"])(
  "the items around a deleted one keep their ids, and can be deleted and referenced by them: %s",
  async (model) => {
    const { body: conversation } = await api("POST", "/v1/conversations", { items: [message("one"), message("two")] });
    const at = `/v1/conversations/${conversation.id}`;
    for (const input of ["three", "four"])
      await api("POST", "/v1/responses", { model, input, conversation: conversation.id });
    const list = async (): Promise<{ id: string; type: string }[]> =>
      (await api("GET", `${at}/items?order=asc&limit=100`)).body.data;
    let left = await list();
    expect(left.length).toBeGreaterThanOrEqual(6);
    // The first one, one in the middle of a turn with an answer, and the last one.
    for (const choose of [() => 0, () => 2, () => left.length - 1]) {
      const { id } = left[choose()]!;
      expect((await api("DELETE", `${at}/items/${id}`)).status).toBe(200);
      // Reasoning that only its provider can read is bound to the exact history before it.
      const ids = (await list()).map((item) => item.id);
      left = left.filter((item) => item.id !== id && (item.type !== "reasoning" || ids.includes(item.id)));
      expect(ids).toEqual(left.map((item) => item.id));
    }
    for (const { id } of left) expect((await api("GET", `${at}/items/${id}`)).status).toBe(200);
    const named = left.find(({ type }) => type === "message")!.id;
    const { status, body } = await api("POST", "/v1/responses", {
      model,
      input: [{ type: "item_reference", id: named }],
      rhone: { session_id: conversation.id.replace("conv_", "sess_") },
    });
    expect([status, body.error]).toEqual([200, null]);
  },
);
