// Tries readers with odd files: `pnpm fuzz -- --inputs 1000000 [--seed 1] [--target torch]`, each target in turn, until there were so many inputs.
// What is found is told with the arguments that try it again alone: `--seed 1 --target torch --index 17`. Fails if anything was found.
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';
import { targets } from './targets/index.ts';

const { values } = parseArgs({
  // pnpm hands on the `--` that comes before them.
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  options: {
    inputs: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    index: { type: 'string' },
  },
});
const isCount = (text: string | undefined): boolean => text === undefined || /^\d+$/.test(text);
for (const name of ['inputs', 'seed', 'index'] as const)
  if (!isCount(values[name])) throw new Error(`--${name} must be a whole number, got ${values[name]}`);
const wanted = targets.filter(({ name }) => values.target === undefined || name === values.target);
if (wanted.length === 0)
  throw new Error(`there is no target ${values.target}; there are ${targets.map((t) => t.name).join(', ')}`);

const seed = Number(values.seed);
const one = values.index === undefined ? null : Number(values.index);
/** Rates differ a hundredfold, so each target has its share in rounds of this size. */
const round = one === null ? 2000 : 1;
const inputs = one === null ? Number(values.inputs) : wanted.length;
let [tried, found] = [0, 0];
console.error(`seed ${seed}, ${inputs} inputs of ${wanted.map(({ name }) => name).join(', ')}`);
for (let from = one ?? 0; tried < inputs; from += round)
  for (const target of wanted) {
    const count = Math.min(round, inputs - tried);
    if (count <= 0) break;
    const { accepted, refused, findings } = await fuzz(target, { seed, from, count });
    tried += count;
    found += findings.length;
    console.error(`${target.name}: ${from} to ${from + count - 1}: ${accepted} read, ${refused} refused`);
    for (const { index, what } of findings)
      console.log(`--seed ${seed} --target ${target.name} --index ${index}: ${what}\n`);
  }
console.log(`${tried} inputs of seed ${seed}, ${found} findings`);
process.exitCode = found > 0 ? 1 : 0;
