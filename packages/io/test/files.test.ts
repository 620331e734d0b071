import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { writeDirAtomic } from '../src/disk/write-atomic.ts';
import {
  blobFiles,
  detached,
  directoryFiles,
  type Files,
  fileAt,
  filesAt,
  hubFiles,
  memoryFiles,
  opfsFiles,
  urlFiles,
  type WritableFiles,
} from '../src/index.ts';
import { browserFolder } from './browser-folder.ts';
import { serveFiles } from './file-server.ts';
import { serveHub } from './hub-server.ts';
import { filesIn, scratch } from './scratch.ts';

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const content = new Map<string, Uint8Array | string>([
  ['data.bin', bytes],
  ['empty', ''],
  ['inner/deep, ü/x.txt', 'grün'],
  ['100% #1?.txt', 'odd'],
]);

const onDisk = async (): Promise<string> => {
  const dir = join(await scratch(), 'folder');
  for (const [path, value] of content) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), value);
  }
  return dir;
};
const blobOf = (value: Uint8Array | string): Blob => new Blob([value as Uint8Array<ArrayBuffer>]);
const written = async (files: WritableFiles): Promise<WritableFiles> => {
  await files.write(content);
  return files;
};

const onHub = async (isKept: boolean): Promise<Files> => {
  const { endpoint } = await serveHub(content);
  return hubFiles('hub:org/model', { endpoint, token: null, offline: false, cache: isKept ? await scratch() : null });
};

const kinds: readonly (readonly [name: string, make: () => Promise<Files>])[] = [
  ['a folder on disk', async () => filesAt(await onDisk())],
  ['a folder at a file URL', async () => filesAt(pathToFileURL(await onDisk()))],
  ['memory', async () => memoryFiles(content)],
  ['memory, written', () => written(memoryFiles())],
  ['Blobs', async () => blobFiles(new Map([...content].map(([path, value]) => [path, blobOf(value)])))],
  ['a folder of a browser', () => written(directoryFiles(browserFolder()))],
  ['a URL', async () => filesAt((await serveFiles(content)).url)],
  ['a URL with a slash and a query', async () => filesAt(`${(await serveFiles(content)).url}/?key=secret`)],
  ['a URL without ranges', async () => filesAt((await serveFiles(content, { ranges: false })).url)],
  ['a URL without HEAD', async () => filesAt((await serveFiles(content, { head: false })).url)],
  ['a URL without lengths', async () => filesAt((await serveFiles(content, { lengths: false })).url)],
  [
    'a URL with nothing of it',
    async () => filesAt((await serveFiles(content, { ranges: false, head: false, lengths: false })).url),
  ],
  ['the hub', () => onHub(true)],
  ['the hub without a cache', () => onHub(false)],
];

describe.each(kinds)('%s', (_, make) => {
  test('reads files, ranges and sizes', async () => {
    const files = await make();
    expect(await files.read('data.bin')).toEqual(bytes);
    expect(await files.read('data.bin', { start: 3, end: 8 })).toEqual(bytes.slice(3, 8));
    expect(await files.read('data.bin', { end: 5 })).toEqual(bytes.slice(0, 5));
    expect(await files.read('data.bin', { start: 990 })).toEqual(bytes.slice(990));
    expect(await files.read('data.bin', { start: 990, end: 5000 })).toEqual(bytes.slice(990));
    expect(await files.read('data.bin', { start: 2000, end: 5000 })).toEqual(new Uint8Array(0));
    expect(await files.read('data.bin', { start: 7, end: 7 })).toEqual(new Uint8Array(0));
    expect(await files.read('empty')).toEqual(new Uint8Array(0));
    expect(await files.size('data.bin')).toBe(1000);
    expect(await files.size('empty')).toBe(0);
    expect(new TextDecoder().decode(await files.read('inner/deep, ü/x.txt'))).toBe('grün');
    expect(new TextDecoder().decode(await files.read('100% #1?.txt'))).toBe('odd');
  });

  test('opens a file for many reads, side by side', async () => {
    const files = await make();
    const file = await files.open('data.bin');
    expect(file.size).toBe(1000);
    const starts = [0, 500, 3, 995, 1000, 2000];
    const parts = await Promise.all(
      starts.map(async (at) => {
        const into = new Uint8Array(8);
        return [await file.read(at, into), [...into]] as const;
      }),
    );
    expect(parts).toEqual(
      starts.map((at) => {
        const part = [...bytes.slice(at, at + 8)];
        return [part.length, [...part, ...new Array(8 - part.length).fill(0)]];
      }),
    );
    await file.close();
    const empty = await files.open('empty');
    expect([empty.size, await empty.read(0, new Uint8Array(3))]).toEqual([0, 0]);
    await empty.close();
  });

  test('says what is not there', async () => {
    const files = await make();
    expect(await files.size('none')).toBeNull();
    expect(await files.size('none/x')).toBeNull();
    expect(await files.size('data.bin/x')).toBeNull();
    for (const action of [
      () => files.read('none'),
      () => files.open('none'),
      () => files.read('none', { start: 1, end: 2 }),
    ])
      expect(await messageOf('file-missing', action)).toContain(`${files.name.replace(/\/$/, '')}/none: `);
  });

  test('lists a folder, where that can be told', async () => {
    const files = await make();
    const top = await files.list();
    if (top === null) return;
    expect(top).toEqual(['100% #1?.txt', 'data.bin', 'empty', 'inner/']);
    expect(await files.list('inner')).toEqual(['deep, ü/']);
    expect(await files.list('inner/deep, ü')).toEqual(['x.txt']);
    await messageOf('file-missing', () => files.list('none'));
  });

  test.each(['', '/data.bin', '../data.bin', 'inner/../data.bin', './data.bin', 'inner//x', 'a\\b', 'a\0', '\ud800'])(
    'refuses the path %j',
    async (path) => {
      const files = await make();
      for (const action of [() => files.read(path), () => files.open(path), () => files.size(path)])
        await messageOf('bad-option', action);
    },
  );
});

