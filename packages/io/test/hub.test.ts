import { mkdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test, vi } from 'vitest';
import {
  fileAt,
  filesAt,
  type HubOptions,
  hubFiles,
  openSafetensors,
  parseHub,
  writeSafetensors,
} from '../src/index.ts';
import { gitName, refuse, sendBytes, serveHub, sha256Of } from './hub-server.ts';
import { filesIn, scratch } from './scratch.ts';

const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251));
const content = new Map<string, Uint8Array | string>([
  ['config.json', '{"a": 1}'],
  ['model.bin', weights],
  ['inner/x.txt', 'x'],
]);
const configName = gitName(Buffer.from('{"a": 1}'));
const weightsName = sha256Of(weights);
const folder = 'models--org--model';
const secret = 'hf_secretOfSomebody';

/** Options that see nothing of this machine's environment. */
const optionsFor = async ({ endpoint }: { readonly endpoint: string }, more: HubOptions = {}): Promise<HubOptions> => ({
  endpoint,
  cache: join(await scratch(), 'hub'),
  token: null,
  offline: false,
  ...more,
});

/** Breaks a connection off after so many bytes of what is asked for. */
const cutting =
  (most: number, times = Number.POSITIVE_INFINITY) =>
  (request: Parameters<typeof sendBytes>[0], response: Parameters<typeof sendBytes>[1], bytes: Buffer): boolean => {
    if (times-- <= 0) return false;
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const says = { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': String(bytes.length - start),
      ...(start > 0 && says),
    });
    response.write(bytes.subarray(start, start + most), () => response.destroy());
    return true;
  };

describe('a place on the hub', () => {
  test.each([
    ['hub:org/name', ['models', 'org/name', 'main', '', 'hub:org/name']],
    ['hub:org/name/', ['models', 'org/name', 'main', '', 'hub:org/name']],
    ['hub:models/org/name', ['models', 'org/name', 'main', '', 'hub:org/name']],
    ['hub:gpt2@v1', ['models', 'gpt2', 'v1', '', 'hub:gpt2@v1']],
    ['hub:org/na-me_1.5@main/a/b@c.txt', ['models', 'org/na-me_1.5', 'main', 'a/b@c.txt', 'hub:org/na-me_1.5']],
    ['hub:org/name@refs/pr/7/x', ['models', 'org/name', 'refs/pr/7', 'x', 'hub:org/name@refs/pr/7']],
    ['hub:org/name@a%2Fb/x', ['models', 'org/name', 'a/b', 'x', 'hub:org/name@a%2Fb']],
    ['hub:datasets/org/name@v2', ['datasets', 'org/name', 'v2', '', 'hub:datasets/org/name@v2']],
  ])('%s', (text, [kind, repo, revision, path, name]) => {
    expect(parseHub(text as string)).toEqual({ kind, repo, revision, path, name });
  });

  test.each([
    'org/name',
    'hub:',
    'hub:../name',
    'hub:org/na--me',
    'hub:org/name@',
    'hub:org/name@..',
    'hub:org/name@a%2F..%2Fb',
    'hub:org/name/../x',
    'hub:/org/name',
  ])('%s is none', async (text) => {
    await messageOf('bad-option', async () => parseHub(text));
  });
});

