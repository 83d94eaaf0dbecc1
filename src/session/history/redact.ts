/** Patterns of personal data and secrets. All run in linear time, since every repetition is bounded. */
const PRIVATE_PATTERNS: readonly RegExp[] = [
  /[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, // e-mail
  /\b[A-Z]{2}\d{2}(?: ?[A-Z\d]{4}){2,7}(?: ?[A-Z\d]{1,3})?\b/g, // IBAN
  /\b\d(?:[ -]?\d){12,18}\b/g, // card
  /(?<![\w+])(?:\+\d{1,3}[ .-]?|\()\d(?:[ ().-]{0,2}\d){6,12}\b/g, // telephone
  /\b\d{1,3}(?:\.\d{1,3}){3}\b/g, // IP address
  /\b(?:sk|pk|rk|ghp|gho|xox[abp]|AKIA|AIza|rhone_sk)[-_A-Za-z0-9]{16,200}/g, // secrets
];

const MARK = "[redacted]";

/** Replaces the texts, or everything that matches PRIVATE_PATTERNS if none are given, with MARK. */
export function redact(text: string, texts: readonly string[] | undefined): string {
  if (texts !== undefined) return texts.reduce((rest, secret) => rest.replaceAll(secret, MARK), text);
  return PRIVATE_PATTERNS.reduce((rest, kind) => rest.replace(kind, MARK), text);
}
