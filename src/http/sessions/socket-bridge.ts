import { toGatewayError } from "../../canonical/error.ts";
import { errorMembers } from "../../dialects/native/errors.ts";
import { PROTOCOL } from "../../gateway/sockets/session-sockets.ts";
import { idPattern, newId } from "../../wire/id.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";

/** Opens the connection that a session's object holds; of a new session's, where none is named. */
type Connect = (session: string | undefined) => Promise<Response>;

/** The session's own end, and which one it is. */
type Far = { socket: WebSocket; session: string | undefined };

/**
 * A client's connection that is joined to one session after another: its first frame, and every `session.bind`, says to
 * which. The session's end sleeps as ever; this one only passes frames.
 */
export function proxySocket(connect: Connect): Response {
  const [client, near] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
  near.accept();
  near.binaryType = "arraybuffer";
  let far: Far | undefined;
  let turn = Promise.resolve();

  const join = async (session: string | undefined): Promise<Far> => {
    const socket = (await connect(session)).webSocket!;
    socket.accept();
    socket.binaryType = "arraybuffer";
    const made = { socket, session };
    socket.addEventListener("message", ({ data }) => near.send(data as string));
    socket.addEventListener("close", ({ code, reason }) => {
      if (far === made) near.close(code === 1006 ? 1012 : code, reason);
    });
    return made;
  };

  const pass = async (data: string | ArrayBuffer): Promise<void> => {
    const bind = bindIn(data);
    const isOther = bind?.session !== undefined && bind.session !== far?.session;
    try {
      if (far === undefined || isOther) {
        const before = far;
        far = await join(bind?.session);
        before?.socket.close(1000, "bound elsewhere");
      }
      far.socket.send(data);
    } catch (thrown) {
      const error = errorMembers(toGatewayError(thrown), newId("req", Date.now()));
      near.send(JSON.stringify({ type: "error", id: bind?.id, error }));
    }
  };

  near.addEventListener("message", ({ data }) => {
    turn = turn.then(() => pass(data as string | ArrayBuffer));
  });
  near.addEventListener("close", ({ code, reason }) =>
    far?.socket.close(code === 1005 || code === 1006 ? 1001 : code, reason),
  );
  return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": PROTOCOL } });
}

const SESSION = idPattern("sess");

/** The session that a frame binds, if it is one that does; whatever is wrong with it, the session's end tells. */
function bindIn(data: string | ArrayBuffer): { id: string | undefined; session: string | undefined } | undefined {
  const said = typeof data === "string" && data.includes("session.bind") ? tryParseJson(data) : undefined;
  if (!isObject(said) || said.type !== "session.bind") return undefined;
  const { id, session_id: session } = said;
  const isOurs = typeof session === "string" && SESSION.test(session);
  return { id: typeof id === "string" ? id : undefined, session: isOurs ? session : undefined };
}
