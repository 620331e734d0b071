import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { type Machine, machine } from '../machine.ts';
import { ask, type Case, nothing, runClients, type Seen } from './clients.ts';
import { loadPage } from './page.ts';
import { startServer } from './server.ts';
import { makeVoices } from './voices.ts';

/** A moment under load. */
export interface Moment {
  /** Since the clients began. */
  readonly seconds: number;
  /** New tokens of answers that were complete by then, in all. */
  readonly tokens: number;
  readonly residentBytes: number;
}

/** The outcome of a load. */
export interface Load {
  readonly date: string;
  readonly machine: Machine;
  /** Processes that wanted a core in the last minute, before the server began: the machine was not alone. */
  readonly othersBusy: number;
  readonly clients: number;
  readonly adapters: number;
  readonly rows: number;
  readonly minutes: number;
  readonly startSeconds: number;
  /** One client, nothing else: new tokens a second. */
  readonly one: { readonly tokensPerSecond: number; readonly seconds: number };
  readonly moments: readonly Moment[];
  readonly answers: number;
  readonly tokens: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly unlike: number;
  /** Half of the answers took no longer, and 19 of 20. */
  readonly waits: { readonly median: number; readonly most: number };
  /** Prompt tokens, those of them that had been read before, and new ones, by the server's count. */
  readonly counted: Readonly<Record<string, number>>;
  /** Killed with all clients waiting, and started again. */
  readonly killed: {
    readonly filesWhole: boolean;
    /** Its processes that outlived it. */
    readonly left: number;
    readonly startSeconds: number;
    /** Answers of all adapters that were as before, of so many. */
    readonly same: number;
    readonly asked: number;
  };
  readonly stoppedWith: number | null;
}

/** How it is run. */
export interface LoadOptions {
  readonly clients: number;
  readonly adapters: number;
  readonly minutes: number;
  /** Folder of `serve.json`. */
  readonly out: string;
  /** Folder of the page. */
  readonly docs: string;
  say(text: string): void;
}

const rows = 8;
const topics = ['the sea', 'a whale', 'my house', 'the king', 'an old ship', 'gold', 'her sister', 'the law'];
const questions = ['Tell me of', 'Who has seen', 'Why do men speak of', 'How great is'];

/** As many as clients: every adapter is asked for unlike things of unlike lengths. */
const casesFor = (names: readonly string[], count: number): readonly Case[] =>
  Array.from({ length: count }, (_, i) => ({
    model: names[i % names.length]!,
    prompt: `${questions[i % questions.length]} ${topics[Math.floor(i / names.length) % topics.length]}${', and say it once more'.repeat(i % 5)}?`,
    maxTokens: 8 + ((i * 7) % 33),
  }));

/** A digest of all files below a folder. */
const digest = async (dir: string): Promise<string> => {
  const hash = createHash('sha256');
  for (const name of (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort())
    hash.update(name).update(await readFile(name));
  return hash.digest('hex');
};

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] ?? 0;

const countedBy = async (port: number): Promise<Record<string, number>> => {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Object.fromEntries(
    [...text.matchAll(/^peftjs_tokens_total\{kind="(\w+)"\} (\d+)/gm)].map(([, kind, count]) => [kind!, Number(count)]),
  );
};

/** Files of the page by their path in a folder of documents, from a folder of results; none where nothing was measured. */
export const loadFiles = async (results: string): Promise<ReadonlyMap<string, string>> => {
  const text = await readFile(join(results, 'load', 'serve.json'), 'utf8').catch(() => null);
  if (text === null) return new Map();
  const { page, figure } = loadPage(JSON.parse(text) as Load);
  return new Map([
    ['serving-load.md', page],
    ['serving-load.svg', figure],
  ]);
};

const under = async (dir: string, { clients, adapters, minutes, say }: LoadOptions): Promise<Load> => {
  const othersBusy = loadavg()[0]!;
  const folders = await makeVoices(adapters, dir);
  const before = await digest(dir);
  const cases = casesFor(
    folders.map((folder) => basename(folder)),
    Math.max(clients, adapters),
  );
  let server = await startServer(folders, { port: 0, rows });
  say(`${adapters} adapters are served after ${server.startSeconds.toFixed(1)} s`);

  const alone: string[] = [];
  let [oneTokens, oneSeconds] = [0, 0];
  for (const one of cases) {
    const { text, tokens, seconds } = await ask(server.port, one);
    alone.push(text);
    oneTokens += tokens;
    oneSeconds += seconds;
  }
  const distinct = new Set(alone).size;
  say(`one client: ${(oneTokens / oneSeconds).toFixed(0)} tokens/s, ${distinct} unlike answers of ${cases.length}`);

  const seen = nothing();
  const moments: Moment[] = [];
  const start = performance.now();
  const note = (): void => {
    const seconds = (performance.now() - start) / 1000;
    moments.push({ seconds, tokens: seen.tokens, residentBytes: server.resident() });
    if (moments.length % 12 === 0) say(`${seconds.toFixed(0)} s: ${seen.answers} answers`);
  };
  note();
  const watch = setInterval(note, 5000);
  await runClients(server.port, cases, alone, { clients, until: start + minutes * 60_000, seen });
  clearInterval(watch);
  note();
  const counted = await countedBy(server.port);

  const gone = new AbortController();
  const lost: Seen = nothing();
  const cut = runClients(server.port, cases, alone, {
    clients,
    until: Number.POSITIVE_INFINITY,
    seen: lost,
    signal: gone.signal,
  });
  await new Promise((go) => setTimeout(go, 3000));
  gone.abort();
  const left = await server.kill();
  await cut;
  const filesWhole = (await digest(dir)) === before;
  server = await startServer(folders, { port: server.port, rows });
  const again = await Promise.all(cases.map((one) => ask(server.port, one)));
  const same = again.filter(({ text }, i) => text === alone[i]).length;
  const { startSeconds } = server;
  const stoppedWith = await server.stop();
  for (const { case: asked, alone, got } of seen.unlike.slice(0, 3)) say(JSON.stringify({ asked, alone, got }));
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    machine: machine(),
    othersBusy,
    clients,
    adapters,
    rows,
    minutes,
    startSeconds,
    one: { tokensPerSecond: oneTokens / oneSeconds, seconds: oneSeconds },
    moments,
    answers: seen.answers,
    tokens: seen.tokens,
    errors: Object.fromEntries(seen.errors),
    unlike: seen.unlike.length,
    waits: { median: quantile(seen.waits, 0.5), most: quantile(seen.waits, 0.95) },
    counted,
    killed: { filesWhole, left, startSeconds, same, asked: cases.length },
    stoppedWith,
  };
};

/** Serves adapters to many clients at once and writes what came of it; how many things are not as they should be. */
export const load = async (options: LoadOptions): Promise<number> => {
  const { out, docs, say } = options;
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-load-'));
  try {
    const outcome = await under(dir, options);
    await mkdir(join(out, 'load'), { recursive: true });
    await writeFileAtomic(join(out, 'load', 'serve.json'), `${JSON.stringify(outcome)}\n`);
    const files = await loadFiles(out);
    for (const [name, text] of files) await writeFileAtomic(join(docs, name), text);
    say(`written: ${[...files.keys()].join(', ')}`);
    const { errors, unlike, killed, stoppedWith } = outcome;
    const faults = [
      Object.keys(errors).length > 0,
      unlike > 0,
      !killed.filesWhole,
      killed.left > 0,
      killed.same < killed.asked,
      stoppedWith !== 0,
    ];
    return faults.filter(Boolean).length;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};
