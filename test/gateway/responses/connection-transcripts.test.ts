import { describe, expect, it } from "vitest";
import { ConnectionTranscripts } from "../../../src/gateway/responses/connection-transcripts.ts";

const MIB = 1024 * 1024;
const text = (mebibytes: number): string[] => ["x".repeat(mebibytes * MIB)];

describe("the transcripts of connections", () => {
  it("are those of the last response of each channel, up to a length", () => {
    const connection = new ConnectionTranscripts();
    connection.remember(undefined, "resp_1", ["a"]);
    connection.remember("b", "resp_2", text(2));
    connection.remember(undefined, "resp_3", text(2));
    expect(["resp_1", "resp_2", "resp_3"].map((id) => connection.find(id) !== undefined)).toEqual([false, true, true]);
    connection.remember("c", "resp_4", text(1));
    expect(["resp_2", "resp_3", "resp_4"].map((id) => connection.find(id) !== undefined)).toEqual([false, true, true]);
    connection.remember("d", "resp_5", text(5));
    expect(["resp_3", "resp_4", "resp_5"].map((id) => connection.find(id) !== undefined)).toEqual([
      false,
      false,
      false,
    ]);
    connection.clear();
  });

  it("are bounded in an isolate: the connection that was not used for longest loses its own", () => {
    const connections = Array.from({ length: 8 }, () => new ConnectionTranscripts());
    for (const [i, connection] of connections.entries()) connection.remember(undefined, `resp_${i}`, text(4));
    const known = (): boolean[] => connections.map((connection, i) => connection.find(`resp_${i}`) !== undefined);
    expect(known()).toEqual([false, false, true, true, true, true, true, true]);
    connections[5]!.clear();
    connections[0]!.remember(undefined, "resp_0", text(4));
    expect(known()).toEqual([true, false, true, true, true, false, true, true]);
    for (const connection of connections) connection.clear();
  });
});
