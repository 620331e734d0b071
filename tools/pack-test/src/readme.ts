import { readFileSync } from 'node:fs';

/** A block of code of a Markdown file: its language and its text. */
export interface CodeBlock {
  readonly language: string;
  readonly code: string;
  readonly line: number;
}

/** The fenced blocks of a Markdown file. */
export function codeBlocks(path: string): readonly CodeBlock[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/^```(\w*)[^\n]*\n([^]*?)^```$/gm)].map(({ 1: language, 2: code, index }) => ({
    language: language!,
    code: code!,
    line: text.slice(0, index).split('\n').length,
  }));
}
