/** Words of a private language. Each has a standard term: CONTRIBUTING.md lists them. */
const DENIED = new Set(
  (
    "told said heard asked kept begun wanted aside nobody whoever somebody whatever telling teller hearing asking " +
    "begins tape gist mint purse till pocket turnstile"
  ).split(" "),
);

/** Whether the word, in lower case, is one that names and texts of the project do not use. */
export const isDenied = (word: string): boolean => DENIED.has(word);

/** The denied words of a text, in lower case, outside of what it quotes as code. */
export function deniedWordsIn(text: string): string[] {
  const words =
    withoutCode(text)
      .toLowerCase()
      .match(/[a-z]+/g) ?? [];
  return words.filter(isDenied);
}

const withoutCode = (text: string): string => text.replace(/`[^`]*`/g, "").replace(/"[^"]*"/g, "");