test.each([undefined, null, 5, {}, ['model']])('a place that is none is told: %j', async (place) => {
  for (const [what, action] of [
    ['folder', () => filesAt(place as never)],
    ['file', () => fileAt(place as never)],
  ] as const)
    expect(await messageOf('bad-option', action)).toContain(`a ${what} must be a path, a URL or \`Files\`, got `);
});

const writers: readonly (readonly [name: string, make: () => Promise<WritableFiles>])[] = [
  ['a folder on disk', async () => (await filesAt(join(await scratch(), 'new'))) as WritableFiles],
  ['memory', async () => memoryFiles()],
  ['a folder of a browser', async () => directoryFiles(browserFolder())],
];

async function* failing(error: Error): AsyncGenerator<Uint8Array, void> {
  yield new Uint8Array(1000);
  throw error;
}

describe.each(writers)('writing to %s', (_, make) => {
  const text = async (files: Files, path: string): Promise<string> => new TextDecoder().decode(await files.read(path));

  test('puts texts, bytes and pieces in place of what was there', async () => {
    const files = await make();
    const scratchPiece = new Uint8Array(1);
    function* pieces(): Generator<Uint8Array> {
      // One array for all pieces, as a stream may have it.
      for (let i = 0; i < 3; i++) yield scratchPiece.fill(65 + i);
    }
    await files.write(
      new Map<string, string | Uint8Array | Iterable<Uint8Array>>([
        ['a/b/x', pieces()],
        ['mark', 'one'],
      ]),
    );
    expect([await text(files, 'a/b/x'), await text(files, 'mark')]).toEqual(['ABC', 'one']);
    await files.write(
      new Map<string, string | Uint8Array>([
        ['a/b/x', bytes],
        ['mark', 'two'],
      ]),
    );
    expect([await files.read('a/b/x'), await text(files, 'mark')]).toEqual([bytes, 'two']);
    await files.write(new Map([['alone', 'x']]));
    expect(await files.list()).toEqual(['a/', 'alone', 'mark']);
  });

  test('that fails leaves what was there, and nothing new', async () => {
    const files = await make();
    await files.write(
      new Map([
        ['data', 'old'],
        ['mark', 'old'],
      ]),
    );
    const broken = (name: string, error: Error): Promise<void> =>
      files.write(
        new Map<string, string | AsyncIterable<Uint8Array>>(
          ['data', 'more', 'late', 'mark'].map((path) => [path, path === name ? failing(error) : 'new']),
        ),
      );
    expect(await messageOf('write-failed', () => broken('late', new Error('source broke')))).toContain('source broke');
    expect(await messageOf('bad-option', () => broken('data', new PeftError('bad-option', 'as it is')))).toBe(
      'as it is',
    );
    expect(await messageOf('write-failed', () => broken('mark', new Error('mark broke')))).toContain('mark broke');
    await messageOf('bad-option', () =>
      files.write(
        new Map([
          ['../x', ''],
          ['mark', ''],
        ]),
      ),
    );
    expect([await text(files, 'data'), await text(files, 'mark')]).toEqual(['old', 'old']);
    expect(await files.list()).toEqual(['data', 'mark']);
  });
});

