import type { Shape } from '@peftjs/tensor';

/** Axes to walk, outermost first. */
export interface Walk {
  readonly sizes: Shape;
  readonly strides: readonly number[];
}

/**
 * A WGSL function `name(i: u32) -> u32`: where the i-th position of the walk lies. Sizes and strides are parameters, so the text depends on
 * the number of axes alone.
 */
export const walkFunction = (
  name: string,
  { sizes, strides }: Walk,
): { readonly wgsl: string; readonly params: Readonly<Record<string, number>> } => {
  const params: Record<string, number> = {};
  const lines: string[] = [];
  for (let axis = sizes.length - 1; axis >= 0; axis--) {
    params[`${name}_stride${axis}`] = strides[axis]!;
    if (axis === 0) {
      lines.push(`  at += rest * p.${name}_stride0;`);
      continue;
    }
    params[`${name}_size${axis}`] = sizes[axis]!;
    lines.push(`  at += (rest % p.${name}_size${axis}) * p.${name}_stride${axis};`, `  rest /= p.${name}_size${axis};`);
  }
  return {
    wgsl: `fn ${name}(i: u32) -> u32 {\n  var rest = i;\n  var at = 0u;\n${lines.join('\n')}\n  return at;\n}`,
    params,
  };
};
