// Kills training and savings of models at random moments: `pnpm --filter @peftjs/trainer kills [COUNT] [SEED]`, of each half as many. Fails at the first
// thing that is lost. Savings of adapters: `pnpm --filter @peftjs/io kills`.
import { killSaveModel, killTraining } from './kill-series.ts';

const [count, seed] = [Number(process.argv[2] ?? 300), Number(process.argv[3] ?? 1)];
const half = { seed, count: Math.ceil(count / 2) };
const [one, other] = await killSaveModel(half);
console.log(`${half.count} kills of saveModel: ${one} times the one model, ${other} times the other, always whole`);
const ends = await killTraining(half);
console.log(`${half.count} kills of training: ${ends} runs ended as if nobody had killed them, to the bit`);
