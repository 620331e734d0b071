import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Called, peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-cli-'));
const onCpu = ['--device', 'cpu'];
const question = 'Who hunts the whale?';
const base = '@peftjs/base-model';

/** A server that runs in this process. */
interface Running {
  readonly port: number;
  readonly client: OpenAI;
  /** Asks for its end, and waits for it. */
  stop(): Promise<Called>;
}

const start = async (args: readonly string[], key = 'none'): Promise<Running> => {
  const ending = new AbortController();
  let ended!: Promise<Called>;
  const port = await new Promise<number>((done, failed) => {
    ended = peftjs(['serve', ...args, ...onCpu, '--port', '0'], {
      signal: ending.signal,
      onErr: (text) => {
        const found = /:(\d+)\/v1/.exec(text);
        if (found) done(Number(found[1]));
      },
    });
    ended.then(({ err }) => failed(new Error(err)));
  });
  const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: key, maxRetries: 0 });
  return {
    port,
    client,
    stop: () => {
      ending.abort();
      return ended;
    },
  };
};

const train = async (name: string, answer: string, ...flags: string[]): Promise<string> => {
  const data = join(folder, `${name}.jsonl`);
  const messages = [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ];
  writeFileSync(data, `${JSON.stringify({ messages })}\n`.repeat(8));
  const out = join(folder, name);
  const args = ['--data', data, '--data.held-out', '0', '--steps', '30', '--batch-size', '1', '--out', out, ...flags];
  const { code, out: text, err } = await peftjs(['train', ...args, ...onCpu, '--json']);
  expect(code, err).toBe(0);
  return JSON.parse(text).adapter as string;
};

let server: Running;
/** The names of two adapters of unlike methods, and of one that is loaded later. */
let [ahab, ishmael, later] = ['', '', ''];
let dirs: readonly string[] = [];

const user = (content: string) => [{ role: 'user' as const, content }];
const greedy = { temperature: 0, max_tokens: 12 };
const ask = async (model: string, more: object = {}) =>
  server.client.chat.completions.create({ model, messages: user(question), ...greedy, ...more, stream: false });
const said = async (model: string, more: object = {}) => (await ask(model, more)).choices[0]!.message.content;

beforeAll(async () => {
  dirs = [
    await train('ahab', 'Captain Ahab hunts it.'),
    await train('ishmael', 'Ishmael tells it.', '--method', 'ia3', '--optimizer.rate', '0.1', '--steps', '60'),
  ];
  // What looks at whole prompts is not in the running batch.
  later = await train('later', 'The Pequod sails.', '--method', 'houlsby');
  server = await start([...dirs, '--queue', '40', '--load-from', folder]);
  const { data } = await server.client.models.list();
  [, ahab, ishmael] = data.map(({ id }) => id) as [string, string, string];
}, 300_000);

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the openai client', () => {
  test('asks adapters by name, and the base', async () => {
    const { choices, usage, object } = await ask(ahab);
    expect(object).toBe('chat.completion');
    expect(choices[0]).toMatchObject({
      message: { role: 'assistant', content: 'Captain Ahab hunts it.' },
      finish_reason: 'stop',
    });
    expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens);
    expect(await said(ishmael)).toContain('Ishmael');
    expect(await said(base)).not.toMatch(/Ahab hunts|Ishmael tells/);
  });

  test('streams what it would have said at once', async () => {
    const stream = await server.client.chat.completions.create({
      model: ahab,
      messages: user(question),
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    let [finish, tokens] = ['', 0];
    for await (const { choices, usage } of stream) {
      pieces.push(choices[0]?.delta.content ?? '');
      finish = choices[0]?.finish_reason ?? finish;
      tokens = usage?.completion_tokens ?? tokens;
    }
    expect(pieces.filter((piece) => piece !== '').length).toBeGreaterThan(3);
    expect([pieces.join(''), finish]).toEqual(['Captain Ahab hunts it.', 'stop']);
    expect(tokens).toBe((await ask(ahab)).usage!.completion_tokens);
  });

  test('stops at a text, and at a limit', async () => {
    const stopped = await ask(ahab, { stop: [' hunts'] });
    expect(stopped.choices[0]).toMatchObject({ message: { content: 'Captain Ahab' }, finish_reason: 'stop' });
    const cut = await ask(ahab, { max_tokens: 2 });
    expect(cut.choices[0]!.finish_reason).toBe('length');
    expect(cut.usage!.completion_tokens).toBe(2);
  });

  test('continues a text', async () => {
    const { choices } = await server.client.completions.create({
      model: ahab,
      prompt: `User: ${question}\nAssistant: Captain`,
      ...greedy,
    });
    expect(choices[0]!.text).toBe(' Ahab hunts it.');
  });

  test('gets vectors of texts, of length 1, the same in both encodings', async () => {
    const texts = ['The whale is white.', 'The whale was white.', 'He paid the merchant in gold.'];
    const of = async (encoding_format: 'float' | 'base64') => {
      const { data } = await server.client.embeddings.create({ model: base, input: texts, encoding_format });
      return data.map(({ embedding }) => embedding);
    };
    const vectors = await of('float');
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((n, v, i) => n + v * b[i]!, 0);
    expect(vectors.map((v) => v.length)).toEqual([256, 256, 256]);
    for (const vector of vectors) expect(dot(vector, vector)).toBeCloseTo(1, 4);
    expect(dot(vectors[0]!, vectors[1]!)).toBeGreaterThan(dot(vectors[0]!, vectors[2]!));
    const { data } = await server.client.embeddings.create({ model: base, input: texts });
    expect(data.map(({ embedding }) => embedding)).toEqual(vectors);
    const alone = await server.client.embeddings.create({ model: ahab, input: texts[0]! });
    expect(dot(alone.data[0]!.embedding, vectors[0]!)).toBeLessThan(0.9999);
  });

  test('is told what is wrong', async () => {
    const refused = async (call: Promise<unknown>) => {
      const error = await call.then(
        () => null,
        (e: InstanceType<typeof OpenAI.APIError>) => e,
      );
      return [error?.status, error?.code, error?.message];
    };
    expect(await refused(ask('ahap'))).toEqual([
      404,
      'model_not_found',
      expect.stringContaining('there is no model ahap'),
    ]);
    expect(await refused(ask(ahab, { max_tokens: 1000 }))).toEqual([
      400,
      'context_length_exceeded',
      expect.stringContaining('256 tokens'),
    ]);
    expect(await refused(ask(ahab, { n: 2 }))).toEqual([400, null, expect.stringContaining('n must be 1')]);
    expect(await refused(ask(ahab, { temperature: 3 }))).toEqual([400, null, expect.stringContaining('temperature')]);
    expect(await refused(ask(ahab, { messages: [] }))).toEqual([400, null, expect.stringContaining('messages')]);
    expect(await refused(ask(ahab, { tools: [{ type: 'function' }] }))).toEqual([
      400,
      null,
      expect.stringContaining('tools is not supported'),
    ]);
    const long = { messages: user('whale '.repeat(400)), max_tokens: null };
    expect(await refused(ask(ahab, long))).toEqual([
      400,
      'context_length_exceeded',
      expect.stringContaining('the prompt has'),
    ]);
  });
});

