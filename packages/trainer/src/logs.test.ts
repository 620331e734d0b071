import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jsonLog, type Logger, mlflow, packTokens, type TrainOptions, tensorBoard, train, wandb } from './index.ts';
import { crc32c, masked } from './logs/crc32c.ts';
import { scalarEvent, versionEvent } from './logs/event-file.ts';

const data = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'peftjs-logs-'));
});
afterAll(() => rm(dir, { recursive: true }));

const run = (logs: readonly Logger[], more: Partial<TrainOptions> = {}) =>
  train(attach(tinyLlama(), [lora({ rank: 2 })]), {
    executor: reference(),
    data,
    steps: 4,
    batchSize: 2,
    schedule: () => 0.01,
    heldOut: { data, every: 2 },
    logs,
    ...more,
  });

describe('files of events', () => {
  test('have the checksum of RFC 3720 and the bytes of TensorBoard’s messages', () => {
    // RFC 3720, B.4: 32 bytes of zeros, and those from 0 to 31.
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    const content = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(12, -4)).toString('latin1');
    // `SerializeToString` of tensorboard 2.21.
    expect(content(versionEvent(1.5))).toBe('\t\x00\x00\x00\x00\x00\x00\xf8?\x1a\rbrain.Event:2');
    expect(content(scalarEvent(1.5, 3, { 'train/loss': 2.5 }))).toBe(
      '\t\x00\x00\x00\x00\x00\x00\xf8?\x10\x03*\x13\n\x11\n\ntrain/loss\x15\x00\x00 @',
    );
    const far = Buffer.from(scalarEvent(1.5, 2 ** 40 + 5, {}));
    expect(content(far)).toBe('\t\x00\x00\x00\x00\x00\x00\xf8?\x10\x85\x80\x80\x80\x80\x20*\x00');
    expect(far.readUInt32LE(0)).toBe(far.length - 16);
    expect(far.readUInt32LE(8)).toBe(masked(crc32c(far.subarray(0, 8))));
    expect(far.readUInt32LE(far.length - 4)).toBe(masked(crc32c(far.subarray(12, -4))));
  });

  test('are written while a run goes on, a record for each step and measurement', async () => {
    const folder = join(dir, 'board');
    const { losses } = await run([await tensorBoard(folder)]);
    const [file, ...others] = await readdir(folder);
    expect([file, others]).toEqual([expect.stringMatching(/^events\.out\.tfevents\.\d/), []]);
    const bytes = await readFile(join(folder, file!));
    const records: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at) + 16)
      records.push(bytes.subarray(at + 12, at + 12 + bytes.readUInt32LE(at)));
    // The version, four steps, three measurements.
    expect(records.length).toBe(8);
    const tag = Buffer.from('train/loss\x15');
    const found = records.flatMap((r) => (r.includes(tag) ? [r.readFloatLE(r.indexOf(tag) + tag.length)] : []));
    expect(found).toEqual(losses.map((l) => Math.fround(l.loss)));
  });
});

test('lines of JSON have the numbers of each step and measurement, of several runs one after the other', async () => {
  const file = join(dir, 'deep', 'log.jsonl');
  const { losses, heldOut } = await run([await jsonLog(file)]);
  await run([await jsonLog(file)], { steps: 1 });
  const lines = (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  const of = (name: string): unknown[] => lines.flatMap((line) => (name in line ? [[line['step'], line[name]]] : []));
  expect(of('train/loss').slice(0, 4)).toEqual(losses.map((l) => [l.step, l.loss]));
  expect(of('heldOut/perplexity').slice(0, 3)).toEqual(heldOut.map((h) => [h.step, Math.exp(h.loss)]));
  expect(lines.length).toBe(7 + 3);
});

interface Call {
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly body: Record<string, unknown>;
}

const read = async (request: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const part of request) text += String(part);
  return text;
};

/** A server on this machine that keeps what it is asked. */
const listening = async (
  answerTo: (path: string) => readonly [status: number, answer: object],
): Promise<{ readonly url: string; readonly calls: Call[]; close(): unknown }> => {
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    const text = await read(request);
    const path = request.url!;
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    calls.push({ method: request.method!, path, token: request.headers.authorization, body });
    const [status, answer] = answerTo(path);
    response.writeHead(status).end(JSON.stringify(answer));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, calls, close: () => server.close() };
};

