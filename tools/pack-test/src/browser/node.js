// The same in Node: on the CPU, from a folder on disk. Prints the losses.
import { baseModelDir } from '@peftjs/base-model';
import { cpu } from '@peftjs/onnx';
import { fineTune } from './fine-tune.js';

const executor = await cpu();
const { losses, files } = await fineTune(baseModelDir(), executor);
await executor.close();
const adapter = {};
for (const name of await files.list()) adapter[name] = Buffer.from(await files.read(name)).toString('base64');
console.log(JSON.stringify({ losses, adapter }));
