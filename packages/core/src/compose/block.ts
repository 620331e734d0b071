import { type OnExecutor, PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { stateUnder } from '../combine.ts';
import type { AdapterConfig, Compacted, Method, Patch, Scope, State } from '../method.ts';
import { prepare } from '../prepare.ts';
import { lowestRates } from '../starting-rate.ts';
import { blockConfig } from './block-config.ts';
import { hubConfig } from './hub.ts';
import { type Block, type BlockKind, kinds, type Settings } from './kinds.ts';
import { attachWithin, noteBlock, type Window, wholeWindow } from './window.ts';

/** Methods by name: letters, digits, spaces and `_ + @ -`, as the folders and tensors' groups of their files are called so. */
export type BlockParts = Readonly<Record<string, Method>>;

/** Names of parts are those of folders and of groups of tensors. */
const isName = (name: string): boolean => /^[\p{L}\p{N}_ +@-]{1,64}$/u.test(name);

/** All that is wrong with a block. */
export const problemsOf = ({ kind, parts, settings }: Block): string[] => {
  const names = parts.map(([name]) => name);
  const odd = names.filter((name) => !isName(name));
  const notMethods = parts.filter(([, method]) => typeof (method as Partial<Method> | null)?.attach !== 'function');
  return [
    ...(parts.length === 0 ? ['there are no parts; give methods by name: { first: lora(), second: lora() }'] : []),
    ...odd.map((name) => `${JSON.stringify(name)} is no name of a part; letters, digits, spaces and _ + @ - are`),
    ...names.filter((name, i) => names.indexOf(name) !== i).map((name) => `two parts are called ${name}`),
    ...notMethods.map(([name]) => `${name} is no method`),
    ...kinds[kind].problems(settings, names),
  ];
};

const attachBlock = ({ kind, parts, settings }: Block, model: Model, scope: Scope, window: Window): Patch => {
  const names = parts.map(([name]) => name);
  const sight = { settings, names, scope, window };
  const { within, patch } = kinds[kind];
  const patches = parts.map(([name, method], i) =>
    attachWithin(method, model, scope.at(name), within ? within(sight, i) : window),
  );
  return patch(model, patches, sight);
};

const compacted = async (block: Block, model: Model, state: State, on: OnExecutor): Promise<Compacted> => {
  const final = new Map<string, State extends ReadonlyMap<string, infer T> ? T : never>();
  const parts: [string, Method][] = [];
  const left = new Map(state);
  for (const [name, method] of block.parts) {
    const own = stateUnder(state, `${name}.`);
    for (const key of own.keys()) left.delete(`${name}.${key}`);
    const last = (await method.compact?.(model, own, on)) ?? { method, state: own };
    parts.push([name, last.method]);
    for (const [key, t] of last.state) final.set(`${name}.${key}`, t);
  }
  return { method: makeBlock({ ...block, parts }), state: new Map([...final, ...left]) };
};

/** The configuration of a block, in the layout of adapter-hub/adapters where that library computes the same of its file. */
const configOf = (block: Block, model: Model): AdapterConfig => {
  const configs = block.parts.map(([, method]) => method.config(model));
  return isHub(block) ? hubConfig(block, configs) : blockConfig(block, configs);
};

/** Whether its files are those of adapter-hub/adapters. */
const isHub = ({ parts, settings }: Block): boolean =>
  settings.layout === 'adapter-hub' && parts.every(([, { layout }]) => layout === 'adapter-hub');

/** A block as a method. */
export const makeBlock = (block: Block): Method => {
  const { kind, parts } = block;
  const methods = parts.map(([, method]) => method);
  const method: Method = {
    name: `${kind}(${parts.map(([name, method]) => `${name}: ${method.name}`).join(', ')})`,
    ...(isHub(block) && { layout: 'adapter-hub', aliases: Object.assign({}, ...methods.map((m) => m.aliases)) }),
    ...lowestRates(methods),
    merges: kinds[kind].merges && methods.every((m) => m.merges),
    ...(kinds[kind].merges && {
      parts: (view) => parts.map(([name, method]) => ({ prefix: `${name}.`, method, view })),
    }),
    attach: (model, scope) => attachBlock(block, model, scope, wholeWindow),
    config: (model) => configOf(block, model),
    ...(methods.every((m) => !m.prepare || m.needsData === false) && { needsData: false }),
    ...(methods.some((m) => m.prepare) && {
      prepare: async (model, look) => {
        const ready = await prepare(model, methods, look);
        return makeBlock({ ...block, parts: parts.map(([name], i) => [name, ready[i]!] as const) });
      },
    }),
    ...(methods.some((m) => m.compact) && {
      compact: (model, state, on) => compacted(block, model, state, on),
    }),
  };
  return noteBlock(method, (model, scope, window) => attachBlock(block, model, scope, window));
};

/** A block of methods by name. Throws `bad-option` with all that is wrong. */
export const blockOf = (kind: BlockKind, parts: BlockParts, settings: Settings): Method => {
  const block: Block = { kind, parts: Object.entries(parts ?? {}), settings };
  const problems = problemsOf(block);
  if (problems.length > 0) throw new PeftError('bad-option', `${kind}: ${problems.join('; ')}`);
  return makeBlock(block);
};
