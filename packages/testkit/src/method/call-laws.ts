import { add, constant, evaluate, slice, type Tensor } from '@peftjs/tensor';
import { differenceOf, tolerances } from '@peftjs/tensor/testing';
import type { Call, Linear, Path, TaskModel } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { inputsOf, subjectOf } from './subject.ts';

/** A view of a model with every linear layer replaced. */
const withLayers = (model: TaskModel, replaced: (layer: Linear, path: Path) => Linear): TaskModel =>
  model.with({ linears: new Map([...model.linears].map(([path, layer]) => [path, replaced(layer, path)])) });

/** The calls that each layer gets. */
type Calls = Map<Path, Set<Call>>;

/** A view whose layers note the calls that they get. */
const probing = (model: TaskModel, seen: Calls): TaskModel =>
  withLayers(model, (layer, path) => ({
    ...layer,
    apply: (x, call) => {
      seen.set(path, (seen.get(path) ?? new Set()).add(call));
      return layer.apply(x, call);
    },
  }));

const handsOn = (of: MethodCase): Law => ({
  name: 'hands the very call on to the layers beneath',
  check: async () => {
    const [beneath, above]: [Calls, Calls] = [new Map(), new Map()];
    const { adapted } = await subjectOf(of, { base: probing(of.base(), beneath), shaken: false });
    // Methods that look at data have run passes already.
    beneath.clear();
    probing(adapted.model, above).outputs(inputsOf(adapted.base));
    const odd = [...beneath].filter(([path, calls]) => [...calls].some((call) => !above.get(path)?.has(call)));
    if (odd.length > 0)
      throw new Error(
        `${odd.map(([path]) => path).join(', ')}: the layer beneath gets another call than the layer got`,
      );
  },
});

/** Of a layer's output: all rows but the last, and the same once the last row of its input has moved. */
type Pair = readonly [before: Tensor, after: Tensor];

/** A view whose layers leave such pairs. */
const nudging = (model: TaskModel, pairs: Map<Path, Pair>): TaskModel =>
  withLayers(model, (layer, path) => ({
    ...layer,
    apply: (x, call) => {
      const y = layer.apply(x, call);
      const [, rows] = x.shape as readonly [number, number];
      if (x.shape.length === 3) {
        const nudge = Float32Array.from({ length: rows }, (_, i) => (i === rows - 1 ? 1 : 0));
        const moved = layer.apply(add(x, constant(nudge, [1, rows, 1])), call);
        const front = (t: Tensor): Tensor => slice(t, { axis: 1, start: 0, end: rows - 1 });
        pairs.set(path, [front(y), front(moved)]);
      }
      return y;
    },
  }));

const saysAcrossRows = (of: MethodCase): Law => ({
  name: 'says of its layers whether a row depends on others',
  check: async () => {
    const across = withLayers(of.base(), (layer) => ({ ...layer, acrossRows: true }));
    const over = (await subjectOf(of, { base: across, shaken: false })).adapted.model;
    // A task's head is trained whole beside the method, as a layer of its own.
    const own = [...over.linears].filter(([path]) => !over.trainedHeads.includes(path));
    const silent = own.filter(([, { acrossRows }]) => !acrossRows).map(([path]) => path);
    if (silent.length > 0)
      throw new Error(`${silent.join(', ')}: acrossRows of the layer beneath is lost; begin the layer with ...base`);
    const { adapted, executor } = await subjectOf(of);
    const pairs = new Map<Path, Pair>();
    nudging(adapted.model, pairs).outputs(inputsOf(adapted.base));
    for (const [path, [before, after]] of pairs) {
      if (adapted.model.linears.get(path)!.acrossRows) continue;
      const { a, b } = await evaluate({ a: before, b: after }, { executor });
      if (differenceOf(a!, b!, { tolerance: tolerances.rounding }) !== null)
        throw new Error(`${path}: a row depends on another one, so the layer must say acrossRows: true`);
    }
  },
});

/** The laws of a layer's part in a pass. */
export const callLaws = (of: MethodCase): readonly Law[] => [handsOn(of), saysAcrossRows(of)];
