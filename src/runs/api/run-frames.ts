import { invalid } from "../../canonical/error.ts";
import type { RunFrame } from "../../gateway/sockets/frames.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { readMembers } from "../../surfaces/request.ts";
import type { RunCommand } from "./run-api.ts";

/** `id`: for a run that the frame creates. `address`: of the client. */
type FrameContext = { id: string; sessionId: string; address?: string | undefined };

/** What a frame of a WebSocket asks for. Nothing waits for the run: its client reads what becomes of it in the run's events. */
export function toRunCommand(frame: RunFrame, at: FrameContext): RunCommand {
  switch (frame.type) {
    case "run.create": {
      const { id, sessionId, address } = at;
      const { rhone } = readMembers(frame.request, new Headers(), SURFACES.native);
      if (rhone.session_id !== undefined && rhone.session_id !== sessionId)
        throw invalid("request.session_id", `must be absent, or ${sessionId}, to which the connection is bound`);
      const from = address === undefined ? {} : { address };
      return { do: "create", id, sessionId, isNew: false, text: frame.request, stream: true, ...from };
    }
    case "run.interrupt": {
      const { run_id: run, message, behavior } = frame;
      return { do: "interrupt", id: run, body: JSON.stringify({ message, behavior, stream: true }) };
    }
    case "run.cancel":
      return { do: "cancel", id: frame.run_id };
    case "tool.result": {
      const { run_id: run, execution_id, content, is_error } = frame;
      const result = { id: execution_id, content: content as unknown, is_error };
      return { do: "resume", id: run, body: JSON.stringify({ tool_results: [result], stream: true }) };
    }
    case "checkpoint.resolve": {
      const { type: _, id: __, checkpoint_id: checkpoint, ...decision } = frame;
      return { do: "resolve", id: checkpoint, body: JSON.stringify(decision) };
    }
  }
}
