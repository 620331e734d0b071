import type { ops } from '@peftjs/tensor/executor';
import { attention, attention_grad } from './attention.ts';
import * as elementwise from './elementwise.ts';
import * as experts from './experts.ts';
import * as index from './index-ops.ts';
import * as loss from './loss.ts';
import { matmul } from './matmul.ts';
import * as norm from './norm.ts';
import * as optimizer from './optimizer.ts';
import * as packed from './packed.ts';
import * as reduce from './reduce.ts';
import { rope, rope_pair } from './rope.ts';
import type { RuleOf } from './rule.ts';
import * as shape from './shape.ts';
import * as sparse from './sparse.ts';

/** How each op of `@peftjs/tensor` becomes ONNX. Exhaustive: an op without a rule does not compile. */
export const lowerings: { readonly [K in keyof typeof ops]: RuleOf<(typeof ops)[K]> } = {
  ...elementwise,
  ...shape,
  ...reduce,
  ...index,
  ...norm,
  ...loss,
  ...optimizer,
  matmul,
  ...packed,
  attention,
  attention_grad,
  rope,
  ...sparse,
  ...experts,
  rope_pair,
};
