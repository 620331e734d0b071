import { add, compile, type Executor, matmul, mul, reference, type Variable, variable } from '@peftjs/tensor';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

let cpus: readonly [Executor, Executor];
beforeAll(async () => {
  cpus = [await cpu({ threads: 1 }), await cpu({ threads: 1 })];
});
afterAll(async () => {
  for (const executor of cpus) await executor.close();
});

const pairs: readonly (readonly [string, () => readonly [Executor, Executor]])[] = [
  ['cpu and reference', () => [cpus[0], reference()]],
  ['reference and cpu', () => [reference(), cpus[0]]],
  ['one cpu executor and another', () => cpus],
  ['one reference executor and another', () => [reference(), reference()]],
];

describe.each(pairs)('of %s', (_, make) => {
  let there: Executor;
  let here: Executor;
  let w: Variable;
  beforeEach(() => {
    [there, here] = make();
    w = variable('w', [2], Float32Array.of(1, 2));
  });
  const grow = async (on: Executor): Promise<void> => {
    const step = await compile({ updates: [[w, mul(w, 2)]] }, { executor: on });
    await step.run();
    step.close();
  };
  const look = async (on: Executor): Promise<unknown> => {
    const program = await compile({ outputs: { y: add(w, 1) } }, { executor: on });
    try {
      return [...(await program.run())['y']!];
    } finally {
      program.close();
    }
  };
  const refused = (who: string) => ({
    code: 'bad-program',
    message: expect.stringMatching(
      new RegExp(`^${here.name}: ${who} needs the values of w, .* on .*${there.name} executor`),
    ),
  });

  it('all give the initial value while nobody has changed it', async () => {
    expect([await look(there), await look(here)]).toEqual([
      [2, 3],
      [2, 3],
    ]);
    expect(await here.read(w)).toEqual(await there.read(w));
  });

  it('the other refuses to read, run and update what the one has trained', async () => {
    await grow(there);
    await expect(here.read(w)).rejects.toMatchObject(refused('read'));
    await expect(look(here)).rejects.toMatchObject(refused('a run'));
    await expect(grow(here)).rejects.toMatchObject(refused('a run'));
    expect(await there.read(w)).toEqual(Float32Array.of(2, 4));
  });

  it('an initial value that the other has used before does not count', async () => {
    expect(await look(here)).toEqual([2, 3]);
    await grow(there);
    await expect(look(here)).rejects.toMatchObject(refused('a run'));
  });

  it('what is written counts as what is trained, on both sides', async () => {
    await there.write(w, Float32Array.of(5, 6));
    await expect(here.read(w)).rejects.toMatchObject(refused('read'));
    await here.write(w, await there.read(w));
    await grow(here);
    expect([await there.read(w), await here.read(w)]).toEqual([Float32Array.of(5, 6), Float32Array.of(10, 12)]);
  });

  it('a program that only writes it needs no value of it', async () => {
    await grow(there);
    const set = await compile(
      { updates: [[w, add(variable('one', [2], Float32Array.of(1, 1)), 1)]] },
      { executor: here },
    );
    await set.run();
    expect(await here.read(w)).toEqual(Float32Array.of(2, 2));
  });

  it('a variable that starts from it is refused as well', async () => {
    const base = variable('base', [1, 1], Float32Array.of(3));
    const step = await compile({ updates: [[base, mul(base, 2)]] }, { executor: there });
    await step.run();
    const from = variable('from', [1, 1], matmul(base, base));
    await expect(here.read(from)).rejects.toMatchObject({
      code: 'bad-program',
      message: expect.stringContaining('an initial value needs the values of base'),
    });
  });

  it('what is released starts anew, anywhere', async () => {
    await grow(there);
    there.release([w]);
    expect([await look(here), await look(there)]).toEqual([
      [2, 3],
      [2, 3],
    ]);
  });
});

it('what a closed executor had is lost, and told as such', async () => {
  const [first, second] = [reference(), reference()];
  const w = variable('w', [1], Float32Array.of(1));
  await (await compile({ updates: [[w, mul(w, 2)]] }, { executor: first })).run();
  await first.close();
  await expect(first.read(w)).rejects.toMatchObject({
    code: 'bad-program',
    message: expect.stringContaining('closed'),
  });
  await expect(second.read(w)).rejects.toMatchObject({ code: 'bad-program' });
});

it('an update that fails changes nothing', async () => {
  const [w, bad] = [
    variable('w', [1], Float32Array.of(1)),
    variable('bad', [1], () => {
      throw new Error('no such file');
    }),
  ];
  const step = await compile({ updates: [[w, add(w, bad)]] }, { executor: cpus[0] });
  await expect(step.run()).rejects.toThrow('no such file');
  expect(await cpus[1].read(w)).toEqual(Float32Array.of(1));
});
