import { checkpoint } from '@peftjs/autograd';
import type { ModelConfig } from '@peftjs/io';
import { slice, type Tensor } from '@peftjs/tensor';
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
  /** Called once per pass with the embedded rows: adds what an architecture adds to them, and gives the layers. */
  start(x: Tensor, forward: Forward): { readonly x: Tensor; block(x: Tensor, layer: number): Tensor };
}

const tokenStates = (
  architecture: Architecture,
  parts: Parts,
  ids: Tensor,
  options: ForwardOptions,
  config: ModelConfig,
): Tensor => {
  const { forward, x: embedded, prepended } = forwardOf(architecture.paths.embed[0]!, parts, ids, options, config);
  const { x: first, block } = architecture.start(embedded, forward);
  const x = architecture.paths.block.reduce((h, path, layer) => {
    const run = forward.at('block', path, layer, (y) => block(y, layer));
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
