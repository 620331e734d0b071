import type { Dispatch } from '../kernel.ts';
import type { Launch } from './fold.ts';

/** The text of a kernel with its declarations, and what each binding may do: the key of its pipeline. */
export interface Shader {
  readonly code: string;
  /** Of the storage buffers in binding order; the parameters follow as a uniform. */
  readonly access: readonly ('read' | 'read_write')[];
}

const fieldsOf = ({ params = {} }: Dispatch): readonly (readonly [string, number | { readonly f32: number }])[] =>
  Object.entries(params);

/** Directives must come first in WGSL, before the declarations that are put before the kernel. */
const hoistDirectives = (wgsl: string): { readonly directives: string; readonly body: string } => {
  const directives: string[] = [];
  const body = wgsl.replace(/^[ \t]*(?:enable|requires|diagnostic)\b[^;{]*;/gm, (line) => {
    directives.push(line.trim());
    return '';
  });
  return { directives: directives.map((line) => `${line}\n`).join(''), body };
};

/** `emit` of a dispatch that nothing has joined: it stores. */
const plainEmit = ({ emits, bindings }: Dispatch): string => {
  const out = bindings.find(({ buffer }) => buffer === emits);
  return out ? `fn emit(i: u32, value: ${out.element}) { ${out.as ?? out.buffer}[i] = value; }\n` : '';
};

/** Completes a dispatch's WGSL: bindings, `p`, `group_index` and `emit`. */
export const shaderOf = (dispatch: Dispatch): Shader => {
  const { bindings } = dispatch;
  const { directives, body } = hoistDirectives(dispatch.wgsl);
  const fields = fieldsOf(dispatch).map(([name, value]) => `${name}: ${typeof value === 'number' ? 'u32' : 'f32'}, `);
  const declared = bindings.map(
    ({ buffer, as = buffer, access, element }, i) =>
      `@group(0) @binding(${i}) var<storage, ${access}> ${as}: array<${element}>;\n`,
  );
  const code = `${directives}struct Params { ${fields.join('')}first_group: u32, groups_x: u32 }
${declared.join('')}@group(0) @binding(${bindings.length}) var<uniform> p: Params;
fn group_index(id: vec3<u32>) -> u32 { return p.first_group + id.y * p.groups_x + id.x; }
${plainEmit(dispatch)}${body}`;
  return { code, access: bindings.map(({ access }) => access) };
};

/** Bytes of a dispatch's parameters. */
export const paramBytes = (dispatch: Dispatch): number => 4 * (fieldsOf(dispatch).length + 2);

/** Writes the parameters of one launch in the order in which the shader declares them. */
export const writeParams = (view: DataView, at: number, dispatch: Dispatch, launch: Launch): void => {
  const fields = fieldsOf(dispatch);
  for (const [i, [, value]] of fields.entries()) {
    if (typeof value === 'number') view.setUint32(at + 4 * i, value, true);
    else view.setFloat32(at + 4 * i, value.f32, true);
  }
  view.setUint32(at + 4 * fields.length, launch.first, true);
  view.setUint32(at + 4 * fields.length + 4, launch.x, true);
};
