import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openGpu } from './dawn.ts';
import { captureErrors } from './faults.ts';
import { toggles } from './toggles.ts';

const node = (script: string, env = process.env) => {
  const root = fileURLToPath(new URL('../../../..', import.meta.url));
  const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '--eval', script];
  return promisify(execFile)(process.execPath, args, { cwd: root, env, timeout: 60_000 });
};
const url = JSON.stringify(new URL('./dawn.ts', import.meta.url).href);

test('Dawn knows every toggle that is typed', async () => {
  const folder = dirname(createRequire(import.meta.url).resolve('webgpu'));
  const platform = process.platform === 'darwin' ? 'darwin-universal' : `${process.platform}-${process.arch}`;
  const binary = await readFile(join(folder, 'dist', platform, 'dawn.node'));
  expect(toggles.filter((name) => !binary.includes(`\0${name}\0`))).toEqual([]);
  expect(binary.includes('\0skip_validations\0')).toBe(false);
});

describe('opening', () => {
  test('raises limits to the adapter and takes features by name', async () => {
    const gpu = await openGpu({ adapter: 'software', features: ['subgroups'] });
    try {
      expect(gpu.device.limits.maxStorageBuffersPerShaderStage).toBeGreaterThan(8);
      expect(gpu.device.limits.maxBufferSize).toBeGreaterThan(256 * 2 ** 20);
      expect(gpu.device.features.has('timestamp-query')).toBe(false);
      expect(gpu.facts).toMatchObject({ software: true, subgroups: gpu.device.features.has('subgroups'), f16: false });
      expect(gpu.description).toMatch(/swiftshader|llvmpipe/i);
    } finally {
      gpu.close();
    }
  });

  test('a software adapter is taken only when asked for', async () => {
    await expect(openGpu()).rejects.toMatchObject({
      code: 'device-unavailable',
      message: expect.stringContaining("adapter: 'software'"),
    });
  });

  test("'any' takes what there is", async () => {
    const gpu = await openGpu({ adapter: 'any' });
    expect(gpu.facts.software).toBe(true);
    gpu.close();
  });

  test('f16 products are refused where the adapter has none', async () => {
    await expect(openGpu({ adapter: 'software', compute: 'f16', features: ['subgroups'] })).rejects.toMatchObject({
      code: 'device-unavailable',
      message: expect.stringContaining('shader-f16'),
    });
  });

  test('no driver at all is one clear error', async () => {
    const script = `const { openGpu } = await import(${url}); await openGpu().catch((e) => console.log(e.code + ': ' + e.message));`;
    const { VK_DRIVER_FILES: _, VK_ICD_FILENAMES: __, LD_LIBRARY_PATH: ___, ...env } = process.env;
    const { stdout } = await node(script, { ...env, VK_DRIVER_FILES: '/nowhere.json' });
    expect(stdout).toMatch(/^device-unavailable: webgpu: there is no adapter; .*\n$/);
  });
});

describe('a browser', () => {
  afterEach(() => vi.unstubAllGlobals());

  test('is asked for its own WebGPU', async () => {
    const requestAdapter = vi.fn(async () => null);
    vi.stubGlobal('navigator', { gpu: { requestAdapter } });
    await expect(openGpu({ powerPreference: 'low-power' })).rejects.toMatchObject({ code: 'device-unavailable' });
    expect(requestAdapter).toHaveBeenCalledWith({ powerPreference: 'low-power' });
  });
});

describe('faults', () => {
  test('errors of a scope reject with what WebGPU said', async () => {
    const gpu = await openGpu({ adapter: 'software' });
    try {
      const { done } = captureErrors(gpu.device, 'a buffer', () =>
        gpu.device.createBuffer({ size: 2 ** 50, usage: 0x80 }),
      );
      await expect(done).rejects.toMatchObject({ code: 'device-error', message: expect.stringContaining('a buffer') });
      expect(() => gpu.check()).not.toThrow();
    } finally {
      gpu.close();
    }
  });

  test('errors outside scopes are kept for the next check', async () => {
    const gpu = await openGpu({ adapter: 'software' });
    try {
      gpu.device.createBuffer({ size: 2 ** 50, usage: 0x80 });
      await gpu.device.queue.onSubmittedWorkDone();
      await vi.waitFor(() => expect(() => gpu.check()).toThrow(expect.objectContaining({ code: 'device-error' })));
    } finally {
      gpu.close();
    }
  });

  test('a closed device says so', async () => {
    const gpu = await openGpu({ adapter: 'software' });
    gpu.close();
    expect(() => gpu.check()).toThrow(expect.objectContaining({ code: 'bad-program' }));
  });

  test('the process ends by itself after close, and prints nothing', async () => {
    const script = `const { openGpu } = await import(${url}); globalThis.gpu = await openGpu({ adapter: 'software' }); gpu.close();`;
    expect((await node(script)).stdout).toBe('');
  });
});
