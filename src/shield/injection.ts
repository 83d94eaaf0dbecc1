import { normalizeText } from "./normal.ts";

/** A sign that a text gives instructions which are not its reader's. `score`: 0 to 1. */
export type InjectionSign = { name: string; score: number };

/**
 * Signs of injected instructions. They observe: attacks that are worded otherwise pass, and so do most that are hidden in results of
 * tools. What a tool may do after untrusted content is the barrier.
 */
const SIGNS: readonly { name: string; score: number; pattern: RegExp }[] = [
  {
    name: "override",
    score: 0.6,
    pattern:
      /\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|all|your|system)\b.{0,40}\b(?:instructions?|prompts?|rules|messages|guidelines|context)\b/is,
  },
  {
    name: "new_role",
    score: 0.4,
    pattern:
      /\b(?:you are now|from now on,? you|act as (?:an? )?(?:unrestricted|jailbroken)|developer mode|do anything now)\b/i,
  },
  {
    name: "role_marker",
    score: 0.5,
    pattern:
      /(?:^|\n)\s{0,8}(?:#{1,4} ?)?(?:system|assistant|developer) ?:|<\|?(?:im_start|system|endoftext)\|?>|\[\/?INST\]/i,
  },
  {
    name: "prompt_request",
    score: 0.3,
    pattern: /\b(?:reveal|print|repeat|show|output)\b.{0,30}\b(?:system prompt|hidden instructions)\b/is,
  },
  {
    name: "secrecy",
    score: 0.3,
    pattern: /\b(?:do not|don't|never) (?:tell|mention|inform|reveal)\b.{0,30}\b(?:the )?user\b/is,
  },
  {
    name: "html_comment",
    score: 0.3,
    pattern: /<!--[^>]{0,400}\b(?:instruction|assistant|AI|model|agent)\b[^>]{0,400}-->/i,
  },
  {
    name: "image_link",
    score: 0.4,
    pattern: /!\[[^\]\n]{0,200}\]\(https?:\/\/[^)\s]{0,400}[?&][^)\s]{0,40}=[^)\s]{8,}\)/i,
  },
  { name: "long_base64", score: 0.2, pattern: /(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{400}/ },
];

/** Unseen characters that spell something: tags of Unicode, or many zero-width ones. */
const HIDDEN = /[\u{e0020}-\u{e007e}]{4}|(?:[\u200b-\u200f\u2060-\u2064]{1,3}[^\u200b-\u200f\u2060-\u2064]{0,2}){12}/u;

/** The signs in a text, each once. */
export function findInjections(text: string): InjectionSign[] {
  const { text: readable } = normalizeText(text);
  const found = SIGNS.filter(({ pattern }) => pattern.test(readable)).map(({ name, score }) => ({ name, score }));
  return HIDDEN.test(text) ? [...found, { name: "hidden_text", score: 0.6 }] : found;
}

/** All signs together, as if each were right with its own probability. */
export const scoreOf = (signs: readonly InjectionSign[]): number =>
  1 - signs.reduce((product, { score }) => product * (1 - score), 1);