describe('the cache', () => {
  test('is that of Python, and is asked before the hub', async () => {
    const hub = await serveHub(content);
    const told: number[] = [];
    const options = await optionsFor(hub, {
      token: secret,
      onProgress: ({ received, total }) => told.push(received, total!),
    });
    const files = await hubFiles('hub:org/model', options);
    expect(await files.size('model.bin')).toBe(weights.length);
    expect(hub.stored).toEqual([]);
    const [bytes, again, config] = await Promise.all([
      files.read('model.bin', { start: 5, end: 9 }),
      files.read('model.bin'),
      files.read('config.json'),
    ]);
    expect([...bytes]).toEqual([...weights.subarray(5, 9)]);
    expect(weights.equals(again)).toBe(true);
    expect(new TextDecoder().decode(config)).toBe('{"a": 1}');
    expect(hub.stored).toEqual(['GET /model.bin']);
    expect(hub.leaked).toEqual([]);
    expect(told).toContain(weights.length);
    expect(Math.max(...told)).toBe(weights.length);

    const cache = options.cache!;
    const snapshot = join(folder, 'snapshots', hub.commit);
    expect(await filesIn(cache)).toEqual(
      [
        folder,
        join(folder, 'blobs'),
        join(folder, 'blobs', configName),
        join(folder, 'blobs', weightsName),
        join(folder, 'refs'),
        join(folder, 'refs', 'main'),
        join(folder, 'snapshots'),
        snapshot,
        join(snapshot, 'config.json'),
        join(snapshot, 'model.bin'),
      ].sort(),
    );
    expect(await readFile(join(cache, folder, 'refs', 'main'), 'utf8')).toBe(hub.commit);
    expect(await readlink(join(cache, snapshot, 'model.bin'))).toBe(join('..', '..', 'blobs', weightsName));

    const asked = hub.requests.length;
    await (await hubFiles(`hub:org/model@${hub.commit}`, options)).read('model.bin');
    await (await hubFiles('hub:org/model', { ...options, offline: true })).read('model.bin');
    expect(hub.requests.length).toBe(asked);
  });

  test('gives what Python put there, also where nothing else may be read', async () => {
    const commit = 'a'.repeat(40);
    const options = await optionsFor({ endpoint: 'http://127.0.0.1:1' }, { offline: true });
    const snapshot = join(options.cache!, folder, 'snapshots', commit);
    for (const dir of [snapshot, join(options.cache!, folder, 'blobs'), join(options.cache!, folder, 'refs')])
      await mkdir(dir, { recursive: true });
    await writeFile(join(options.cache!, folder, 'blobs', 'etag'), 'by Python');
    await writeFile(join(options.cache!, folder, 'refs', 'main'), commit);
    await symlink(join('..', '..', 'blobs', 'etag'), join(snapshot, 'config.json'));
    const files = await hubFiles('hub:org/model', options);
    expect(new TextDecoder().decode(await files.read('config.json'))).toBe('by Python');
    expect([await files.list(), await files.size('other'), await files.size('config.json')]).toEqual([
      ['config.json'],
      null,
      9,
    ]);
    expect(await messageOf('file-missing', () => files.read('other'))).toContain(
      'hub:org/model/other: is not in the cache',
    );
    const none = await hubFiles('hub:org/model@v2', options);
    expect(await messageOf('file-missing', () => none.size('config.json'))).toContain('HF_HUB_OFFLINE');
  });

  test('takes up what an earlier download left, if it is of the same bytes', async () => {
    const hub = await serveHub(content);
    for (const [left, asked] of [
      [weights.subarray(0, 1000), ['GET /model.bin bytes=1000-']],
      [weights, []],
      [Buffer.alloc(1000, 9), ['GET /model.bin bytes=1000-', 'GET /model.bin']],
      [Buffer.alloc(weights.length + 1), ['GET /model.bin']],
    ] as const) {
      const before = hub.stored.length;
      const options = await optionsFor(hub);
      const blobs = join(options.cache!, folder, 'blobs');
      await mkdir(blobs, { recursive: true });
      await writeFile(join(blobs, `${weightsName}.incomplete`), left);
      const bytes = await (await hubFiles('hub:org/model', options)).read('model.bin');
      expect(weights.equals(bytes)).toBe(true);
      expect(hub.stored.slice(before)).toEqual(asked);
      expect(await filesIn(blobs)).toEqual([weightsName]);
    }
  });

  test('takes nothing that is not what the hub tells of', async () => {
    const other = Buffer.alloc(weights.length, 1);
    const hub = await serveHub(content, {
      interceptStore: (request, response) => {
        sendBytes(request, response, other, {});
        return true;
      },
    });
    const options = await optionsFor(hub);
    const files = await hubFiles('hub:org/model', options);
    expect(await messageOf('read-failed', () => files.read('model.bin'))).toContain(`SHA-256 is not ${weightsName}`);
    expect(await filesIn(join(options.cache!, folder))).toEqual(['blobs']);
  });

  test.each(['../../x', '/etc/x', 'a/../../x', 'C:/x', 'a/c:x', 'a\\..\\x', ''])(
    'writes nothing for a listing with %j',
    async (path) => {
      const hub = await serveHub(content, { claims: ['config.json', path] });
      const options = await optionsFor(hub);
      const files = await hubFiles('hub:org/model', options);
      expect(await messageOf('read-failed', () => files.read('config.json'))).toContain('which is no path within it');
      await expect(filesIn(options.cache!)).rejects.toThrow('ENOENT');
    },
  );

  test('keeps what came before whoever is told of the progress has ended it', async () => {
    const hub = await serveHub(content);
    const end = new Error('enough');
    const options = await optionsFor(hub, {
      onProgress: ({ received }) => {
        if (received > 0) throw end;
      },
    });
    const files = await hubFiles('hub:org/model', options);
    await expect(files.read('model.bin')).rejects.toBe(end);
    expect(await filesIn(join(options.cache!, folder, 'blobs'))).toEqual([`${weightsName}.incomplete`]);
    expect(hub.stored.length).toBe(1);
  });

  test('that cannot be written is told', async () => {
    const hub = await serveHub(content);
    const options = await optionsFor(hub, { cache: join(await scratch(), 'file') });
    await writeFile(options.cache!, '');
    const files = await hubFiles('hub:org/model', options);
    await messageOf('write-failed', () => files.read('config.json'));
  });
});

