import { normalizeText } from './normalize-text.ts';

/**
 * Normalised prose of a Project Gutenberg plain text: what the transcribers added is taken out, then
 * {@link normalizeText}. Taken out are footnotes (paragraphs that start with an asterisk) and their marks, rows of
 * asterisks, remarks in square brackets, the underscores of emphasis, and the closing `THE END`. A hyphen or half a dash
 * at the end of a line keeps its word together.
 */
export function plainProse(text: string): string {
  const unmarked = text
    .replace(/\r\n?/g, '\n')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/(?<=\n[^\S\n]*\n)[^\S\n]*\*[\s\S]*?(?=\n[^\S\n]*\n|$)/g, '')
    .replace(/\*/g, '')
    .replace(/(?<=\w)-\n(?=[\w-])/g, '-')
    .replace(/_/g, '')
    .replace(/^[^\S\n]*(?:the end|finis)\.?[^\S\n]*$/gim, '');
  return normalizeText(unmarked);
}
