import type { ops } from '@peftjs/tensor';
import * as elementwise from './elementwise.ts';
import * as reduce from './reduce.ts';
import type { RuleOf } from './rule.ts';
import * as shape from './shape.ts';

/** How each op of `@peftjs/tensor` becomes ONNX. Exhaustive: an op without a rule does not compile. */
export const lowerings: { readonly [K in keyof typeof ops]: RuleOf<(typeof ops)[K]> } = { ...elementwise, ...shape, ...reduce };
