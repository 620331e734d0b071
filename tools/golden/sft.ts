/**
 * The losses of twenty steps beside TRL's, of any model: first `python make_sft.py MODEL FOLDER`, then
 * `node --conditions=@peftjs/source --import tsx sft.ts MODEL FOLDER [CASE ...]`.
 */
import { join } from 'node:path';
import { cpu } from '@peftjs/onnx';
import { saidTexts, sftLosses } from './src/sft-run.ts';

const [model, folder, ...cases] = process.argv.slice(2) as [string, string, ...string[]];
const executor = await cpu();
for (const name of cases.length > 0 ? cases : ['completion', 'wrapped', 'packed', 'chat']) {
  const { wanted, losses } = await sftLosses(model, join(folder, name), { executor, learningRate: 1e-3 });
  const apart = losses.map((loss, i) => Math.abs(loss - wanted[i]!));
  console.log(
    `${name}: ${losses[0]!.toFixed(4)} -> ${losses.at(-1)!.toFixed(4)}, TRL ${wanted[0]!.toFixed(4)} -> ${wanted.at(-1)!.toFixed(4)}, at most ${Math.max(...apart).toExponential(1)} apart`,
  );
}
if (cases.length === 0 || cases.includes('chat')) {
  const { wanted, ours } = await saidTexts(join(folder, 'chat'));
  console.log(
    `chat: ${ours.filter((text, i) => text === wanted[i]).length} of ${wanted.length} rows have TRL's tokens and labels`,
  );
}
await executor.close();
