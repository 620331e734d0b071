import { applied, type Found, type GradientTransform, makeFinding, makeTransformRun } from '@peftjs/core';
import {
  buildProgram,
  compile,
  constant,
  type Executor,
  mul,
  normalValues,
  randomSource,
  reference,
  type Shape,
  sizeOf,
  sub,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { Law } from '@peftjs/transformer/testing';

/** The row of a gradient transform: an optimiser, or a part of one. */
export interface TransformRow {
  /** Makes it, as one does for a run. */
  make(): GradientTransform;
  /** `true`: a gradient of zero moves parameters all the same, as weight decay does. Default: they stay, to the bit. */
  readonly movesAtZero?: boolean;
  /** Learning rate of the laws. Default 0.05. */
  readonly rate?: number;
  /** Between one executor and the definition, after three steps. Default that of a forward pass, 2e-4. */
  readonly tolerance?: number;
}

/** The parameters of the laws: a matrix, a vector and a larger matrix. */
const shapes: Readonly<Record<string, Shape>> = { 'a.weight': [4, 6], 'a.bias': [6], 'b.weight': [8, 5] };

/** Differences of a run from the usual. */
interface Changes {
  readonly executor?: Executor;
  readonly steps?: number;
  /** The number of the first step. */
  readonly first?: number;
  /** Parameters from the last to the first. */
  readonly reversed?: boolean;
  /** Gradients as so many times their values, and the factor that makes up for it apart. */
  readonly scale?: number;
  /** The gradient's factor: 0 for none. */
  readonly gradient?: number;
  /** 0 for steps that are not finite. */
  readonly finite?: number;
  /** Values to go on from. */
  readonly from?: Values;
}

/** Values by name, of parameters and of what is kept for them. */
type Values = ReadonlyMap<string, TypedArray>;

const scalar = (value: number): Tensor => constant(Float32Array.of(value), []);
const drawn = (name: string, shape: Shape): Float32Array => normalValues(sizeOf(shape), 0.5, randomSource(5, name));

interface Run {
  step(): Promise<void>;
  values(): Promise<Values>;
  close(): void;
}

/** Opens a run: the gradient of a parameter is its distance from a target, so that ½ its square falls. */
const open = async (transform: GradientTransform, row: TransformRow, changes: Changes): Promise<Run> => {
  const { executor = reference(), reversed = false, scale = 1, gradient = 1, finite = 1, from } = changes;
  const params = Object.entries(shapes).map(([name, shape]) =>
    variable(name, shape, from?.get(name) ?? drawn(name, shape)),
  );
  const target = (p: Variable): Tensor => constant(drawn(`${p.node.name} target`, p.shape), p.shape);
  const given = params.map((p) => [p, mul(sub(p, target(p)), gradient * scale)] as const);
  const run = makeTransformRun(undefined);
  const gradients = {
    values: new Map(reversed ? given.toReversed() : given),
    ...(scale !== 1 && { scale: scalar(1 / scale) }),
  };
  const found: Found[] = [];
  const finding = makeFinding(executor);
  const made = applied(
    transform,
    gradients,
    run.step(scalar(finite), (one) => found.push(one)),
  );
  const program = buildProgram({ outputs: {}, updates: [...made.next, ...made.state] });
  const executable = await executor.compile(program);
  const kept = [...params, ...[...run.state.values()].flat()];
  for (const v of kept) {
    const before = from?.get(v.node.name);
    if (before) await executor.write(v, before);
  }
  const taken = new Set(program.inputs.map(({ name }) => name));
  let at = changes.first ?? 0;
  return {
    step: async () => {
      if (finding.isDue(at, found))
        await finding.find(at, found, scalar(finite), async (outputs) => {
          const once = await compile({ outputs }, { executor });
          const values = await once.run();
          once.close();
          return values;
        });
      const feeds = Object.entries(run.feeds(at++, row.rate ?? 0.05)).filter(([name]) => taken.has(name));
      await executable.run(Object.fromEntries(feeds));
    },
    values: async () => {
      const values = new Map<string, TypedArray>();
      for (const v of kept) values.set(v.node.name, (await executor.read(v)).slice());
      return values;
    },
    close: () => {
      executable.close();
      executor.release(kept);
    },
  };
};

/** All values after some steps. */
const after = async (transform: GradientTransform, row: TransformRow, changes: Changes = {}): Promise<Values> => {
  const run = await open(transform, row, changes);
  for (let i = 0; i < (changes.steps ?? 3); i++) await run.step();
  const values = await run.values();
  run.close();
  return values;
};

const mustEqual = (what: string, got: Values, wanted: Values, tolerance: number = tolerances.exact): void => {
  const names = [[...got.keys()], [...wanted.keys()]].map((all) => all.toSorted().join(', '));
  if (names[0] !== names[1]) throw new Error(`${what}: it keeps ${names[0]}, wanted ${names[1]}`);
  for (const [name, values] of wanted)
    mustBeNear(`${what}: ${name}`, Float32Array.from(got.get(name)!), Float32Array.from(values), { tolerance });
};

/** Those of parameters alone. */
const ofParams = (values: Values): Values => new Map(Object.keys(shapes).map((name) => [name, values.get(name)!]));

const firstValues = (): Values => new Map(Object.entries(shapes).map(([name, shape]) => [name, drawn(name, shape)]));

/** ½ the squared distance from the targets. */
const lossOf = (values: Values): number =>
  Object.entries(shapes).reduce((sum, [name, shape]) => {
    const target = drawn(`${name} target`, shape);
    return sum + target.reduce((own, wanted, i) => own + 0.5 * (wanted - values.get(name)![i]!) ** 2, 0);
  }, 0);

/** An executor computes three steps as the definition does. */
export const mustStepAlike = async (row: TransformRow, executor: Executor): Promise<void> => {
  const [got, wanted] = [await after(row.make(), row, { executor }), await after(row.make(), row)];
  mustEqual('after three steps', ofParams(got), ofParams(wanted), row.tolerance ?? tolerances.pass);
};

/** Every law of a gradient transform, on the reference executor. */
export const transformLaws = (row: TransformRow): readonly Law[] => [
  {
    name: 'state belongs to a run',
    check: async () => {
      const transform = row.make();
      const wanted = await after(row.make(), row);
      const executor = reference();
      const one = await open(transform, row, { executor });
      const other = await open(transform, row, { executor, gradient: 3 });
      for (let i = 0; i < 3; i++) {
        await one.step();
        await other.step();
      }
      mustEqual('a run beside another one', await one.values(), wanted);
    },
  },
  {
    name: 'a gradient of zero leaves what it should',
    check: async () => {
      const [first, last] = [firstValues(), ofParams(await after(row.make(), row, { gradient: 0 }))];
      if (!row.movesAtZero) return mustEqual('after steps of no gradient', last, first);
      for (const [name, values] of last) if (values.some((v, i) => v !== first.get(name)![i])) return;
      throw new Error('the row says movesAtZero, but steps of no gradient change nothing');
    },
  },
  {
    name: 'takes gradients that were gathered as sums',
    check: async () => {
      const [got, wanted] = [await after(row.make(), row, { scale: 4 }), await after(row.make(), row)];
      mustEqual('gradients of four times the size and a scale of a quarter', got, wanted, 1e-6);
    },
  },
  {
    name: 'goes on from its state, to the bit',
    check: async () => {
      const whole = await after(row.make(), row, { steps: 4 });
      const half = await after(row.make(), row, { steps: 2 });
      const rest = await after(row.make(), row, { steps: 2, first: 2, from: half });
      // The reference keeps double precision between steps, of which a checkpoint has a part.
      mustEqual('two steps, and two more in another run', rest, whole, tolerances.rounding);
    },
  },
  {
    name: 'the order of parameters does not matter',
    check: async () =>
      mustEqual(
        'parameters the other way round',
        await after(row.make(), row, { reversed: true }),
        await after(row.make(), row),
        1e-6,
      ),
  },
  {
    name: 'a step that is not finite changes nothing',
    check: async () => {
      const before = await after(row.make(), row, { steps: 2 });
      const still = await after(row.make(), row, { steps: 2, first: 2, from: before, finite: 0 });
      mustEqual('after steps that are not finite', still, before);
    },
  },
  {
    name: 'an optimiser goes downhill, and says that it steps',
    check: async () => {
      const [before, now] = [lossOf(firstValues()), lossOf(await after(row.make(), row, { steps: 10 }))];
      const { steps = false, name } = row.make();
      if (steps && !(now < before)) throw new Error(`${name}: the loss went from ${before} to ${now} in ten steps`);
      if (!steps && now < before)
        throw new Error(`${name}: it goes downhill from ${before} to ${now}, but does not say \`steps: true\``);
    },
  },
];
