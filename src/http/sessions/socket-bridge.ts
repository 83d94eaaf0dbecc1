import { toGatewayError } from "../../canonical/error.ts";
import { toErrorFrame } from "../../gateway/sockets/frames.ts";
import { PROTOCOL } from "../../gateway/sockets/session-sockets.ts";
import { idPattern } from "../../wire/id.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";

/** Opens a connection to a session's object; to a new session's if `session` is `undefined`. */
type Connect = (session: string | undefined) => Promise<Response>;

/** The connection to a session's object, and that session's id. */
type Upstream = { socket: WebSocket; session: string | undefined };

/**
 * Proxies a client's connection to one session after another: its first frame, and every `session.bind`, names the
 * session. The session's object can hibernate meanwhile; the proxy only forwards frames, in order.
 */
export function proxySocket(connect: Connect): Response {
  const [clientEnd, client] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
  client.accept();
  client.binaryType = "arraybuffer";
  let upstream: Upstream | undefined;
  let turn = Promise.resolve();

  const connectTo = async (session: string | undefined): Promise<Upstream> => {
    const socket = (await connect(session)).webSocket!;
    socket.accept();
    socket.binaryType = "arraybuffer";
    const made = { socket, session };
    socket.addEventListener("message", ({ data }) => client.send(data as string));
    socket.addEventListener("close", ({ code, reason }) => {
      if (upstream === made) client.close(code === 1006 ? 1012 : code, reason);
    });
    return made;
  };

  const forward = async (data: string | ArrayBuffer): Promise<void> => {
    const bind = bindIn(data);
    const isOther = bind?.session !== undefined && bind.session !== upstream?.session;
    try {
      if (upstream === undefined || isOther) {
        const previous = upstream;
        upstream = await connectTo(bind?.session);
        previous?.socket.close(1000, "bound elsewhere");
      }
      upstream.socket.send(data);
    } catch (thrown) {
      client.send(JSON.stringify(toErrorFrame(toGatewayError(thrown), bind?.id, Date.now())));
    }
  };

  client.addEventListener("message", ({ data }) => {
    turn = turn.then(() => forward(data as string | ArrayBuffer));
  });
  client.addEventListener("close", ({ code, reason }) =>
    upstream?.socket.close(code === 1005 || code === 1006 ? 1001 : code, reason),
  );
  return new Response(null, { status: 101, webSocket: clientEnd, headers: { "sec-websocket-protocol": PROTOCOL } });
}

const SESSION = idPattern("sess");

/** The session of a `session.bind` frame; `undefined` for other frames. The session's object reports what is wrong with one. */
function bindIn(data: string | ArrayBuffer): { id: string | undefined; session: string | undefined } | undefined {
  const frame = typeof data === "string" && data.includes("session.bind") ? tryParseJson(data) : undefined;
  if (!isObject(frame) || frame.type !== "session.bind") return undefined;
  const { id, session_id: session } = frame;
  const isOurs = typeof session === "string" && SESSION.test(session);
  return { id: typeof id === "string" ? id : undefined, session: isOurs ? session : undefined };
}
