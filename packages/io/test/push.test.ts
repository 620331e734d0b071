import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { pushFiles } from '../src/index.ts';
import { refuse, serveHub, sha256Of } from './hub-server.ts';

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
};

const token = 'hf_secret';

/** A hub that takes commits: what it was told, and the bytes that its store and its commits have. */
const takingHub = async (how: { readonly isThere?: boolean; readonly busy?: number; readonly has?: string } = {}) => {
  const [files, store, told] = [new Map<string, Buffer>(), new Map<string, Buffer>(), [] as string[]];
  const shown: (string | undefined)[] = [];
  let busy = how.busy ?? 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    const json = (value: unknown): void => void response.end(JSON.stringify(value));
    const { url = '' } = request;
    told.push(`${request.method} ${url}`);
    if (request.headers.authorization !== `Bearer ${token}`)
      return void refuse(response, 403, '', `no rights for ${request.headers.authorization}`);
    if (busy-- > 0) return void refuse(response, 503);
    if (url === '/api/repos/create')
      return how.isThere ? void refuse(response, 409) : json({ url: 'x', ...JSON.parse(`${body}`) });
    if (url === '/api/models/org/model/preupload/main') {
      const asked = (JSON.parse(`${body}`) as { files: { path: string; size: number; sample: string }[] }).files;
      return json({
        files: asked.map(({ path }) => ({
          path,
          uploadMode: path.endsWith('.safetensors') ? 'lfs' : 'regular',
          shouldIgnore: false,
        })),
      });
    }
    if (url === '/org/model.git/info/lfs/objects/batch') {
      const { objects } = JSON.parse(`${body}`) as { objects: { oid: string; size: number }[] };
      const href = `${hub.endpoint.replace('127.0.0.1', 'localhost')}/store`;
      return json({
        transfer: 'basic',
        objects: objects.map(({ oid, size }) => ({
          oid,
          size,
          ...(oid !== how.has && {
            actions: { upload: { href: `${href}/${oid}` }, verify: { href: `${hub.endpoint}/verify` } },
          }),
        })),
      });
    }
    if (url === '/verify') {
      const { oid, size } = JSON.parse(`${body}`) as { oid: string; size: number };
      return store.get(oid)?.length === size ? json({}) : void refuse(response, 404);
    }
    if (url !== '/api/models/org/model/commit/main') return void refuse(response, 404);
    for (const line of `${body}`.trim().split('\n')) {
      const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
      if (key === 'file') files.set(value['path']!, Buffer.from(value['content']!, 'base64'));
      if (key === 'lfsFile') files.set(value['path']!, store.get(value['oid']!) ?? Buffer.from(`of ${value['oid']}`));
      if (key === 'header') told.push(value['summary']!);
    }
    json({ success: true, commitOid: 'c'.repeat(40), commitUrl: `${hub.endpoint}/org/model/commit/c` });
  };
  const hub = await serveHub(new Map(), {
    intercept: (request, response) => {
      if (request.method === 'PUT') {
        shown.push(request.headers.authorization);
        void bodyOf(request).then((body) => {
          store.set(request.url!.split('/').at(-1)!, body);
          response.end();
        });
      } else void answer(request, response);
      return true;
    },
  });
  return { endpoint: hub.endpoint, files, told, shown };
};

const weights = new Uint8Array(100_000).map((_, i) => (i * 7) % 251);
const config = new TextEncoder().encode('{"peft_type": "LORA"}');
const adapter = new Map([
  ['adapter_config.json', config],
  ['adapter_model.safetensors', weights],
]);

describe('pushFiles', () => {
  test.each([{}, { isThere: true }, { busy: 2 }])(
    'makes one commit, weights by way of the store, which is not shown the token: %o',
    async (how) => {
      const { endpoint, files, told, shown } = await takingHub(how);
      const made = await pushFiles('hub:org/model/sub', adapter, { endpoint, token, message: 'mine' });
      expect(made).toEqual({ commit: 'c'.repeat(40), url: `${endpoint}/org/model/commit/c` });
      expect([...files.keys()]).toEqual(['sub/adapter_config.json', 'sub/adapter_model.safetensors']);
      expect(files.get('sub/adapter_config.json')).toEqual(Buffer.from(config));
      expect(files.get('sub/adapter_model.safetensors')).toEqual(Buffer.from(weights));
      expect(told.at(-1)).toBe('mine');
      expect(shown).toEqual([undefined]);
    },
  );

  test('uploads nothing that the store has', async () => {
    const { endpoint, files, shown } = await takingHub({ has: sha256Of(weights) });
    await pushFiles('hub:org/model', adapter, { endpoint, token });
    expect(shown).toEqual([]);
    expect(`${files.get('adapter_model.safetensors')}`).toBe(`of ${sha256Of(weights)}`);
  });

  test('refuses by name, and tells no token', async () => {
    const { endpoint, files } = await takingHub();
    await expect(pushFiles('hub:org/model', adapter, { endpoint, token: null })).rejects.toThrow(
      /pushing needs a token/,
    );
    await expect(pushFiles('org/model', adapter, { endpoint, token })).rejects.toThrow(/no place on the hub/);
    const other = pushFiles('hub:org/model', adapter, { endpoint, token: 'hf_other' });
    await expect(other).rejects.toMatchObject({
      code: 'write-failed',
      message: expect.stringContaining('no rights for Bearer …'),
    });
    expect(files.size).toBe(0);
  });
});
