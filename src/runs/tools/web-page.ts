/** Elements whose content no reader sees. */
const HIDDEN = "script, style, noscript, template, svg";
/** Elements that start a new line. */
const BLOCKS =
  "p, div, section, article, header, footer, main, nav, aside, h1, h2, h3, h4, h5, h6, li, tr, br, hr, pre, blockquote, table, ul, ol, dl, dt, dd";

/** The text of a page of HTML, with the addresses of its links. Read by the platform's parser. */
export async function textOfHtml(html: Uint8Array, contentType: string): Promise<string> {
  let text = "";
  let hidden = 0;
  const lineBreak = (): void => void (text += "\n");
  const rewriter = new HTMLRewriter()
    .on(HIDDEN, {
      element: (element) => {
        if (onEnd(element, () => void hidden--)) hidden++;
      },
    })
    .on(BLOCKS, { element: lineBreak })
    .on("a[href]", {
      element: (element) => {
        const target = element.getAttribute("href")!;
        if (!/^https?:/.test(target)) return;
        onEnd(element, () => void (hidden === 0 && (text += ` (${target})`)));
      },
    })
    .onDocument({ text: (chunk) => void (hidden === 0 && (text += chunk.text)) });
  const page = new Response(new Uint8Array(html), { headers: { "content-type": contentType } });
  await rewriter.transform(page).arrayBuffer();
  return decodeReferences(text)
    .replaceAll(/[ \t\r\f\u00a0]+/g, " ")
    .replaceAll(/ ?\n ?/g, "\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

/** Calls `work` where an element ends; false: it is closed where it opens, as `<svg/>`. */
function onEnd(element: Element, work: () => void): boolean {
  try {
    element.onEndTag(work);
    return true;
  } catch {
    return false;
  }
}

/** The parser passes character references on as they are written. */
const REFERENCES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

const decodeReferences = (text: string): string =>
  text.replaceAll(
    /&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return REFERENCES[name.toLowerCase()] ?? whole;
      const code = decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal);
      return code > 0x10ffff ? whole : String.fromCodePoint(code);
    },
  );
