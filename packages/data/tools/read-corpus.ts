import { batch, jsonl, pack, pipe, repeat, shuffle, tokenize } from '../src/index.ts';

/** Reads a file of JSON lines through all stages, as training does, and tells how far the memory of this process grew on the way. */
const [file, whole] = [process.argv[2]!, process.argv[3] === 'whole'];
const tokenizer = { encode: (text: string) => Int32Array.from(new TextEncoder().encode(text)) };
const stream = pipe(
  jsonl(file),
  tokenize(tokenizer),
  shuffle({ seed: 1, window: 1000 }),
  pack({ context: 512, endOfText: 0 }),
  repeat(1),
  batch({ size: 8 }),
);
const from = stream.open();
let [rows, most, start] = [0, 0, 0];
const held: unknown[] = [];
for (let i = 0; ; i++) {
  const { done, value } = await from.next();
  if (done) break;
  rows += value.rows;
  // What a program that keeps the corpus as numbers would do: the measure must see that.
  if (whole) held.push([...value.columns['ids']!]);
  if (i === 400) start = process.memoryUsage.rss();
  if (i > 400 && i % 20 === 0) most = Math.max(most, process.memoryUsage.rss());
}
console.log(
  JSON.stringify({ rows, grown: most - start, held: held.length, cursor: JSON.stringify(from.cursor()).length }),
);
