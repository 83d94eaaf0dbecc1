import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync, Visitor } from "oxc-parser";
import { describe, expect, it } from "vitest";
import { CLIENT_FRAMES } from "../../src/gateway/sockets/frames.ts";
import { newPolicySchema, policyChangesSchema } from "../../src/keys/policy.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { rhoneRequest } from "../../src/surfaces/rhone.ts";
import { ROOT, sourcesOf } from "../support/source.ts";

/** Something reads every member of every request of the gateway's own: what is accepted has an effect. */
const SCHEMAS: Record<string, unknown> = {
  rhone: rhoneRequest,
  "POST /v1/calls": SURFACES.native.request,
  "POST /v1/keys": newPolicySchema,
  "PATCH /v1/keys": policyChangesSchema,
  ...CLIENT_FRAMES,
};

/** Members that are accepted without an effect, and why. */
const WITHOUT_EFFECT: Record<string, string> = {
  connect: "workerd's fetch reports no connection; the deadline for headers covers it (docs/routing.md)",
};

/** Files that say what is accepted. */
const IS_SCHEMA = /^src\/(http\/openapi|surfaces\/(rhone|native-schemas)\.ts)/;

type Zod = { def: { type: string; shape?: object; innerType?: Zod; element?: Zod; options?: Zod[]; in?: Zod } };

/** The names of all members, at every depth. Maps have the caller's names. */
function membersOf({ def }: Zod): string[] {
  const inner = [def.innerType, def.element, def.in, ...(def.options ?? [])].filter((one) => one !== undefined);
  const own = Object.entries((def.shape ?? {}) as Record<string, Zod>);
  return [...own.flatMap(([name, one]) => [name, ...membersOf(one)]), ...inner.flatMap(membersOf)];
}

type Reads = { any: Set<string>; ofRhone: Set<string> };

/**
 * The names that a file reads as members of objects: `a.name`, `{ name } = a`, `a["name"]`. `ofRhone`: of the object `rhone`
 * or of one of its members.
 */
function readsIn(path: string): Reads {
  const any = new Set<string>();
  const ofRhone = new Set<string>();
  const { program } = parseSync(path, readFileSync(join(ROOT, path), "utf8"));
  const nameOf = (key: Node): string | undefined =>
    key.type === "Identifier" ? key.name : typeof key.value === "string" ? key.value : undefined;
  /** All names in a pattern, at every depth. */
  const namesIn = (pattern: Node | undefined): string[] => {
    if (pattern?.type === "AssignmentPattern") return namesIn(pattern.left);
    if (pattern?.type !== "ObjectPattern") return [];
    return pattern.properties!.flatMap((one) =>
      one.type === "Property" ? [nameOf(one.key!) ?? "", ...namesIn(one.value as Node)] : [],
    );
  };
  /** Whether an expression is `rhone`, `….rhone`, or a member of it. */
  const isRhone = (node: Node | null | undefined): boolean => {
    if (node === undefined || node === null) return false;
    if (node.type === "ChainExpression" || node.type === "TSNonNullExpression") return isRhone(node.expression);
    if (node.type === "LogicalExpression") return isRhone(node.left);
    if (node.type === "Identifier") return node.name === "rhone" || node.name === "fromBody";
    return node.type === "MemberExpression" && (nameOf(node.property!) === "rhone" || isRhone(node.object));
  };
  new Visitor({
    MemberExpression: (node) => {
      const { object, property } = node as unknown as Node;
      const name = nameOf(property!);
      if (name === undefined) return;
      any.add(name);
      if (isRhone(object)) ofRhone.add(name);
    },
    ObjectPattern: (node) => {
      for (const one of (node as unknown as Node).properties!) {
        if (one.type !== "Property") continue;
        const name = nameOf(one.key!);
        if (name !== undefined) any.add(name);
        if (name === "rhone") for (const inner of namesIn(one.value as Node)) ofRhone.add(inner);
      }
    },
    VariableDeclarator: (node) => {
      const { id, init } = node as unknown as { id: Node; init: Node | null };
      if (isRhone(init)) for (const name of namesIn(id)) ofRhone.add(name);
    },
  }).visit(program);
  return { any, ofRhone };
}

/** What of the syntax tree is used here. */
type Node = {
  type: string;
  name?: string;
  value?: unknown;
  key?: Node;
  left?: Node;
  object?: Node;
  property?: Node;
  expression?: Node;
  properties?: Node[];
};

const reads = new Map(
  sourcesOf("src")
    .filter(({ path }) => !IS_SCHEMA.test(path))
    .map(({ path }) => [path, readsIn(path)]),
);

const isRead = (name: string, of: keyof Reads): boolean => [...reads.values()].some((names) => names[of].has(name));

describe.each(Object.entries(SCHEMAS))("the members of %s", (_, schema) => {
  it("something reads each member", () => {
    const members = [...new Set(membersOf(schema as Zod))].filter((name) => !(name in WITHOUT_EFFECT));
    expect(members.length).toBeGreaterThan(0);
    expect(members.filter((name) => !isRead(name, "any"))).toEqual([]);
  });
});

it("something reads each member of rhone from it", () => {
  const members = Object.keys(rhoneRequest.shape).filter((name) => !(name in WITHOUT_EFFECT));
  expect(members.filter((name) => !isRead(name, "ofRhone"))).toEqual([]);
});

it("a member that nothing reads is found", () => {
  expect(["assessment", "hosted_harness_id"].filter((name) => isRead(name, "ofRhone"))).toEqual([]);
  // Of other objects.
  expect([isRead("error", "any"), isRead("error", "ofRhone")]).toEqual([true, false]);
});
