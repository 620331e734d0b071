// Control characters other than white space, soft hyphen, zero-width space, word joiner, byte order mark.
const invisible = /(?!\s)[\p{Cc}\u00ad\u200b\u2060]|\ufeff/gu;
const blankLine = /\n[^\S\n]*\n/;
const longLine = /[^\n]{121}/;
const indentedLine = /\n(?=[^\S\n]{2}|\t)/;

/**
 * Brings prose into the one form that the base model knows, so that a text from elsewhere does not differ by typing
 * habits:
 *
 * - Unicode NFC, no control or invisible characters, every run of white space one space;
 * - one paragraph per line: blank lines separate paragraphs; the line breaks of hard-wrapped text are unwrapped, except
 *   before an indented line, which is verse or the next paragraph; a block with a line of more than 120 characters is
 *   not hard-wrapped, so each of its lines is a paragraph already;
 * - straight quotes, `...` for an ellipsis, a hyphen between digits, and an unspaced em dash for every other dash (`--`,
 *   ` -- `, `–`, `―`).
 */
export function normalizeText(text: string): string {
  return text
    .normalize('NFC')
    .replace(/\r\n?/g, '\n')
    .replace(invisible, '')
    .split(blankLine)
    .flatMap((block) => block.split(longLine.test(block) ? /\n/ : indentedLine))
    .map(normalizeParagraph)
    .filter((paragraph) => paragraph !== '')
    .join('\n');
}

function normalizeParagraph(paragraph: string): string {
  return paragraph
    .replace(/[“”„‟″]/g, '"')
    .replace(/[‘’‚‛ʼ′`]/g, "'")
    .replace(/…/g, '...')
    .replace(/[‐‑]/g, '-')
    .replace(/(?<=\d)–(?=\d)/g, '-')
    .replace(/\s+/g, ' ')
    .replace(/ ?(?:[–—―]|--)[–—―-]* ?/g, '—')
    .trim();
}
