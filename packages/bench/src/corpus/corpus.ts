import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { baseModelDir } from '@peftjs/base-model';
import { writeFileAtomic } from '@peftjs/io';
import { type Machine, machine } from '../machine.ts';
import { corpusPage } from './page.ts';

/** How far a pass has come. */
export interface Moment {
  /** Of the file. */
  readonly bytes: number;
  /** In batches, padding included. */
  readonly tokens: number;
  readonly seconds: number;
  /** Seconds of processors. */
  readonly work: number;
  /** Bytes of memory. */
  readonly resident: number;
}

/** The corpus of a pass and its model. */
export interface PassOptions {
  /** Folder of the model. */
  readonly model: string;
  readonly megabytes: number;
  /** Tokens of a row. */
  readonly context: number;
  /** Of a batch. */
  readonly rows: number;
}

/** The outcome of one pass over a file. */
export interface Pass {
  readonly lines: number;
  readonly bytes: number;
  readonly tokens: number;
  /** Conversations that were longer than a row. */
  readonly cut: number;
  /** The start, every 10 MB, the end. */
  readonly moments: readonly Moment[];
  /** From a cursor at nine tenths to the first batch. */
  readonly resume: { readonly seconds: number; readonly work: number };
  /** Tokens that a training step takes in a second of a processor. */
  readonly trainedPerProcessorSecond: number;
}

/** A pass with what it was of. */
export interface Corpus extends Omit<PassOptions, 'model'>, Pass {
  readonly model: string;
  readonly date: string;
  readonly machine: Machine;
  /** Processes that wanted a core in the last minute before it began. */
  readonly othersBusy: number;
}

/** How it is run. */
export interface CorpusOptions {
  /** Folder of the model. Default: the shipped one. */
  readonly model?: string;
  /** Folder of results. */
  readonly out: string;
  /** Folder of the page. */
  readonly docs: string;
  say(text: string): void;
}

/** Files of the page by their path in a folder of documents, from a folder of results; none where nothing was measured. */
export const corpusFiles = async (results: string): Promise<ReadonlyMap<string, string>> => {
  const folder = join(results, 'corpus');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).sort();
  if (names.length === 0) return new Map();
  const all = await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as Corpus),
  );
  const { page, figure } = corpusPage(all);
  return new Map([
    ['corpus-speed.md', page],
    ['corpus-speed.svg', figure],
  ]);
};

/** Reads 100 MB of conversations through template, tokenizer and packing, in a process of its own, and writes how fast, with how much memory, and how soon it goes on. */
export const corpus = async ({ model = baseModelDir(), out, docs, say }: CorpusOptions): Promise<void> => {
  const othersBusy = loadavg()[0]!;
  const sizes = { megabytes: 100, context: 256, rows: 8 };
  const asked: PassOptions = { model, ...sizes };
  const script = join(import.meta.dirname, 'pass.ts');
  const args = ['--conditions=@peftjs/source', '--import', 'tsx', script, JSON.stringify(asked)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  const pass = JSON.parse(stdout.trim().split('\n').at(-1)!) as Pass;
  const name = model === baseModelDir() ? 'base-model' : basename(model);
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const found: Corpus = { ...sizes, ...pass, model: name, date, machine: machine(), othersBusy };
  await mkdir(join(out, 'corpus'), { recursive: true });
  await writeFileAtomic(join(out, 'corpus', `${name}.json`), `${JSON.stringify(found)}\n`);
  const files = await corpusFiles(out);
  for (const [file, text] of files) await writeFileAtomic(join(docs, file), text);
  say(`written: ${[...files.keys()].join(', ')}`);
};
