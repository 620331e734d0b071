import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cachePlace } from './cache-place.ts';
import { type TextPlace, textStore } from './tune-store.ts';

const answer = { way: 'tile', kernels: '0123' };
const answers = new Map([['matmul', answer]]);

describe('kept answers', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'peftjs-tune-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('come back from a file, those of all processes, the first of each', async () => {
    const place = cachePlace('a.json', join(folder, 'not/there/yet'));
    const store = textStore(place, 'gpu');
    expect(await store.load()).toEqual(new Map());
    await store.save(answers);
    await textStore(place, 'gpu').save(
      new Map([
        ['matmul', { ...answer, way: 'skinny' }],
        ['other', answer],
      ]),
    );
    expect(await store.load()).toEqual(new Map([...answers, ['other', answer]]));
    await store.save(new Map([['matmul', { way: 'skinny', kernels: '4567' }]]));
    expect((await store.load()).get('matmul')!.way).toBe('skinny');
    expect(await readdir(join(folder, 'not/there/yet'))).toEqual(['a.json']);
  });

  it('are those of the device alone', async () => {
    const place = cachePlace('a.json', folder);
    await textStore(place, 'gpu').save(answers);
    expect(await textStore(place, 'gpu with another driver').load()).toEqual(new Map());
  });

  const header = { format: 'peftjs-autotune-1', device: 'gpu' };
  it.each([
    ['nothing', ''],
    ['half a file', '{"format": "peftjs-autotune-1", "device": "gpu", "ans'],
    ['another file', '[1, 2]'],
    ['null', 'null'],
    ['another format', JSON.stringify({ ...header, format: 'x', answers: { matmul: answer } })],
    ['no answers', JSON.stringify(header)],
    ['a list of answers', JSON.stringify({ ...header, answers: [answer] })],
    ['answers of other kinds', JSON.stringify({ ...header, answers: { matmul: 'tile', b: null, c: { way: 1 } } })],
    ['__proto__', `{"format": "peftjs-autotune-1", "device": "gpu", "answers": {"__proto__": 3}}`],
    ['bytes', '\u0000\uffff'],
  ])('are none in a file that holds %s, which is replaced', async (_, text) => {
    const path = join(folder, 'a.json');
    await writeFile(path, text);
    const store = textStore(cachePlace('a.json', folder), 'gpu');
    expect(await store.load()).toEqual(new Map());
    await store.save(answers);
    expect(JSON.parse(await readFile(path, 'utf8')).answers).toEqual({ matmul: answer });
  });

  it('are dropped one by one where one is not an answer', async () => {
    await writeFile(join(folder, 'a.json'), JSON.stringify({ ...header, answers: { matmul: answer, b: { way: 1 } } }));
    expect(await textStore(cachePlace('a.json', folder), 'gpu').load()).toEqual(answers);
  });

  it('are no reason to fail where they can neither be read nor written', async () => {
    const refuse = (): Promise<never> => Promise.reject(new Error('EACCES'));
    const store = textStore({ read: refuse, write: refuse } satisfies TextPlace, 'gpu');
    expect(await store.load()).toEqual(new Map());
    await store.save(answers);
    await writeFile(join(folder, 'file'), '');
    await textStore(cachePlace('a.json', join(folder, 'file')), 'gpu').save(answers);
  });
});
