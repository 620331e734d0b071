import { sizeOf } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import { singlesIn } from './combine.ts';
import type { Method } from './method.ts';
import { isHeads } from './task-heads.ts';

/** Tensors of one method whose names differ in the numbers of layers alone. */
export interface SummaryRow {
  /** Its name; `head` for a task's own. */
  readonly method: string;
  /** Their name with the numbers left out: `model.layers.*.self_attn.q_proj.lora_A.weight`. */
  readonly pattern: string;
  readonly trained: boolean;
  readonly tensors: number;
  readonly values: number;
}

/** The training of an adapter in numbers. */
export interface Summary {
  readonly methods: readonly { readonly name: string; readonly merges: boolean }[];
  readonly rows: readonly SummaryRow[];
  /** Values that are trained. */
  readonly trained: number;
  /** Values of the base. */
  readonly base: number;
  /** `trained / base` */
  readonly share: number;
  /** Whether all of it folds into the weights. */
  readonly merges: boolean;
  /** The file that `save` writes: values, trained and frozen, and their bytes. A method may save fewer once it is trained (`compact`). */
  readonly file: { readonly layout: 'peft' | 'adapter-hub'; readonly values: number; readonly bytes: number };
  /** All of it for people, in lines. */
  readonly text: string;
}

const plain = (name: string): string => name.replace(/\.\d+(?=\.)/g, '.*');

/** The method that a tensor belongs to, and its name there. In the layout of adapter-hub names do not tell, so it is all of them. */
const ownerOf = (base: Model, method: Method, tensor: string): readonly [method: string, rest: string] => {
  const among = (method.parts?.(base) ?? []).filter(({ prefix }) => tensor.startsWith(prefix));
  const [only] = among;
  return among.length === 1
    ? ownerOf(only!.view, only!.method, tensor.slice(only!.prefix.length))
    : [method.name, tensor];
};

/** Values of the base, a table that two layers share counted once. */
const valuesOf = ({ linears, norms, embeddings, experts }: Model): number => {
  const sizes = new Map<unknown, number>();
  const add = (...tensors: readonly ({ readonly node: unknown; readonly shape: readonly number[] } | null)[]): void => {
    for (const t of tensors) if (t) sizes.set(t.node, sizeOf(t.shape));
  };
  for (const { weight } of embeddings.values()) add(weight);
  for (const { weight, bias } of norms.values()) add(weight, bias);
  for (const { dense } of experts.values()) add(dense());
  for (const layer of linears.values()) {
    const { weight, bias } = layer.dense();
    add(weight, bias);
  }
  return [...sizes.values()].reduce((a, b) => a + b, 0);
};

const count = (n: number): string => n.toLocaleString('en-US');

const textOf = ({ methods, rows, trained, base, share, merges, file }: Omit<Summary, 'text'>): string => {
  const names = methods.map(({ name }) => name).join(' + ') || 'nothing';
  const keeps = methods.filter((m) => !m.merges).map(({ name }) => name);
  const table = rows.map((row) => [
    row.pattern,
    row.method,
    count(row.tensors),
    count(row.values),
    row.trained ? '' : 'frozen',
  ]);
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(0, ...table.map((cells) => cells[i]!.length)));
  const lines = table.map((cells) =>
    cells.map((cell, i) => (i === 2 || i === 3 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  '),
  );
  return [
    `${names}: ${count(trained)} trained values, ${(100 * share).toPrecision(3)} % of the base's ${count(base)}`,
    ...lines.map((line) => `  ${line}`.trimEnd()),
    merges ? 'folds into the weights' : `does not fold into the weights: ${keeps.join(', ')}`,
    `a file of it holds ${count(file.values)} values in ${count(file.bytes)} bytes, in the layout of ${file.layout}`,
  ].join('\n');
};

/** The parts of an adapter in numbers: values that are trained by method and name, their share of the base, whether they merge, the size of a file. */
export const summary = ({ base, method, params, state }: Adapted<Model>): Summary => {
  const rows = new Map<string, SummaryRow>();
  for (const [tensor, { shape }] of state) {
    const [owner, rest] = isHeads(base, tensor) ? ['head', tensor] : ownerOf(base, method, tensor);
    const trained = params.has(tensor);
    const pattern = plain(rest);
    const key = JSON.stringify([owner, pattern, trained]);
    const { tensors = 0, values = 0 } = rows.get(key) ?? {};
    rows.set(key, { method: owner, pattern, trained, tensors: tensors + 1, values: values + sizeOf(shape) });
  }
  const sum = (list: Iterable<{ readonly shape: readonly number[] }>): number =>
    [...list].reduce((n, { shape }) => n + sizeOf(shape), 0);
  const [trained, ofBase, saved] = [sum(params.values()), valuesOf(base), sum(state.values())];
  const found: Omit<Summary, 'text'> = {
    methods: singlesIn(base, method).map(({ name, merges }) => ({ name, merges })),
    rows: [...rows.values()],
    trained,
    base: ofBase,
    share: trained / ofBase,
    merges: method.merges,
    file: {
      layout: method.layout ?? 'peft',
      values: saved,
      bytes: [...state.values()].reduce((n, v) => n + sizeOf(v.shape) * bytesPer[v.dtype], 0),
    },
  };
  return { ...found, text: textOf(found) };
};

const bytesPer = { f32: 4, i32: 4, u32: 4, f16: 2, u8: 1 } as const;
