import type { Binding, Dispatch } from '../kernel.ts';

const nameOf = ({ as, buffer }: Binding): string => as ?? buffer;

/**
 * A dispatch in which inputs share the memory of an output: WebGPU forbids binding one buffer for reading and for
 * writing, so the input's binding goes, and the text reads the output's array instead. `sameMemory` compares buffer
 * names of the dispatch.
 */
export const shareBindings = (dispatch: Dispatch, sameMemory: (a: string, b: string) => boolean): Dispatch => {
  const written = dispatch.bindings.filter((b) => b.access === 'read_write');
  let { wgsl } = dispatch;
  const bindings = dispatch.bindings.filter((input) => {
    const out = input.access === 'read' && written.find((b) => sameMemory(b.buffer, input.buffer));
    if (!out) return true;
    wgsl = wgsl.replace(new RegExp(`\\b${nameOf(input)}\\b`, 'g'), nameOf(out));
    return false;
  });
  return bindings.length === dispatch.bindings.length ? dispatch : { ...dispatch, wgsl, bindings };
};
