import type { Binding, Dispatch } from '../kernel.ts';

/** A search for the `count` largest of each row, the values of a row lying `inner` apart. */
export interface Ranking {
  readonly rows: number;
  readonly size: number;
  readonly inner: number;
  readonly count: number;
  readonly element: string;
  /** Buffers to write, null where nobody reads them. */
  readonly values: string | null;
  readonly indices: string | null;
}

/**
 * One workgroup per row. Round after round it finds the largest of those that come after the one found before, larger values and then
 * smaller positions first; so nothing is sorted or marked. Meant for small counts.
 */
export const rankDispatch = ({ rows, size, inner, count, element, values, indices }: Ranking): Dispatch => {
  const wgsl = `
const none = 0xffffffffu;
var<workgroup> best_values: array<${element}, 64>;
var<workgroup> best_places: array<u32, 64>;
fn comes_first(v: ${element}, i: u32, w: ${element}, j: u32) -> bool {
  if (i == none) { return false; }
  return j == none || v > w || (v == w && i < j);
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group);
  if (row >= p.rows) { return; }
  let base = (row / p.inner) * p.size * p.inner + row % p.inner;
  var last_value: ${element} = 0;
  var last_place = none;
  for (var k = 0u; k < p.count; k++) {
    var value: ${element} = 0;
    var place = none;
    for (var j = lane; j < p.size; j += 64u) {
      let v = x[base + j * p.inner];
      let open = last_place == none || comes_first(last_value, last_place, v, j);
      if (open && comes_first(v, j, value, place)) { value = v; place = j; }
    }
    best_values[lane] = value;
    best_places[lane] = place;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
      if (lane < half && comes_first(best_values[lane + half], best_places[lane + half], best_values[lane], best_places[lane])) {
        best_values[lane] = best_values[lane + half];
        best_places[lane] = best_places[lane + half];
      }
      workgroupBarrier();
    }
    last_value = best_values[0];
    last_place = best_places[0];
    workgroupBarrier();
    if (lane == 0u) {
${values === null ? '' : `      ${values}[row * p.count + k] = last_value;\n`}${indices === null ? '' : `      ${indices}[row * p.count + k] = i32(min(last_place, p.size - 1u));\n`}    }
  }
}`;
  const bindings: readonly Binding[] = [
    { buffer: 'x', access: 'read', element },
    ...(values === null ? [] : [{ buffer: values, access: 'read_write', element } as const]),
    ...(indices === null ? [] : [{ buffer: indices, access: 'read_write', element: 'i32' } as const]),
  ];
  return { wgsl, bindings, params: { rows, size, inner, count }, workgroups: rows };
};