test('a place that cannot be written to is refused before anything is made', async () => {
  const { url } = await serveFiles(content);
  const { writeSafetensors, writeAdapter } = await import('../src/index.ts');
  const tensors = new Map([['w', { dtype: 'F32' as const, shape: [1], data: Float32Array.of(1) }]]);
  expect(await messageOf('bad-option', () => writeSafetensors(`${url}/x.safetensors`, tensors))).toContain(
    'memoryFiles',
  );
  await messageOf('bad-option', () => writeAdapter(blobFiles([]), { peft_type: 'LORA' }, tensors));
});

test('files that a user chose lie where they lie in the chosen folder', async () => {
  const chosen = (name: string, path: string): File =>
    Object.assign(new File(['x'], name), { webkitRelativePath: path });
  const files = blobFiles([chosen('config.json', 'my model/config.json'), chosen('w', 'my model/sub/w')]);
  expect([await files.list(), await files.list('sub')]).toEqual([['config.json', 'sub/'], ['w']]);
  expect(await blobFiles([new File(['abc'], 'a.txt')]).size('a.txt')).toBe(3);
});

test('one file is found on disk, at a URL, or in files', async () => {
  const dir = await onDisk();
  const { url } = await serveFiles(content);
  const places = [
    join(dir, 'data.bin'),
    pathToFileURL(join(dir, 'data.bin')),
    `${url}/data.bin?x=1`,
    new URL(`${url}/data.bin`),
  ];
  for (const place of places) {
    const { files, path } = await fileAt(place);
    expect(await files.read(path, { end: 4 })).toEqual(bytes.slice(0, 4));
  }
  const { files, path } = await fileAt(`${url}/inner/deep,%20%C3%BC/x.txt`);
  expect([path, await files.size(path)]).toEqual(['x.txt', 5]);
});

test('links to files are followed, a folder and a pipe are no files', async () => {
  const dir = await onDisk();
  await symlink(join(dir, 'data.bin'), join(dir, 'link'));
  const files = await filesAt(dir);
  expect(await files.read('link')).toEqual(bytes);
  expect(await files.size('inner')).toBeNull();
  expect(await messageOf('file-missing', () => files.open('inner'))).toContain('it is not a file');
  expect(await filesIn(dir)).toContain('link');
});

test('detached files hold nothing open, and see when one has changed', async () => {
  const dir = await onDisk();
  const files = detached(await filesAt(dir));
  const file = await files.open('data.bin');
  const into = new Uint8Array(4);
  expect([file.size, file.holds, await file.read(10, into), [...into]]).toEqual([1000, undefined, 4, [10, 11, 12, 13]]);
  await writeDirAtomic(dir, new Map([['data.bin', new Uint8Array(1000)]]));
  expect(await messageOf('read-failed', () => file.read(0, into))).toContain('it was written anew since it was opened');
  await writeFile(join(dir, 'data.bin'), 'short');
  expect(await messageOf('read-failed', () => file.read(0, into))).toContain(
    'it had 1000 bytes when it was opened, it has 5 now',
  );
  await rm(join(dir, 'data.bin'));
  await messageOf('file-missing', () => file.read(0, into));
  const memory = memoryFiles(content);
  expect(await (await detached(memory).open('data.bin')).read(0, into)).toBe(4);
});

test('without a browser there are no own files of a page', async () => {
  expect(await messageOf('bad-option', () => opfsFiles('x').list())).toContain('https');
});

