import { expect, it } from 'vitest';
import { runScript } from './run-script.ts';

/** Makes and uses many variables and programs, drops them all, and tells what is held before, at most and after. */
const script = (worker: boolean): string => `
import { cpu } from '../src/index.ts';
import { compile, input, matmul, mul, variable } from '@peftjs/tensor';
const executor = await cpu({ threads: 1, worker: ${worker} });
const shared = variable('shared', [32, 32], new Float32Array(1024));
const x = input('x', [1, 32]);
const round = async () => {
  const own = variable('own', [32, 32], () => new Float32Array(1024));
  const program = await compile({ outputs: { y: matmul(matmul(x, shared), own) }, updates: [[own, mul(own, 2)]] }, { executor });
  await program.run({ x: new Float32Array(32) });
};
let most = 0;
for (let i = 0; i < 40; i++) {
  await round();
  most = Math.max(most, executor.memory().byKind.variables);
}
const settle = async () => {
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
await settle();
const { variables, temporaries } = executor.memory().byKind;
await executor.read(shared);
console.log(JSON.stringify({ most, variables, temporaries }));
await executor.close();
`;

it.each([false, true])('values and programs that nobody can reach any more are freed: worker %s', async (worker) => {
  const { stdout, stderr, code } = await runScript(script(worker), { flags: ['--expose-gc'] });
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  const { most, variables, temporaries } = JSON.parse(stdout) as Record<string, number>;
  const bytes = 4 * 32 * 32;
  // Each round has two arrays of its own, for old and new values; some rounds may be collected before the last.
  expect(most).toBeGreaterThan(bytes * (1 + 2));
  expect(variables).toBe(bytes);
  expect(temporaries).toBe(0);
});
