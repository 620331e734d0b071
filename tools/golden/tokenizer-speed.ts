/**
 * How fast texts are encoded, line by line, in processor time, and a digest of the ids; the same of Python's tokenizers by `python tokenizer_speed.py TEXT FOLDER...`.
 * `node --conditions=@peftjs/source --import tsx tokenizer-speed.ts TEXT FOLDER...`
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { loadTokenizer } from '@peftjs/io';

const [path, ...folders] = process.argv.slice(2) as [string, ...string[]];
const lines = (await readFile(path, 'utf8')).split('\n').filter(Boolean);
const bytes = lines.reduce((n, line) => n + Buffer.byteLength(line), 0);
const processorSeconds = (): number => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6;
for (const folder of folders) {
  const tokenizer = await loadTokenizer(folder);
  for (const line of lines.slice(0, 200)) tokenizer.encode(line, { special: false });
  const start = processorSeconds();
  const encoded = lines.map((line) => tokenizer.encode(line, { special: false }));
  const seconds = processorSeconds() - start;
  const digest = createHash('sha256');
  for (const ids of encoded) digest.update(`${ids.join()}\n`);
  const tokens = encoded.reduce((n, ids) => n + ids.length, 0);
  console.log(
    `${folder}: ${tokens} tokens, ${(bytes / seconds / 1e6).toFixed(2)} MB/s, ids ${digest.digest('hex').slice(0, 16)}`,
  );
}
