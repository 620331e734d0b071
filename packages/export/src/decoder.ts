import { concat, input, PeftError, type ProgramSpec, type Tensor } from '@peftjs/tensor';
import type { KvCache, Path, TaskModel } from '@peftjs/transformer';

/** The sizes of a decoder's pass, by the names that Optimum gives them. */
export interface DecoderSizes {
  readonly batch_size: number;
  readonly past_sequence_length: number;
  readonly sequence_length: number;
}

const cannot = (what: string, remedy: string): PeftError =>
  new PeftError('not-mergeable', `exportModel: ${what}; ${remedy}`);

const rowsInFront =
  'the model puts rows in front of the tokens, which a file with a cache would do again at every step';

/**
 * Checks, by a pass over one token, that all a pass leaves to later ones are keys and values of its tokens in each layer. Throws
 * `not-mergeable`.
 */
const checkCacheable = (model: TaskModel): void => {
  const found = new Set<Path>();
  let rows = 0;
  const keeps = (name: string): PeftError =>
    cannot(`the model keeps ${name} from pass to pass, and a file keeps keys and values alone`, 'give cache: false');
  const probe: KvCache = {
    append: (path, own) => {
      found.add(path);
      rows = own.k.shape[2]!;
      return own;
    },
    cross: () => {
      throw cannot(
        'the model has an encoder, which a file with a cache would run again at every step',
        'give cache: false',
      );
    },
    offset: null,
    continues: false,
    recall: (name) => {
      throw keeps(name);
    },
    keep: (name) => {
      throw keeps(name);
    },
  };
  model.outputs({ [model.main.reads.ids]: input('probe', [1, 1], 'i32') }, { cache: probe, positionLimit: 1 });
  if (rows > 1) throw cannot(rowsInFront, 'give cache: false');
  const known = model.main.paths('kv');
  const odd = [...known, ...found].filter((path) => !known.includes(path) || !found.has(path));
  if (odd.length > 0)
    throw cannot(
      `the attentions that keep keys are not the model's own (${odd.slice(0, 3).join(', ')})`,
      'give cache: false',
    );
};

/**
 * Makes the pass of a decoder that continues what it is given of earlier passes, none or any number of tokens. Inputs: ids and positions i32
 * [batch, tokens], mask f32 [batch, past + tokens], `past_key_values.N.key` and `.value` [batch, key heads, past, head dim] for layer N. Outputs: logits
 * and `present.N.key`, `.value`: those of past and tokens. Throws `not-mergeable` for a model that keeps something else.
 */
export const decoderWithPast = (
  model: TaskModel,
  positionLimit: number | undefined,
): ((sizes: DecoderSizes) => Pick<ProgramSpec, 'outputs'>) => {
  checkCacheable(model);
  const layers = model.main.paths('kv');
  return ({ batch_size: batch, past_sequence_length: past, sequence_length: tokens }) => {
    const present = new Map<string, Tensor>();
    const joined = (path: Path, part: 'key' | 'value', own: Tensor): Tensor => {
      const name = `${layers.indexOf(path)}.${part}`;
      const [, heads, , dim] = own.shape as readonly [number, number, number, number];
      const all = concat(input(`past_key_values.${name}`, [batch, heads, past, dim]), own, { axis: 2 });
      present.set(`present.${name}`, all);
      return all;
    };
    const { ids, mask } = model.main.reads;
    const logits = model.outputs(
      { [ids]: input(ids, [batch, tokens], 'i32'), [mask]: input(mask, [batch, past + tokens]) },
      {
        positions: input('positions', [batch, tokens], 'i32'),
        ...(positionLimit !== undefined && { positionLimit }),
        cache: {
          append: (path, { k, v }) => ({ k: joined(path, 'key', k), v: joined(path, 'value', v) }),
          cross: () => {
            throw cannot('the model has an encoder', 'give cache: false');
          },
          offset: null,
          continues: true,
          recall: (name) => {
            throw cannot(`the model reads ${name} of an earlier pass`, 'give cache: false');
          },
          keep: () => {},
        },
      },
    );
    return { outputs: { logits, ...Object.fromEntries(present) } };
  };
};
