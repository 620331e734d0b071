import { grad } from '@peftjs/autograd';
import { type Adapted, attach, makeBetween, makeTransformRun, projected, type TransformRun } from '@peftjs/core';
import {
  adamwStep,
  buildProgram,
  compile,
  constant,
  type Executor,
  input,
  isPeftError,
  type ProgramSpec,
  sizeOf,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { upcomingId } from '@peftjs/tensor/executor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { meanOf, type TaskModel } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import { trainingLoss } from './gradient-laws.ts';
import type { MethodCase } from './row.ts';
import { inputsOf, logitsOf, logitsShape, subjectOf, valuesOf } from './subject.ts';

const zeros = (name: string, { shape }: Variable): Variable =>
  variable(name, shape, () => new Float32Array(sizeOf(shape)));

interface Step {
  readonly spec: ProgramSpec;
  /** Moments by parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
}

/** One step of AdamW and of the method's projection and statistics, as a program. */
const stepOf = (adapted: Adapted<TaskModel>, seed: Tensor, hyper: Tensor, run: TransformRun): Step => {
  const loss = trainingLoss(adapted, seed);
  const params = [...adapted.params];
  const grads = grad(
    loss,
    params.map(([, p]) => p),
  );
  const stepped = params.map(([name, p], i) => {
    const [m, v] = [zeros(`${name}.m`, p), zeros(`${name}.v`, p)];
    const [weight, m2, v2] = adamwStep(p, grads[i]!, m, v, hyper);
    return {
      p,
      moments: [m, v],
      weight: weight!,
      updates: [
        [p, weight!],
        [m, m2!],
        [v, v2!],
      ] as const,
    };
  });
  const at = (param: Variable): number => params.findIndex(([, p]) => p === param);
  const plain = new Map(stepped.map(({ p, weight }) => [p, weight] as const));
  const finite = constant(Float32Array.of(1), []);
  const next = adapted.project ? projected(adapted.project, plain, run.step(finite)) : plain;
  const statistics = adapted.statistics({
    gradient: (p) => grads[at(p)]!,
    updated: (p) => next.get(p)!,
  });
  return {
    spec: { outputs: { loss }, updates: [...new Map([...stepped.flatMap((s) => s.updates), ...next, ...statistics])] },
    state: new Map(stepped.map(({ p, moments }) => [p, moments])),
  };
};

/** Trains on one batch. */
const trainOn = async (
  adapted: Adapted<TaskModel>,
  executor: Executor,
  steps: number,
  learningRate: number,
): Promise<void> => {
  const [seed, hyper] = [input('seed', [], 'u32'), input('hyper', [8])];
  const run = makeTransformRun(undefined);
  const { spec, state } = stepOf(adapted, seed, hyper, run);
  const between = makeBetween({ executor, params: adapted.params.values(), state, rewarm: () => {} });
  const seeded = buildProgram(spec).inputs.some(({ name }) => name === 'seed');
  const executable = await compile(spec, { executor });
  for (let step = 1; step <= steps; step++) {
    const values = [learningRate, 0.9, 0.999, 1e-8, 0, 1 - 0.9 ** step, 1 - 0.999 ** step, 1];
    const fed = { hyper: Float32Array.from(values), ...(seeded && { seed: Uint32Array.of(step) }) };
    await executable.run({ ...fed, ...run.feeds(step - 1, learningRate) });
    if (adapted.decision?.due(step)) await adapted.decision.run(step, between);
  }
  executable.close();
};

const learns = (of: MethodCase): Law => ({
  name: 'it learns, and leaves the base as it was',
  check: async () => {
    const { base, adapted, executor } = await subjectOf(of, { shaken: false });
    const lossOf = async (model: TaskModel): Promise<number> =>
      (await valuesOf(meanOf(model.loss(inputsOf(model))), executor))[0]!;
    const [first, ofBase] = [await lossOf(adapted.model), await logitsOf(base, executor)];
    await trainOn(adapted, executor, 8, of.row.learningRate ?? 0.03);
    const last = await lossOf(adapted.model);
    if (!(last < first * 0.98)) throw new Error(`the loss goes from ${first} to ${last} in 8 steps on one batch`);
    mustBeNear('logits of the base after training', await logitsOf(base, executor), ofBase, {
      tolerance: tolerances.exact,
      shape: logitsShape(base),
    });
  },
});

const oneByOne = (of: MethodCase): Law => ({
  name: 'one by one is the same as a list',
  check: async () => {
    const { base, method, executor } = await subjectOf(of);
    const both = attach(base, [method, method]);
    const parts = both.method.parts!(base);
    const one = attach(base, [method], { seed: 1 });
    const two = attach(one.model, [method], { seed: 2 });
    // The task's own head belongs to none of them.
    for (const [i, { state }] of [one, two].entries())
      for (const [name, v] of state)
        await executor.write(both.state.get(parts[i]!.prefix + name) ?? both.state.get(name)!, await executor.read(v));
    mustBeNear(
      'logits of one by one against a list',
      await logitsOf(two.model, executor),
      await logitsOf(both.model, executor),
      { tolerance: tolerances.rounding, shape: logitsShape(base) },
    );
  },
});

const atOnce = (of: MethodCase, says: RegExp): Law => ({
  name: 'is attached in one list with others, and says so',
  check: async () => {
    const { base, method, executor } = await subjectOf(of);
    const both = attach(base, [method, method]).model;
    await logitsOf(both, executor);
    const one = attach(base, [method]).model;
    try {
      attach(one, [method]);
    } catch (error) {
      if (isPeftError(error) && says.test(error.message)) return;
      throw new Error(`it must be refused by a PeftError that says ${says}; it threw ${error}`, { cause: error });
    }
    throw new Error(`attaching to its view must be refused, saying ${says}; it was attached`);
  },
});

/** How many values of the forward pass the backward pass reads: what training must keep. */
const keptValues = (loss: () => Tensor, wrt: readonly Tensor[] | (() => readonly Tensor[])): number => {
  const forward = loss();
  const start = upcomingId();
  const grads = grad(forward, typeof wrt === 'function' ? wrt() : wrt);
  const kept = new Map<string, number>();
  const seen = new Set<Tensor['node']>();
  const stack = grads.map((g) => g.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.kind !== 'op' || node.id < start || seen.has(node)) continue;
    seen.add(node);
    for (const t of node.inputs) {
      if (!t) continue;
      stack.push(t.node);
      if (t.node.kind === 'op' && t.node.id < start) kept.set(`${t.node.id}.${t.index}`, sizeOf(t.shape));
    }
  }
  return [...kept.values()].reduce((a, b) => a + b, 0);
};

const memory = (of: MethodCase): Law => ({
  name: 'keeps no activations of the backbone',
  check: async () => {
    // Wide, so that the backbone's activations outweigh the method's own.
    const wide = { hiddenSize: 48, intermediateSize: 144 };
    const growth = async (kept: (model: TaskModel) => Promise<number>): Promise<number> =>
      ((await kept(of.base({ ...wide, layers: 4 }))) - (await kept(of.base({ ...wide, layers: 2 })))) / 2;
    const ofMethod = await growth(async (base) => {
      const { adapted } = await subjectOf(of, { base, shaken: false });
      return keptValues(() => trainingLoss(adapted), [...adapted.params.values()]);
    });
    const ofBackbone = await growth(async (base) =>
      keptValues(() => meanOf(base.loss(inputsOf(base))), [[...base.embeddings.values()][0]!.weight]),
    );
    if (ofMethod > ofBackbone / 3)
      throw new Error(
        `a layer more keeps ${ofMethod} values for the backward pass; a method that does not go back through the backbone keeps well below a third of its ${ofBackbone}`,
      );
  },
});

/** The laws of training. */
export const trainingLaws = (of: MethodCase): readonly Law[] => [
  learns(of),
  of.row.atOnce ? atOnce(of, of.row.atOnce) : oneByOne(of),
  ...(of.row.detaches === 'backbone' ? [memory(of)] : []),
];
