import { copyFile, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Bundler, buildSite, bundleForBrowser, withEsbuild, withVite } from './browser-bundle.ts';
import { startChromium } from './chromium.ts';
import type { Consumer } from './consumer.ts';
import { root, runNode } from './run.ts';
import { serveSite } from './site.ts';

const bundlers: readonly (readonly [string, Bundler])[] = [
  ['esbuild', withEsbuild],
  ['Vite', withVite],
];

const example = join(root, 'examples/browser');

/** Tests of what browsers get: bundles, and pages that run in one. */
export const browserTests = (installed: () => Consumer): void => {
  describe('in a browser', () => {
    let folder: string;
    let browser: Browser;
    let inNode: { readonly losses: readonly number[]; readonly adapter: Readonly<Record<string, string>> };
    beforeAll(async () => {
      ({ folder } = installed());
      browser = await startChromium();
      const scripts = join(import.meta.dirname, 'browser');
      for (const name of await readdir(scripts)) await copyFile(join(scripts, name), join(folder, name));
      await copyFile(join(example, 'fine-tune.js'), join(folder, 'fine-tune.js'));
      inNode = JSON.parse(await runNode(join(folder, 'node.js'), folder));
    }, 600_000);
    afterAll(() => browser?.close());

    const ids = ['tensor', 'autograd', 'io', 'data', 'transformer', 'core', 'lora', 'trainer', 'webgpu'];
    test.each(['peftjs', ...ids.map((id) => `@peftjs/${id}`)])('%s is bundled for browsers as it is', async (name) => {
      await bundleForBrowser(folder, name);
    });

    // Its training is that of the pages below: here Vite makes it as it is, and it begins.
    test('the page of examples/browser is made, and reads the model', async () => {
      const own = join(folder, 'example-browser');
      await mkdir(own);
      for (const name of ['index.html', 'main.js', 'fine-tune.js'])
        await copyFile(join(example, name), join(own, name));
      // A GPU of software is used only where it is asked for.
      const script = await readFile(join(own, 'main.js'), 'utf8');
      expect(script).toContain('webgpu()');
      await writeFile(join(own, 'main.js'), script.replace('webgpu()', "webgpu({ adapter: 'any' })"));
      const out = join(folder, 'site-example');
      await buildSite(own, out);
      const model = join(folder, 'node_modules/@peftjs/base-model/model');
      const site = await serveSite({ '/model/': model, '/': `${out}/` });
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      await page.goto(site.url);
      await vi.waitFor(() => expect(site.requests.join('\n')).toContain('GET /model/model.safetensors bytes='), {
        timeout: 60_000,
      });
      await page.close();
      await site.close();
      expect(problems).toEqual([]);
    }, 120_000);

    describe.each(bundlers)('a page that %s has made', (name, bundle) => {
      test('trains LoRA with the losses of Node, keeps the adapter, and offers it for download', async () => {
        const out = join(folder, `site-${name}`);
        await bundle(folder, 'page.js', out);
        const model = join(folder, 'node_modules/@peftjs/base-model/model');
        const site = await serveSite({ '/model/': model, '/': `${out}/` });
        const page = await browser.newPage();
        const problems: string[] = [];
        page.on('pageerror', (error) => problems.push(String(error)));
        page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
        await page.goto(site.url, { waitUntil: 'networkidle0' });
        const result = (await page.evaluate(`run('/model')`)) as {
          losses: number[];
          device: string;
          names: string[];
          kept: boolean[];
        };
        console.log(`${name}: losses ${result.losses.map((l) => l.toFixed(4)).join(', ')} on ${result.device}`);
        expect(problems.filter((text) => !text.includes('favicon'))).toEqual([]);
        expect(inNode.losses).toHaveLength(5);
        expect(result.losses).toEqual(inNode.losses.map((loss) => expect.closeTo(loss, 4)));
        expect(result.losses.at(-1)).toBeLessThan(result.losses[0]! - 0.02);
        expect(result.kept).toEqual([true, true]);
        // Weights come by ranges: none of them is the whole file.
        const ranges = site.requests.filter((r) => r.includes('GET /model/model.safetensors'));
        expect(ranges.length).toBeGreaterThan(10);
        expect(ranges.filter((r) => !r.includes('bytes='))).toEqual([]);

        const downloads = await mkdtemp(join(folder, 'downloads-'));
        const cdp = await browser.target().createCDPSession();
        await cdp.send('Browser.setDownloadBehavior', {
          behavior: 'allow',
          downloadPath: downloads,
          eventsEnabled: true,
        });
        for (const link of result.names) {
          const done = new Promise((finish) =>
            cdp.on('Browser.downloadProgress', ({ state }) => state === 'completed' && finish(state)),
          );
          await page.click(`a[download="${link}"]`);
          await done;
        }
        const { readAdapter } = await import(pathToFileURL(join(folder, 'node_modules/@peftjs/io/dist/index.js')).href);
        const adapter = await readAdapter(downloads);
        const own = join(downloads, 'of-node');
        await mkdir(own);
        await page.close();
        await site.close();
        expect(adapter.config.method).toBe('LORA');
        const wanted = JSON.parse(Buffer.from(inNode.adapter['adapter_config.json']!, 'base64').toString());
        // Each says where its own base came from; all else is the same.
        expect(wanted.base_model_name_or_path).toMatch(/[\\/]base-model[\\/]model$/);
        expect(adapter.config.raw).toEqual({ ...wanted, base_model_name_or_path: `${site.url}/model` });
        for (const [file, bytes] of Object.entries(inNode.adapter))
          await writeFile(join(own, file), Buffer.from(bytes, 'base64'));
        const reference = await readAdapter(own);
        expect([...adapter.tensors.keys()]).toEqual([...reference.tensors.keys()]);
        for (const [key, { data }] of adapter.tensors) {
          const off = reference.tensors.get(key).data.map((v: number, i: number) => Math.abs(v - data[i]));
          // Five steps of Adam at 1e-3 move a value by some 0.004.
          expect(Math.max(...off)).toBeLessThan(5e-4);
        }
      }, 600_000);
    });
  });
};
