/**
 * The losses of twenty steps beside TRL's, of any model: first `python make_sft.py MODEL FOLDER`, then
 * `node --conditions=@peftjs/source --import tsx sft.ts MODEL FOLDER`.
 */
import { join } from 'node:path';
import { cpu } from '@peftjs/onnx';
import { sftLosses } from './src/sft-run.ts';

const [model, folder] = process.argv.slice(2) as [string, string];
const executor = await cpu();
for (const name of ['completion', 'wrapped', 'packed']) {
  const { wanted, losses } = await sftLosses(model, join(folder, name), { executor, learningRate: 1e-3 });
  const apart = losses.map((loss, i) => Math.abs(loss - wanted[i]!));
  console.log(
    `${name}: ${losses[0]!.toFixed(4)} -> ${losses.at(-1)!.toFixed(4)}, TRL ${wanted[0]!.toFixed(4)} -> ${wanted.at(-1)!.toFixed(4)}, at most ${Math.max(...apart).toExponential(1)} apart`,
  );
}
await executor.close();
