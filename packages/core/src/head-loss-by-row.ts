import {
  add,
  broadcastTo,
  constant,
  div,
  equal,
  maximum,
  mul,
  reshape,
  select,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { CausalLM, Linear, LossOptions } from '@peftjs/transformer';

/**
 * A view whose head is another layer in each row: its loss is the mean over all labelled positions of the losses of each head over its
 * rows. `isRow(i)`: f32 [batch], 1 where a row has head `i`. The hidden states are made once.
 */
export const headLossByRow = (
  view: CausalLM,
  base: Linear,
  heads: readonly Linear[],
  isRow: (i: number) => Tensor,
): CausalLM => {
  const own = heads.flatMap((head, i) => (head === base ? [] : [i]));
  if (own.length === 0) return view;
  const [path] = view.paths('head') as readonly [string];
  const none = (): Tensor => constant(Float32Array.of(0), []);
  const loss = (ids: Tensor, labels: Tensor, options: LossOptions = {}): Tensor => {
    const ignored = constant(Int32Array.of(options.ignoreIndex ?? -100), []);
    const column = (rows: Tensor): Tensor => reshape(rows, [labels.shape[0]!, 1]);
    const others = sub(
      1,
      own.map(isRow).reduce((a, b) => add(a, b)),
    );
    const parts = [[base, others] as const, ...own.map((i) => [heads[i]!, isRow(i)] as const)].map(([head, rows]) => {
      const kept = select(column(rows), labels, broadcastTo(ignored, labels.shape));
      const count = sum(sub(1, equal(kept, ignored)));
      return { count, total: mul(count, view.with({ linears: new Map([[path, head]]) }).loss(ids, kept, options)) };
    });
    const all = (of: (part: (typeof parts)[number]) => Tensor): Tensor =>
      parts.map(of).reduce((a, b) => add(a, b), none());
    return div(
      all((p) => p.total),
      maximum(
        all((p) => p.count),
        1,
      ),
    );
  };
  return { ...view, loss, with: (patch) => headLossByRow(view.with(patch), base, heads, isRow) };
};
