import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type DocumentSplit, normalizeText } from '@peftjs/base-model';
import { PeftError } from '@peftjs/tensor';

/** The length that a text has to fill, and how to measure it. */
export interface ContextNeed {
  /** Tokens in one training example. */
  readonly contextLength: number;
  /** Number of tokens of a text, by the model's tokenizer. */
  readonly countTokens: (text: string) => number;
}

/**
 * Reads a UTF-8 text file, normalises it, and holds out its last tenth as a whole, cut at a paragraph where there is
 * one, else at the end of a sentence, else between words.
 *
 * @throws PeftError `file-missing` when the file cannot be opened; `bad-data` when it is not UTF-8 text or when either
 * part is shorter than one context and the token that follows it
 */
export function loadTextFile(path: string, { contextLength, countTokens }: ContextNeed): DocumentSplit {
  const text = normalizeText(readText(path));
  const cut = cutBefore(text, Math.floor(0.9 * text.length));
  const document = (title: string, part: string) => ({
    source: basename(path),
    title,
    text: part.trim(),
  });
  const split = {
    train: [document('training part', text.slice(0, cut))],
    heldOut: [document('held-out part', text.slice(cut))],
  };

  const needed = contextLength + 1;
  const short = [...split.train, ...split.heldOut]
    .map((part) => ({ ...part, tokens: countTokens(part.text) }))
    .filter(({ tokens }) => tokens < needed);
  if (short.length > 0) {
    const found = short.map(({ title, tokens }) => `the ${title} has ${tokens} tokens`).join(', ');
    throw new PeftError(
      'bad-data',
      `The text ${path} is too short: ${found}, but each part needs at least ${needed} (one context and the next token). ` +
        `Give a text of about ${10 * needed} tokens or more, or a shorter context.`,
    );
  }
  return split;
}

function readText(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PeftError('file-missing', `Cannot read the text ${path}: ${reason}. Give the path of a text file.`, {
      cause,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PeftError('bad-data', `The text ${path} is not UTF-8. Convert it, or give another file.`, { cause });
  }
}

/** The end of the last paragraph, sentence or word that ends at `limit` or before, but not before half of `limit`. */
function cutBefore(text: string, limit: number): number {
  const head = text.slice(0, limit);
  for (const separator of [/\n/g, /[.!?]["')]* /g, / /g]) {
    const end = [...head.matchAll(separator)].at(-1);
    if (end && end.index >= limit / 2) return end.index + end[0].length;
  }
  return limit;
}
