/** A heading as matched, on one line, and the raw text up to the next heading. */
export interface Section {
  readonly heading: string;
  readonly text: string;
}

/**
 * Splits a book at its headings. What stands before the first heading (title page, dedication) is left out.
 *
 * @param heading matches one heading; the flag `g` is added, give `m` to anchor at lines
 * @throws Error when no heading matches, since then the expression is for another edition
 */
export function splitSections(text: string, heading: RegExp): Section[] {
  const matches = [...text.matchAll(new RegExp(heading.source, `${heading.flags.replace('g', '')}g`))];
  if (matches.length === 0) {
    throw new Error(
      `splitSections: ${heading} matches no heading in a text of ${text.length} characters that starts with ` +
        `${JSON.stringify(text.slice(0, 60))}. Give an expression that matches this edition's headings.`,
    );
  }
  return matches.map((match, index) => ({
    heading: match[0].replace(/\s+/g, ' ').trim(),
    text: text.slice(match.index + match[0].length, matches[index + 1]?.index ?? text.length),
  }));
}
