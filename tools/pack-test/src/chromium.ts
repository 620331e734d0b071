import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { brotliDecompressSync, createBrotliDecompress } from 'node:zlib';
import puppeteer, { type Browser } from 'puppeteer-core';

/** The folder of the npm package's archives. */
const archives = join(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')), '../../bin');

const untar = async (archive: string, folder: string): Promise<void> => {
  execFileSync('tar', ['-xf', '-', '-C', folder], {
    input: brotliDecompressSync(await readFile(join(archives, archive))),
  });
};

/** Unpacks Chromium with SwiftShader beside it, once; under another name first, so that a folder of this name is whole. */
const unpacked = async (): Promise<string> => {
  const version = createHash('sha256')
    .update(await readFile(join(archives, '../package.json')))
    .digest('hex')
    .slice(0, 16);
  const folder = join(tmpdir(), `peftjs-chromium-${process.getuid?.() ?? 'user'}-${version}`);
  if (existsSync(folder)) return folder;
  const staged = await mkdtemp(`${folder}.`);
  try {
    const program = join(staged, 'chromium');
    await pipeline(
      createReadStream(join(archives, 'chromium.br')),
      createBrotliDecompress(),
      createWriteStream(program),
    );
    await chmod(program, 0o755);
    await untar('swiftshader.tar.br', staged);
    const libraries = join(staged, 'libraries');
    await mkdir(libraries);
    await untar('al2023.tar.br', libraries);
    await rename(staged, folder);
  } catch (error) {
    await rm(staged, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
};

/** Whether the system has the libraries that Chromium needs; the package brings those of another. */
const runsAlone = (program: string): boolean => {
  try {
    execFileSync(program, ['--version', '--no-sandbox'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** A headless Chromium whose WebGPU is SwiftShader: all of it comes from npm. */
export const startChromium = async (): Promise<Browser> => {
  const folder = await unpacked();
  const executablePath = join(folder, 'chromium');
  const libraries = runsAlone(executablePath) ? {} : { LD_LIBRARY_PATH: join(folder, 'libraries', 'lib') };
  return puppeteer.launch({
    executablePath,
    headless: 'shell',
    args: [
      '--no-sandbox',
      '--no-zygote',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--enable-features=Vulkan',
      '--disable-dev-shm-usage',
    ],
    env: { ...process.env, ...libraries },
    protocolTimeout: 600_000,
  });
};
