// Plain JavaScript: it runs before any loader, to prepare the environment of the processes that use one.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/**
 * SwiftShader (a Vulkan driver that runs on the CPU), the Vulkan loader that Dawn opens by name, and the driver's
 * description.
 */
const wanted = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'];

const archivePath = () => {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')), '../../bin/swiftshader.tar.br');
  } catch (cause) {
    throw new Error(
      'software GPU: it comes with the package @sparticuz/chromium, which is not installed: npm install --save-dev @sparticuz/chromium',
      { cause },
    );
  }
};

/** The wanted members of a tar archive (POSIX ustar: 512-byte headers, name at 0, octal size at 124). */
const untar = (tar) => {
  const files = new Map();
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar
      .toString('latin1', at, at + 100)
      .replace(/\0.*$/s, '')
      .replace(/^\.\//, '');
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8);
    if (wanted.includes(name)) files.set(name, tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  const missing = wanted.filter((name) => !files.has(name));
  if (missing.length > 0)
    throw new Error(`software GPU: ${archivePath()} lacks ${missing.join(', ')}; reinstall the dependencies`);
  return files;
};

const exists = (path) =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * Unpacks into `folder` unless it is there already; under a temporary name first, so a folder of that name is whole.
 */
const unpack = async (archive, folder) => {
  if (await exists(folder)) return folder;
  await mkdir(dirname(folder), { recursive: true });
  const partial = await mkdtemp(`${folder}.`);
  try {
    for (const [name, bytes] of untar(brotliDecompressSync(archive)))
      await writeFile(join(partial, name), bytes, { mode: 0o755 });
    await rename(partial, folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    // Another process may have been first.
    if (!(await exists(folder))) throw error;
  }
  return folder;
};

const cacheFolders = () => [
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'peftjs'),
  join(tmpdir(), `peftjs-${process.getuid?.() ?? 'cache'}`),
];

export async function softwareGpuEnv() {
  const own = process.env['VK_DRIVER_FILES'] || process.env['VK_ICD_FILENAMES'];
  if (own || process.platform !== 'linux' || process.arch !== 'x64') return {};
  const archive = await readFile(archivePath());
  const name = `swiftshader-${createHash('sha256').update(archive).digest('hex').slice(0, 16)}`;
  const [home, temporary] = cacheFolders();
  const folder = await unpack(archive, join(home, name)).catch(() => unpack(archive, join(temporary, name)));
  const libraries = process.env['LD_LIBRARY_PATH'];
  return {
    LD_LIBRARY_PATH: libraries ? `${folder}:${libraries}` : folder,
    VK_DRIVER_FILES: join(folder, 'vk_swiftshader_icd.json'),
  };
}