describe('a URL', () => {
  test('gives a range by asking for no more than that', async () => {
    const server = await serveFiles(new Map([['big', new Uint8Array(5_000_000).fill(7)]]));
    const file = await urlFiles(server.url).open('big');
    await file.read(4_000_000, new Uint8Array(100));
    expect(server.requests).toEqual(['HEAD /folder/big', 'GET /folder/big bytes=4000000-4000099']);
    expect(server.sent).toBe(100);
    await urlFiles(server.url).read('big', { start: 10, end: 20 });
    expect(server.sent).toBe(110);
  });

  test('without ranges is asked once for the whole of what is opened', async () => {
    const server = await serveFiles(new Map([['big', bytes]]), { ranges: false });
    const files = urlFiles(server.url);
    const file = await files.open('big');
    const into = [new Uint8Array(10), new Uint8Array(10), new Uint8Array(10)] as const;
    await Promise.all(into.map((part, i) => file.read(100 * i, part)));
    await (await files.open('big')).read(0, new Uint8Array(3));
    expect(into.map((part) => part[0])).toEqual([0, 100, 200]);
    expect(await files.read('big', { start: 5, end: 7 })).toEqual(bytes.slice(5, 7));
    expect(server.requests.filter((r) => r.startsWith('GET')).length).toBeLessThanOrEqual(3);
    // Two readers that start at once may both have been answered; only one answer is read to its end.
    expect(server.requests.filter((r) => r.startsWith('HEAD'))).toHaveLength(1);
  });

  test('sends its headers, and its errors keep secrets', async () => {
    const seen: (string | undefined)[] = [];
    const server = await serveFiles(content, {
      intercept: (request) => {
        seen.push(request.headers.authorization);
        return false;
      },
    });
    const files = urlFiles(`${server.url}?token=hush`, { headers: { authorization: 'Bearer abc' } });
    await files.read('data.bin');
    expect(seen).toEqual(['Bearer abc']);
    expect(server.requests).toEqual(['GET /folder/data.bin?token=hush']);
    expect(await messageOf('file-missing', () => files.read('none'))).not.toMatch(/hush|abc/);
  });

  test('asks again where the server fails for a moment, and goes on where a download broke off', async () => {
    let failures = 0;
    const server = await serveFiles(new Map([['big', bytes]]), {
      intercept: (request, response) => {
        if (request.method !== 'GET' || failures++ > 1) return false;
        if (failures === 1) {
          response.writeHead(503).end();
          return true;
        }
        response.writeHead(206, { 'content-length': '1000', 'content-range': 'bytes 0-999/1000' });
        response.write(bytes.subarray(0, 600), () => setTimeout(() => response.destroy(), 30));
        return true;
      },
    });
    const into = new Uint8Array(1000);
    expect(await (await urlFiles(server.url).open('big')).read(0, into)).toBe(1000);
    expect(into).toEqual(bytes);
    expect(server.requests.slice(1)).toEqual([
      'GET /folder/big bytes=0-999',
      'GET /folder/big bytes=0-999',
      'GET /folder/big bytes=600-999',
    ]);
  });

  test('gives up at last, with the reason', async () => {
    const { url } = await serveFiles(content, {
      intercept: (_, response) => {
        response.writeHead(503, 'Busy').end();
        return true;
      },
    });
    expect(await messageOf('read-failed', () => urlFiles(url).read('data.bin'))).toContain('503 Busy');
    // A port on which nobody listens.
    expect(await messageOf('read-failed', () => urlFiles('http://127.0.0.1:1/x').size('y'))).toContain(
      'http://127.0.0.1:1/x/y',
    );
  });

  test('refused is an error, not a file that is missing', async () => {
    const { url } = await serveFiles(content, {
      intercept: (_, response) => {
        response.writeHead(403, 'Forbidden').end('no');
        return true;
      },
    });
    expect(await messageOf('file-missing', () => urlFiles(url).size('data.bin'))).toContain('403 Forbidden');
    expect(await messageOf('file-missing', () => urlFiles(url).read('data.bin'))).toContain('403 Forbidden');
  });

  test('of a server that shows a page for all that it lacks has no such file', async () => {
    const { url } = await serveFiles(content, {
      intercept: (_, response) => {
        response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!doctype html>');
        return true;
      },
    });
    expect(await urlFiles(url).size('config.json')).toBeNull();
    await messageOf('file-missing', () => urlFiles(url).read('config.json'));
    expect(await urlFiles(url).size('page.html')).toBe(15);
  });

  test('tells of a file that is another one by now, and of an answer of other bytes', async () => {
    const server = await serveFiles(new Map([['x', bytes]]));
    const file = await urlFiles(server.url).open('x');
    server.files.set('x', Buffer.from(bytes.map((b) => b ^ 1)));
    expect(await messageOf('read-failed', () => file.read(0, new Uint8Array(8)))).toContain('open it again');
    server.files.set('x', Buffer.from(bytes.subarray(0, 10)));
    expect(await messageOf('read-failed', () => file.read(500, new Uint8Array(8)))).toContain('open it again');
    const odd = await serveFiles(new Map([['x', bytes]]), {
      intercept: ({ method }, response) => {
        if (method === 'GET')
          response.writeHead(206, { 'content-range': 'bytes 4-11/1000' }).end(bytes.subarray(4, 12));
        return method === 'GET';
      },
    });
    const other = await urlFiles(odd.url).open('x');
    expect(await messageOf('read-failed', () => other.read(0, new Uint8Array(8)))).toContain('other bytes');
  });
});
