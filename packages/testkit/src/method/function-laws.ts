import { isPeftError, sizeOf } from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { Dense, Linear, TaskModel } from '@peftjs/transformer';
import { type Law, mustApplyDense } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { logitsOf, logitsShape, methodOf, subjectOf } from './subject.ts';

const identity = (of: MethodCase): Law => ({
  name: of.row.identity === false ? 'changes the function from the start' : 'is the identity before training',
  check: async () => {
    const { base, adapted, executor } = await subjectOf(of, { shaken: false });
    const [got, wanted] = [await logitsOf(adapted.model, executor), await logitsOf(base, executor)];
    const shape = logitsShape(base);
    if (of.row.identity === false) {
      if (differenceOf(got, wanted, { tolerance: tolerances.rounding, shape }) === null)
        throw new Error('the first values keep the function, though the row says identity: false');
      return;
    }
    const tolerance = of.row.identity === 'near' ? tolerances.pass : tolerances.exact;
    mustBeNear('logits of the new adapter', got, wanted, { tolerance, shape });
  },
});

const declaration = (of: MethodCase): Law => ({
  name: 'is what its factory says',
  check: async () => {
    const base = of.base();
    const method = methodOf(of, base);
    const { factory } = of;
    const problems = [
      method.name !== factory.name && `its name is ${method.name}, the factory's ${factory.name}`,
      method.merges !== factory.merges && `it says merges: ${method.merges}, the factory ${factory.merges}`,
      !(factory.learningRate > 0) && `its learning rate is ${factory.learningRate}`,
      !((factory.narrowRate ?? 1) > 0) && `its rate for narrow models is ${factory.narrowRate}`,
      !factory.reads(method.config(base)) && 'the factory does not read the configuration that it writes',
    ].filter((p) => p !== false);
    if (problems.length > 0) throw new Error(problems.join('; '));
  },
});

/** Values of the task's own head, which is trained beside every method. */
const headSize = ({ linears, trainedHeads }: TaskModel): number =>
  trainedHeads.reduce((n, path) => {
    const { weight, bias } = linears.get(path)!.dense();
    return n + sizeOf(weight.shape) + sizeOf(bias?.shape ?? [0]);
  }, 0);

const count = (of: MethodCase): Law => ({
  name: 'trains as many values as its formula says',
  check: async () => {
    const { base, adapted } = await subjectOf(of, { shaken: false });
    const got = [...adapted.params.values()].reduce((n, p) => n + sizeOf(p.shape), 0);
    const wanted = of.row.parameters(base) + headSize(base);
    const list = [...adapted.params].map(([name, p]) => `  ${name} [${p.shape}]`).join('\n');
    if (got !== wanted) throw new Error(`it trains ${got} values, the formula says ${wanted}:\n${list}`);
  },
});

/** The layer's values, or null where it rightly says that it has none. */
const denseOf = (layer: Linear, merges: boolean): Dense | null => {
  try {
    return layer.dense();
  } catch (error) {
    if (!merges && isPeftError(error) && error.code === 'not-mergeable') return null;
    throw error;
  }
};

const apply = (of: MethodCase): Law => ({
  name: 'applies what dense() says, on every layer that it changes',
  check: async () => {
    const { base, adapted, executor } = await subjectOf(of);
    for (const [path, layer] of adapted.model.linears) {
      const dense = layer === base.linears.get(path) ? null : denseOf(layer, of.factory.merges);
      if (dense) await mustApplyDense(path, layer, dense, { executor });
    }
  },
});

const baseUnchanged = (of: MethodCase): Law => ({
  name: 'changes its own view of the base, and no other',
  check: async () => {
    const { base, adapted, executor } = await subjectOf(of);
    const shape = logitsShape(base);
    const untouched = await logitsOf(of.base(), executor);
    const view = await logitsOf(adapted.model, executor);
    if (differenceOf(view, untouched, { tolerance: tolerances.rounding, shape }) === null)
      throw new Error('with other values in every parameter the view still computes what the base does');
    mustBeNear('logits of the base', await logitsOf(base, executor), untouched, { tolerance: tolerances.exact, shape });
  },
});

/** The laws of a method's function. */
export const functionLaws = (of: MethodCase): readonly Law[] =>
  [declaration, identity, count, apply, baseUnchanged].map((law) => law(of));