/** The lines on stderr while something is done. */
const saidBy = async (work: () => Promise<unknown>): Promise<unknown[]> => {
  const said: unknown[] = [];
  const original = console.error;
  console.error = (text: unknown) => said.push(text);
  try {
    await work();
  } finally {
    console.error = original;
  }
  return said;
};

const failsAt4: Partial<TrainOptions> = {
  onStep: ({ step }) => {
    if (step === 4) throw new Error('boom');
  },
};

describe('mlflow', () => {
  let calls: Call[];
  let server: Awaited<ReturnType<typeof listening>>;
  let url: string;
  let refuses = 0;
  const answerTo = (path: string): readonly [number, object] => {
    if (path.startsWith('/api/2.0/mlflow/experiments/get-by-name'))
      return [404, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'none' }];
    if (path.endsWith('experiments/create')) return [200, { experiment_id: '7' }];
    if (path.endsWith('runs/create')) return [200, { run: { info: { run_id: 'r1' } } }];
    return refuses-- > 0 ? [503, { message: 'later' }] : [200, {}];
  };
  beforeAll(async () => {
    server = await listening(answerTo);
    ({ url, calls } = server);
  });
  afterAll(() => server.close());
  const metricsSent = (): [string, number, number][] =>
    calls.flatMap(({ body }) =>
      ((body['metrics'] ?? []) as { key: string; step: number; value: number }[]).map(
        ({ key, step, value }): [string, number, number] => [key, step, value],
      ),
    );

  test('has an experiment, a run with its options, all numbers and an end', async () => {
    calls.length = 0;
    const log = await mlflow({ url, experiment: 'a b', run: 'first', params: { rank: 2 }, token: 'secret' });
    const { losses } = await run([log]);
    expect(calls.map(({ method, path }) => `${method} ${path.replace('/api/2.0/mlflow/', '')}`)).toEqual([
      'GET experiments/get-by-name?experiment_name=a%20b',
      'POST experiments/create',
      'POST runs/create',
      ...Array(4).fill('POST runs/log-batch'),
      'POST runs/log-batch',
      'POST runs/update',
    ]);
    expect(new Set(calls.map((c) => c.token))).toEqual(new Set(['Bearer secret']));
    expect(calls[2]!.body).toMatchObject({ experiment_id: '7', run_name: 'first' });
    expect(calls[3]!.body).toEqual({ run_id: 'r1', params: [{ key: 'rank', value: '2' }] });
    expect(metricsSent().filter(([key]) => key === 'train/loss')).toEqual(
      losses.map((l) => ['train/loss', l.step, l.loss]),
    );
    expect(calls.at(-1)!.body).toMatchObject({ run_id: 'r1', status: 'FINISHED' });
  });

  test('gets what it has refused later, and learns of a run that fails', async () => {
    [calls.length, refuses] = [0, 2];
    const said = await saidBy(() =>
      expect(mlflow({ url }).then((log) => run([log], failsAt4))).rejects.toThrow('boom'),
    );
    expect(said).toEqual([expect.stringMatching(/mlflow: .* answers 503: .*numbers of the run wait/)]);
    const sent = calls.flatMap(({ body }) => (body['metrics'] ? [body['metrics'] as readonly { step: number }[]] : []));
    // Two are refused; the third has all that they had.
    expect([...new Set(sent[1]!.map((m) => m.step))]).toEqual([0, 1, 2]);
    expect([...new Set(sent[2]!.map((m) => m.step))]).toEqual([0, 1, 2, 3, 4]);
    expect(calls.at(-1)!.body).toMatchObject({ status: 'FAILED' });
  });

  test('says at the start what is wrong', async () => {
    await expect(mlflow({ url: 'http://127.0.0.1:9' })).rejects.toThrow(/mlflow: .*:9\/.* doesn't answer/);
    await expect(mlflow()).rejects.toThrow('mlflow: url is missing, and MLFLOW_TRACKING_URI is not set');
  });
});

