import { createAuthorization } from "./authorization.ts";
import { callTool } from "./call-tool.ts";
import { createMcpSession } from "./session.ts";
import { cancelTask, getTask, updateTask } from "./tasks.ts";
import { listTools } from "./tools.ts";

/** The client of the Model Context Protocol as one module, to be loaded when the first server is called: most isolates call none. */
export const mcpClient = {
  createAuthorization,
  createMcpSession,
  listTools,
  callTool,
  getTask,
  updateTask,
  cancelTask,
};