test('a connection that breaks off is taken up, so many times; a hub that asks to wait is waited for', async () => {
  const twice = await serveHub(content, { interceptStore: cutting(70_000, 2) });
  const always = await serveHub(content, { interceptStore: cutting(10) });
  let busy = 0;
  const waiting = await serveHub(content, {
    intercept: (_, response) => {
      if (busy++ % 2 === 1) return false;
      response.writeHead(429, { 'retry-after': '0' }).end();
      return true;
    },
  });
  const closed = await serveHub(content, {
    intercept: (_, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end();
      return true;
    },
  });
  const read = async (hub: { readonly endpoint: string }, cache: string): Promise<Uint8Array> =>
    (await hubFiles('hub:org/model', await optionsFor(hub, { cache }))).read('model.bin');
  const cache = join(await scratch(), 'always');
  const usual = await serveHub(content);
  const options = await optionsFor(usual);
  await (await hubFiles('hub:org/model', options)).read('config.json');
  const send: typeof fetch = async () => {
    throw Object.assign(new TypeError('fetch failed'), { cause: new Error('no network') });
  };
  const [whole, cut, late, later, none] = await Promise.all([
    scratch().then((dir) => read(twice, dir)),
    messageOf('read-failed', () => read(always, cache)),
    scratch().then((dir) => read(waiting, dir)),
    messageOf('read-failed', async () => read(closed, await scratch())),
    messageOf('read-failed', async () =>
      (await hubFiles('hub:org/model', { ...options, fetch: send })).read('config.json'),
    ),
  ]);
  expect(none).toContain('no network');
  expect(none).toContain(`commit ${usual.commit}: HF_HUB_OFFLINE=1`);
  expect([weights.equals(whole), weights.equals(late)]).toEqual([true, true]);
  // How much of what was sent has come before a connection breaks off differs.
  expect(twice.stored.map((asked) => asked.replace(/\d+-$/, 'n-'))).toEqual([
    'GET /model.bin',
    'GET /model.bin bytes=n-',
    'GET /model.bin bytes=n-',
  ]);
  expect(always.stored.length).toBe(4);
  expect(cut).toContain('hub:org/model/model.bin: reading failed');
  expect(later).toContain('429 Too Many Requests, and asks to wait 3600 s');
  // What has come is there for the next.
  expect(await filesIn(join(cache, folder, 'blobs'))).toEqual([`${weightsName}.incomplete`]);
  const left = await readFile(join(cache, folder, 'blobs', `${weightsName}.incomplete`));
  expect(left).toEqual(weights.subarray(0, left.length));
});