describe('wandb', () => {
  let calls: Call[];
  let server: Awaited<ReturnType<typeof listening>>;
  let url: string;
  let refuses = 0;
  const bucket = { name: 'ab12cd34', project: { name: 'p q', entity: { name: 'me' } } };
  beforeAll(async () => {
    server = await listening((path) => {
      if (path === '/graphql') return [200, { data: { upsertBucket: { bucket } } }];
      return refuses-- > 0 ? [503, { message: 'later' }] : [200, { limits: {} }];
    });
    ({ url, calls } = server);
  });
  afterAll(() => server.close());
  interface Sent {
    readonly 'wandb-history.jsonl': { readonly offset: number; readonly content: readonly string[] };
    readonly 'wandb-summary.json': { readonly offset: number; readonly content: readonly string[] };
  }
  const filesSent = (): Sent[] =>
    calls.flatMap(({ body }) => (body['files'] ? [body['files'] as unknown as Sent] : []));

  // Questions and lines as wandb 0.31 sends them to a server at WANDB_BASE_URL.
  test('has a run with its options, a row of each step, its last numbers and an end', async () => {
    calls.length = 0;
    const log = await wandb({ url, project: 'p q', run: 'first', config: { rank: 2 }, key: 'secret' });
    const { losses, heldOut } = await run([log]);
    const stream = 'POST /files/me/p%20q/ab12cd34/file_stream';
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /graphql', stream, stream]);
    expect(new Set(calls.map((c) => c.token))).toEqual(new Set([`Basic ${btoa('api:secret')}`]));
    expect(calls[0]!.body).toMatchObject({
      operationName: 'UpsertBucket',
      variables: {
        name: expect.stringMatching(/^[a-z0-9]{8}$/),
        project: 'p q',
        entity: null,
        displayName: 'first',
        config: '{"rank":{"value":2}}',
      },
    });
    const [{ 'wandb-history.jsonl': history, 'wandb-summary.json': summary }] = filesSent() as [Sent];
    const rows = history.content.map((line) => JSON.parse(line) as Record<string, number>);
    const of = (name: string): unknown[] => rows.flatMap((row) => (name in row ? [[row['_step'], row[name]]] : []));
    expect(history.offset).toBe(0);
    expect(of('train/loss')).toEqual(losses.map((l) => [l.step, l.loss]));
    expect(of('heldOut/loss')).toEqual(heldOut.map((h) => [h.step, h.loss]));
    expect(new Set(rows.map((row) => row['_step'])).size).toBe(rows.length);
    expect(JSON.parse(summary.content[0]!)).toMatchObject({ _step: 4, 'train/loss': losses.at(-1)!.loss });
    expect(calls.at(-1)!.body).toEqual({ complete: true, exitcode: 0 });
  });

  test('gets what it has refused later, each row once, and learns of a run that fails', async () => {
    [calls.length, refuses] = [0, 1];
    const log = await wandb({ url, key: 'k' });
    const step = (n: number): unknown =>
      log.step({ step: n, loss: n, learningRate: 0.1, gradNorm: 1 } as unknown as Parameters<Logger['step']>[0]);
    const said = await saidBy(async () => {
      for (let n = 1; n <= 1202; n++) await step(n);
      await log.end!(true);
    });
    expect(said).toEqual([expect.stringMatching(/wandb: .* answers 503: .*numbers of the run wait/)]);
    const taken = filesSent()
      .slice(1)
      .map((files) => files['wandb-history.jsonl']);
    expect(taken.map(({ offset, content }) => [offset, content.length])).toEqual([
      [0, 500],
      [500, 1],
      [501, 500],
      [1001, 201],
    ]);
    const steps = taken.flatMap(({ content }) => content.map((line) => (JSON.parse(line) as { _step: number })._step));
    expect(steps).toEqual(Array.from({ length: 1202 }, (_, i) => i + 1));
    expect(calls.at(-1)!.body).toEqual({ complete: true, exitcode: 1 });
  });

  test('says at the start what is wrong', async () => {
    await expect(wandb()).rejects.toThrow('wandb: key is missing, and WANDB_API_KEY is not set');
    await expect(wandb({ key: 'k', url: 'http://127.0.0.1:9' })).rejects.toThrow(/wandb: .*:9\/.* doesn't answer/);
    const strict = await listening(() => [200, { data: null, errors: [{ message: 'permission denied' }] }]);
    await expect(wandb({ key: 'k', url: strict.url })).rejects.toThrow(/the server makes no run: .*permission denied/);
    strict.close();
  });
});
