import { fromNode } from '../for-node.ts';

const { existsSync } = fromNode('node:fs');
const { join } = fromNode('node:path');

const triplets: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
};

const folders = (): string[] => {
  const triplet = triplets[process.arch];
  const own = (process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter(Boolean);
  const system = ['/usr/lib', '/lib', '/usr/lib64', '/lib64', '/usr/local/lib', '/run/opengl-driver/lib'];
  return [...own, ...(triplet ? [`/usr/lib/${triplet}`, `/lib/${triplet}`] : []), ...system];
};

/**
 * Whether Dawn would find the Vulkan loader on Linux; true elsewhere. Without one Dawn finds no adapter and writes
 * warnings of its own to stderr, which would look like a fault to those who just have no GPU.
 */
export const hasVulkanLoader = (): boolean =>
  process.platform !== 'linux' || folders().some((folder) => existsSync(join(folder, 'libvulkan.so.1')));