const post = async (path: string, body: unknown, headers: Record<string, string> = {}): Promise<[number, string]> => {
  const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
  return [answer.status, await answer.text()];
};

describe('many requests', () => {
  const cases = Array.from({ length: 24 }, (_, i) => ({
    model: [0, 1, 2][i % 3]!,
    more: {
      temperature: i % 2 === 0 ? 0 : 0.9,
      seed: i,
      max_tokens: 4 + (i % 7),
      messages: user(`${question} ${'Tell me. '.repeat(i % 5)}`),
    },
  }));
  const names = () => [base, ahab, ishmael];

  test('get what each gets alone, mixed in batches as they come', async () => {
    const alone: unknown[] = [];
    for (const { model, more } of cases) alone.push(await said(names()[model]!, more));
    const together = await Promise.all(cases.map(({ model, more }) => said(names()[model]!, more)));
    expect(together).toEqual(alone);
    const metrics = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
    expect(metrics).toMatch(/peftjs_batch_requests_bucket\{le="1"\} \d+/);
    const batches = Number(/peftjs_batch_requests_count (\d+)/.exec(metrics)![1]);
    const rows = Number(/peftjs_batch_requests_sum (\d+)/.exec(metrics)![1]);
    expect(rows).toBeGreaterThan(batches + 10);
  });

  const figure = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))!
        .split(' ')
        .at(-1),
    );
  };

  test('join the batch that runs, which goes on as if nothing had been, also where an adapter comes and goes', async () => {
    const long = { messages: user('Tell me of the sea.'), max_tokens: 120, temperature: 0.9, seed: 3 };
    const alone = [await said(base, long), await said(ahab), await said(ishmael)];
    let isOver = false;
    const stream = await server.client.chat.completions.create({ model: base, ...long, stream: true });
    const pieces: string[] = [];
    const whole = (async () => {
      for await (const { choices } of stream) pieces.push(choices[0]?.delta.content ?? '');
      isOver = true;
    })();
    while (pieces.length < 3) await new Promise((go) => setTimeout(go, 5));
    const joined = await Promise.all([said(ahab), said(ishmael)]);
    expect(isOver).toBe(false);
    const loaded = (await post('/v1/load_lora_adapter', { lora_name: 'beside', lora_path: dirs[0] }))[0];
    const [beside] = await Promise.all([said('beside'), whole]);
    expect((await post('/v1/unload_lora_adapter', { lora_name: 'beside' }))[0]).toBe(200);
    expect([loaded, beside]).toEqual([200, 'Captain Ahab hunts it.']);
    expect([pieces.join(''), ...joined]).toEqual(alone);
  });

  test('read of a chat what is new in it', async () => {
    const known = 'peftjs_tokens_total{kind="known"}';
    const first = user(`${question} ${'And why? '.repeat(6)}`);
    const answer = (await ask(ishmael, { messages: first })).choices[0]!.message.content!;
    const turn = [...first, { role: 'assistant' as const, content: answer }, ...user('And then?')];
    const before = await figure(known);
    const { usage, choices } = await ask(ishmael, { messages: turn });
    const read = usage!.prompt_tokens - ((await figure(known)) - before);
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(20);
    expect(usage!.prompt_tokens).toBeGreaterThan(40);
    // Of another adapter nothing is known of it.
    const other = await figure(known);
    await ask(base, { messages: turn });
    expect((await figure(known)) - other).toBeLessThan(usage!.prompt_tokens / 2);
    expect((await ask(ishmael, { messages: turn })).choices[0]!.message.content).toBe(choices[0]!.message.content);
  });

  test('are refused where too many wait, and those who have gone leave the rest', async () => {
    const gone = new AbortController();
    const left = server.client.chat.completions.create(
      { model: base, messages: user(question), max_tokens: 200 },
      { signal: gone.signal },
    );
    left.catch(() => {});
    setTimeout(() => gone.abort(), 50);
    const all = await Promise.allSettled(Array.from({ length: 60 }, () => said(ahab, { max_tokens: 2 })));
    const refused = all.filter((one) => one.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.map((one) => (one as PromiseRejectedResult).reason.status)).toEqual(refused.map(() => 429));
    for (const one of all) if (one.status === 'fulfilled') expect(one.value).toBe('Captain A');
    await expect(left).rejects.toThrow();
    expect(await said(ahab)).toBe('Captain Ahab hunts it.');
  });
});

