import { PeftError, type Tensor } from '@peftjs/tensor';
import { type Activation, activations } from '../activation.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Path } from '../sites.ts';
import { type HeadStack, readsOneRow } from '../tasks/stacked-head.ts';
import type { HeadName, Task } from '../tasks/task.ts';
import type { HeadSpec } from './family.ts';
import { layerNeeds } from './heads.ts';

/** How a family's `…AdapterModel` of the adapters library puts heads of layers on its towers. */
export interface StackBase<C extends ModelConfig = ModelConfig>
  extends Pick<HeadSpec<C>, 'towersOf' | 'makes' | 'inputs'> {
  /** `BertAdapterModel` */
  readonly modelClass: string;
  /** The tasks that it has heads for. */
  readonly tasks: readonly HeadName[];
  /** The row of a whole text or picture: [batch, d]. */
  readonly row: HeadSpec<C>['features'];
  /** The rows of tokens: [batch, tokens, d]. Default the main tower's states. */
  readonly tokens?: HeadSpec<C>['features'];
  /** The layer that `use_pooler` puts behind the row, and the function after it; null where the class has none; `unread` where it leaves the field unread. */
  readonly pooler: { readonly dense: Path; readonly activation: Activation } | 'unread' | null;
}

/** The module of a head: files of the adapters library have the head's name in place of `default`. */
const module = 'heads.default';

/** The paths of a stack's layers, which that library numbers with the dropouts and functions between them. */
const layerPaths = ({ layers, activation }: HeadStack): readonly Path[] =>
  Array.from({ length: layers }, (_, i) => `${module}.${1 + i * (activation === null ? 2 : 3)}`);

/** The head of a task that has a stack. Throws `bad-option` for a task or a pooler that the class has not. */
export const stackedSpec = <C extends ModelConfig>(
  base: StackBase<C>,
  task: Task<unknown>,
  stack: HeadStack,
): HeadSpec<C> => {
  const { modelClass, tasks, pooler, towersOf, makes, inputs } = base;
  if (!tasks.includes(task.head))
    throw new PeftError(
      'bad-option',
      `model: ${modelClass} has no stacked head for ${task.name}; it has them for ${tasks.join(', ')}`,
    );
  if (stack.pooler && pooler === null)
    throw new PeftError('bad-option', `model: ${modelClass} has no pooler (use_pooler); give the head pooler: false`);
  const pool = stack.pooler && pooler !== 'unread' ? pooler : null;
  const paths = layerPaths(stack);
  const last = paths.at(-1)!;
  const act = stack.activation === null ? (x: Tensor) => x : activations[stack.activation];
  return {
    modelClass,
    layer: last,
    trained: [module],
    needs: ({ hiddenSize: d }, outputs) =>
      new Map([
        ...(pool ? layerNeeds(pool.dense, d, d, true) : []),
        ...paths.slice(0, -1).flatMap((path) => layerNeeds(path, d, d, true)),
        ...layerNeeds(last, outputs, d, stack.bias),
      ]),
    ...(towersOf && { towersOf }),
    ...(makes && { makes }),
    ...(inputs && { inputs }),
    features: (model, states, given, config) => {
      const layer = (path: Path, x: Tensor): Tensor => model.linears.get(path)!.apply(x, states.call(path));
      const read = readsOneRow(task) ? base.row : (base.tokens ?? ((_, { main }) => main));
      const x = read(model, states, given, config);
      const row = pool ? activations[pool.activation](layer(pool.dense, x)) : x;
      return paths.slice(0, -1).reduce((h, path) => act(layer(path, h)), row);
    },
  };
};
