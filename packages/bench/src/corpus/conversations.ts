import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { randomSource } from '@peftjs/tensor';

const syllables =
  'ba be bi bo da de di do fa fe ga go ka ke ki la le li lo ma me mi mo na ne ni no pa pe ra re ri ro sa se si so ta te ti to va ve wa we'.split(
    ' ',
  );

/** Words of one to four syllables, the shortest first, as languages have them. */
const lexicon = (count: number, draw: () => number): readonly string[] =>
  Array.from({ length: count }, (_, i) => {
    const length = 1 + Math.min(3, Math.floor(Math.log10(i + 1) / 1.2 + draw()));
    return Array.from({ length }, () => syllables[Math.floor(draw() * syllables.length)]).join('');
  });

/**
 * Writes conversations of drawn words as JSON lines, of at least so many bytes: two questions and two answers each, words as frequent as Zipf's law has them. The same for the same seed. Gives the
 * number of lines and bytes.
 */
export const writeConversations = async (
  path: string,
  { bytes: wanted, seed }: { readonly bytes: number; readonly seed: number },
): Promise<{ readonly lines: number; readonly bytes: number }> => {
  const draw = randomSource(seed, 'conversations');
  const words = lexicon(20_000, draw);
  const sentence = (): string => {
    const own = Array.from(
      { length: 4 + Math.floor(draw() * 16) },
      () => words[Math.floor(words.length ** draw()) - 1]!,
    );
    return `${own[0]![0]!.toUpperCase()}${own.join(' ').slice(1)}.`;
  };
  const said = (role: string, most: number) => ({
    role,
    content: Array.from({ length: 1 + Math.floor(draw() * most) }, sentence).join(' '),
  });
  const file = createWriteStream(path);
  let [lines, bytes] = [0, 0];
  for (; bytes < wanted; lines++) {
    const messages = [said('user', 1), said('assistant', 3), said('user', 1), said('assistant', 3)];
    const line = `${JSON.stringify({ messages, id: lines })}\n`;
    bytes += Buffer.byteLength(line);
    if (!file.write(line)) await once(file, 'drain');
  }
  file.end();
  await finished(file);
  return { lines, bytes };
};
