import { webgpu } from '@peftjs/webgpu';
import { fineTune } from './fine-tune.js';

const executor = await webgpu(); // navigator.gpu; throws device-unavailable where there is none
const { files } = await fineTune('/model', executor);
await executor.close();

for (const name of await files.list()) {
  const link = document.createElement('a');
  link.download = name;
  link.href = URL.createObjectURL(new Blob([await files.read(name)]));
  link.textContent = name;
  document.body.append(link);
}
