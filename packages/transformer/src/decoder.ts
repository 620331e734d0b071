import { checkpoint } from '@peftjs/autograd';
import type { ModelConfig } from '@peftjs/io';
import { add, slice, type Tensor } from '@peftjs/tensor';
import type { CausalLM, ForwardOptions } from './causal-lm.ts';
import { checkIds } from './check-ids.ts';
import { type Forward, forwardOf } from './forward.ts';
import { headLoss } from './head-loss.ts';
import { type Parts, patchParts } from './parts.ts';
import type { Path, SiteName } from './sites.ts';

/** What tells one decoder architecture from another; the rest of the forward pass is shared. */
export interface Architecture {
  readonly paths: { readonly [S in SiteName]: readonly Path[] };
  readonly finalNorm: Path;
  /** The embedding whose rows are added to the embedded tokens by position; null where positions are told to the layers alone. */
  readonly positionTable: Path | null;
  /** Called once per pass: what a layer makes of the residual stream. */
  layers(forward: Forward): (x: Tensor, layer: number) => Tensor;
}

const positionTableOf = ({ positionTable }: Architecture, { embeddings }: Parts): Tensor | null =>
  positionTable === null ? null : embeddings.get(positionTable)!.weight;

const addPositions = (x: Tensor, table: Tensor, forward: Forward): Tensor => {
  const rowsOf = (start: number, count: number): Tensor => slice(table, { axis: 0, start, end: start + count });
  return add(x, forward.positionRows(rowsOf, table.shape[0]!));
};

const tokenStates = (
  architecture: Architecture,
  parts: Parts,
  ids: Tensor,
  options: ForwardOptions,
  config: ModelConfig,
): Tensor => {
  const { forward, x: embedded, prepended } = forwardOf(architecture.paths.embed[0]!, parts, ids, options, config);
  const table = positionTableOf(architecture, parts);
  const first = table ? addPositions(embedded, table, forward) : embedded;
  const layer = architecture.layers(forward);
  const x = architecture.paths.block.reduce((h, path, i) => {
    const run = forward.at('block', path, i, (y) => layer(y, i));
    return options.checkpoint ? checkpoint(run)(h) : run(h);
  }, first);
  const y = forward.at('head', architecture.paths.head[0]!, null, (h) => forward.norm(architecture.finalNorm, null, h))(
    x,
  );
  return prepended > 0 ? slice(y, { axis: 1, start: prepended, end: y.shape[1]! }) : y;
};

/** A model of an architecture and its parts. */
export const decoder = (config: ModelConfig, architecture: Architecture, parts: Parts): CausalLM => {
  const head = architecture.paths.head[0]!;
  const hidden = (ids: Tensor, options: ForwardOptions = {}): Tensor => {
    checkIds('model', ids);
    return tokenStates(architecture, parts, ids, options, config);
  };
  return {
    config,
    linears: parts.linears,
    norms: parts.norms,
    embeddings: parts.embeddings,
    around: parts.around,
    batchSize: parts.batchSize,
    positionsLeft: (positionTableOf(architecture, parts)?.shape[0] ?? Number.POSITIVE_INFINITY) - parts.positionShift,
    paths: (site) => architecture.paths[site],
    with: (patch) => decoder(config, architecture, patchParts(parts, patch, architecture.paths)),
    hidden,
    logits: (ids, { lastOnly = false, ...options } = {}) => {
      const x = hidden(ids, options);
      const tokens = x.shape[1]!;
      return parts.linears.get(head)!.apply(lastOnly ? slice(x, { axis: 1, start: tokens - 1, end: tokens }) : x);
    },
    loss: (ids, labels, { ignoreIndex = -100, ...options } = {}) => {
      checkIds('loss', ids, labels);
      return headLoss(parts.linears.get(head)!, hidden(ids, options), labels, ignoreIndex);
    },
  };
};
