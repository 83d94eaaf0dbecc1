import { beforeAll, expect, it, vi } from "vitest";
import { expectDescribed, type Json, problemsOf, readDocument } from "../../support/described-answers.ts";
import { request, user } from "../../support/worker/client.ts";

const MODEL = "demo";
const messages = [user("My name is Alice.")];

beforeAll(async () => {
  await readDocument();
});

it("frames that are sent and accepted are as described", async () => {
  const { webSocket } = await request("/v1/ws", {
    headers: { upgrade: "websocket", "sec-websocket-protocol": "rhone.ws.v1" },
  });
  const socket = webSocket!;
  const frames: Json[] = [];
  socket.addEventListener("message", ({ data }) => void frames.push(JSON.parse(data as string)));
  socket.accept();
  const send = (frame: object): void => {
    expect([problemsOf({ $ref: "#/components/schemas/SocketClientFrame" }, frame, true), frame]).toEqual([[], frame]);
    socket.send(JSON.stringify(frame));
  };
  send({ type: "session.bind", id: "1" });
  send({ type: "ping", id: "2" });
  send({ type: "call.create", id: "3", surface: "chat", request: { model: MODEL, messages } });
  send({
    type: "call.create",
    id: "4",
    surface: "native",
    request: { model: "fake/fault-500-always.socket", input: "x" },
  });
  // A frame that the gateway refuses; it is not described.
  socket.send(JSON.stringify({ type: "unknown", id: "5" }));
  await vi.waitFor(
    () =>
      expect(new Set(frames.map(({ type }) => type))).toEqual(
        new Set(["session.bound", "pong", "call.started", "call.event", "call.completed", "call.failed", "error"]),
      ),
    5_000,
  );
  const sessionId = frames.find(({ type }) => type === "session.bound").session_id;
  const other = await expectDescribed({
    id: "chat.completions.create",
    path: "/v1/chat/completions",
    body: { model: MODEL, messages, stream: true, rhone: { session_id: sessionId } },
  });
  expect(other.length).toBeGreaterThan(1);
  const isEnd = ({ type, event }: Json): boolean => type === "session.event" && event.type === "call.completed";
  await vi.waitFor(() => expect(frames.some(isEnd)).toBe(true), 5_000);
  socket.close();
  for (const frame of frames)
    expect([problemsOf({ $ref: "#/components/schemas/SocketServerFrame" }, frame, true), frame]).toEqual([[], frame]);
});
