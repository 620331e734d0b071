import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { loadChat } from '@peftjs/io';
import { atMost, batch, chat, convert, jsonl, packWhole, pipe, shuffle } from '../src/index.ts';

/**
 * Measures how fast conversations come from a file to packed batches, how far the memory of this process grows on the way, and how soon the
 * first batch is there when a run goes on at 90 %. `corpus-speed.ts MODEL [MEGABYTES]`: conversations are made of the paragraphs of this repository's pages.
 */
const [model, size] = [process.argv[2] ?? '', Number(process.argv[3] ?? 100)];
if (model === '') throw new Error('give the folder of a model, and how many megabytes');
const pages = join(import.meta.dirname, '../../../docs');
const names = (await readdir(pages, { recursive: true })).filter((name) => name.endsWith('.md'));
const texts = await Promise.all(names.map((name) => readFile(join(pages, name), 'utf8')));
const paragraphs = texts.flatMap((text) => text.split('\n\n')).filter((text) => text.length > 40);

const folder = await mkdtemp(join(tmpdir(), 'peftjs-corpus-'));
try {
  const path = join(folder, 'chats.jsonl');
  const file = createWriteStream(path);
  let bytes = 0;
  for (let i = 0; bytes < size * 1e6; i++) {
    const said = (role: string, at: number) => ({
      role,
      content: paragraphs[(i * 7 + at * 13 + (i % 11)) % paragraphs.length],
    });
    const line = `${JSON.stringify({ messages: [said('user', 0), said('assistant', 1), said('user', 2), said('assistant', 3)], id: i })}\n`;
    bytes += Buffer.byteLength(line);
    if (!file.write(line)) await new Promise<void>((wake) => file.once('drain', () => wake()));
  }
  file.end();
  await finished(file);

  // A template of ChatML, for models that have none.
  const template = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>\n' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}`;
  const made = await loadChat(model, { template });
  let cut = 0;
  const stream = pipe(
    jsonl(path),
    // Before what costs time, so that resuming does little of it again.
    shuffle({ seed: 1, window: 1000 }),
    convert('messages'),
    chat(made),
    atMost({ context: 1024, long: 'cut-end', onLong: () => cut++ }),
    packWhole({ context: 1024, window: 200 }),
    batch({ size: 8 }),
  );
  const from = stream.open();
  let [tokens, batches, start, most, later] = [0, 0, 0, 0, ''];
  const began = performance.now();
  const total: number[] = [];
  const cursors: string[] = [];
  for (;;) {
    const { done, value } = await from.next();
    if (done) break;
    batches++;
    tokens += value.columns['ids']!.length;
    total.push(performance.now());
    cursors.push(batches % 50 === 0 ? JSON.stringify(from.cursor()) : '');
    if (batches === 100) start = process.memoryUsage.rss();
    if (batches > 100) most = Math.max(most, process.memoryUsage.rss());
  }
  const seconds = (performance.now() - began) / 1000;
  for (let at = Math.floor(0.9 * batches); later === '' && at >= 0; at--) later = cursors[at] ?? '';
  const resumed = performance.now();
  const next = stream.open(JSON.parse(later));
  await next.next();
  await next.return?.();
  const figures = {
    megabytes: bytes / 1e6,
    seconds,
    megabytesPerSecond: bytes / 1e6 / seconds,
    tokensPerSecond: tokens / seconds,
    cut,
    grownMegabytes: (most - start) / 1e6,
    peakMegabytes: most / 1e6,
    resumeSeconds: (performance.now() - resumed) / 1000,
  };
  console.log(JSON.stringify(figures, null, 2));
} finally {
  await rm(folder, { recursive: true });
}