describe('a refusal', () => {
  const answers: readonly (readonly [
    name: string,
    status: number,
    code: string,
    message: string,
    token: string | null,
    expected: string,
  ])[] = [
    [
      'of a gated model',
      403,
      'GatedRepo',
      'Access is restricted',
      secret,
      'is gated, and the token does not open it. Accept its conditions at http',
    ],
    ['of a gated model without a token', 401, 'GatedRepo', '', null, 'is gated, and no token was given'],
    ['of a private model', 401, 'RepoNotFound', '', null, 'has no such model, or it is private and no token was given'],
    [
      'of what there is not',
      404,
      'RepoNotFound',
      '',
      secret,
      'has no such model, or it is private and the token does not open it',
    ],
    ['of a token', 401, '', 'Invalid credentials in Authorization header', secret, 'does not know the token'],
    ['of rights', 403, '', `not for ${secret}`, secret, 'refuses it: "not for …"'],
    ['of a revision', 404, 'RevisionNotFound', '', null, 'there is no revision "main"'],
    ['of something else', 400, '', 'no', null, '400 Bad Request: "no"'],
  ];
  test.each(answers)('%s', async (_, status, code, message, token, expected) => {
    for (const onlyFiles of [false, true])
      for (const kept of [true, false]) {
        const hub = await serveHub(content, {
          intercept: ({ url }, response) =>
            onlyFiles && url!.startsWith('/api/') ? false : refuse(response, status, code, message),
        });
        const options = await optionsFor(hub, { token, ...(!kept && { cache: null }) });
        const files = await hubFiles('hub:org/model', options);
        const error = await messageOf('file-missing', () => files.read('config.json'));
        // By ranges, another refusal of a file is told as of any server.
        if (kept || !onlyFiles || status === 403) expect(error).toContain(expected);
        expect(error).not.toContain(secret);
      }
  });

  test('of a token that no header takes is told without it', async () => {
    const hub = await serveHub(content);
    const options = await optionsFor(hub, { token: `${secret}\n\u00fc` });
    const error = await messageOf('bad-option', () => hubFiles('hub:org/model', options));
    expect(error).not.toContain(secret);
  });
});

test('without a cache ranges are read, and the token is shown to the hub alone', async () => {
  const hub = await serveHub(content);
  const files = await hubFiles('hub:org/model/inner', await optionsFor(hub, { token: secret, cache: null }));
  expect([await files.list(), await files.size('x.txt'), await files.size('y.txt')]).toEqual([['x.txt'], 1, null]);
  const whole = await hubFiles('hub:org/model', await optionsFor(hub, { token: secret, cache: null }));
  const file = await whole.open('model.bin');
  const part = new Uint8Array(4);
  expect([file.size, await file.read(9, part), [...part]]).toEqual([weights.length, 4, [...weights.subarray(9, 13)]]);
  expect(hub.stored).toEqual(['HEAD /model.bin', 'GET /model.bin bytes=9-12']);
  expect(hub.leaked).toEqual([]);
});

test('readers take places on the hub as the environment says', async () => {
  const dir = await scratch();
  await writeSafetensors(
    join(dir, 'x.safetensors'),
    new Map([['w', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]),
  );
  const hub = await serveHub(new Map([['a/x.safetensors', await readFile(join(dir, 'x.safetensors'))]]), {
    intercept: ({ headers }, response) =>
      headers.authorization === `Bearer ${secret}` ? false : refuse(response, 401, 'RepoNotFound'),
  });
  await mkdir(join(dir, 'home'));
  await writeFile(join(dir, 'home', 'token'), `${secret}\n`);
  for (const name of [
    'HF_TOKEN',
    'HUGGING_FACE_HUB_TOKEN',
    'HF_TOKEN_PATH',
    'HF_HUB_CACHE',
    'HUGGINGFACE_HUB_CACHE',
    'HF_HUB_OFFLINE',
    'TRANSFORMERS_OFFLINE',
  ])
    vi.stubEnv(name, '');
  vi.stubEnv('HF_ENDPOINT', `${hub.endpoint}/`);
  vi.stubEnv('HF_HOME', join(dir, 'home'));
  try {
    const file = await openSafetensors('hub:org/model/a/x.safetensors');
    expect([...(await file.readFloat32('w'))]).toEqual([1, 2]);
    await file.close();
    expect(await filesIn(join(dir, 'home', 'hub', folder, 'snapshots', hub.commit))).toEqual([
      'a',
      join('a', 'x.safetensors'),
    ]);
    expect((await filesAt('hub:org/model@main/a')).name).toBe('hub:org/model/a');
    expect((await fileAt(new URL('hub:org/model@main/a/x.safetensors'))).path).toBe('a/x.safetensors');
  } finally {
    vi.unstubAllEnvs();
  }
});