describe('the server', () => {
  test('loads adapters and unloads them while it runs', async () => {
    expect((await post('/v1/load_lora_adapter', { lora_name: 'later', lora_path: later }))[0]).toBe(200);
    expect(await said('later')).toBe('The Pequod sails.');
    const [first, second] = await Promise.all([said('later'), said(ahab)]);
    expect([first, second]).toEqual(['The Pequod sails.', 'Captain Ahab hunts it.']);
    expect((await post('/v1/unload_lora_adapter', { lora_name: 'later' }))[0]).toBe(200);
    expect((await post('/v1/unload_lora_adapter', { lora_name: 'later' }))[0]).toBe(404);
    await expect(said('later')).rejects.toThrow('there is no model later');
  });

  test('loads nothing from elsewhere', async () => {
    expect(await post('/v1/load_lora_adapter', { lora_name: 'x', lora_path: '/etc' })).toEqual([
      403,
      expect.stringContaining('not below'),
    ]);
    expect(await post('/v1/load_lora_adapter', { lora_name: 'x', lora_path: join(folder, '..') })).toEqual([
      403,
      expect.stringContaining('not below'),
    ]);
  });

  test('answers no page of another origin, and nobody who calls it by another name', async () => {
    expect((await post('/v1/completions', {}, { origin: 'https://evil.example' }))[0]).toBe(403);
    const status = await new Promise((done) => {
      request(
        { port: server.port, host: '127.0.0.1', path: '/v1/models', headers: { host: 'evil.example' } },
        (answer) => {
          answer.resume();
          done(answer.statusCode);
        },
      ).end();
    });
    expect(status).toBe(403);
  });

  test('says what it has not, and refuses what is no JSON or too much of it', async () => {
    expect(await post('/v1/images', {})).toEqual([404, expect.stringContaining('there is no POST /v1/images')]);
    const odd = await fetch(`http://127.0.0.1:${server.port}/v1/completions`, { method: 'POST', body: '{' });
    expect([odd.status, await odd.text()]).toEqual([400, expect.stringContaining('is not JSON')]);
    expect((await post('/v1/completions', { prompt: 'a'.repeat(5_000_000) }))[0]).toBe(413);
    expect(await (await fetch(`http://127.0.0.1:${server.port}/health`)).json()).toMatchObject({
      status: 'ok',
      waiting: 0,
    });
  });

  test('beyond this machine needs a key, and takes no other', async () => {
    const { code, err } = await peftjs(['serve', '--host', '0.0.0.0', '--port', '0', ...onCpu]);
    expect([code, err]).toEqual([2, expect.stringContaining('a key is needed')]);
    const guarded = await start(['--model', base, '--key', 'secret'], 'secret');
    const models = `http://127.0.0.1:${guarded.port}/v1/models`;
    expect((await fetch(models)).status).toBe(401);
    expect((await fetch(models, { headers: { authorization: 'Bearer secreT' } })).status).toBe(401);
    expect((await guarded.client.models.list()).data).toHaveLength(1);
    expect((await guarded.stop()).code).toBe(0);
  });

  test('ends when what is under way has', async () => {
    const own = await start(['--model', base]);
    const under = own.client.chat.completions.create({
      model: base,
      messages: user(question),
      temperature: 0,
      max_tokens: 40,
    });
    await new Promise((go) => setTimeout(go, 300));
    const stopped = own.stop();
    expect((await under).usage!.completion_tokens).toBeGreaterThan(0);
    expect((await stopped).code).toBe(0);
    await expect(own.client.models.list()).rejects.toThrow();
  });
});
