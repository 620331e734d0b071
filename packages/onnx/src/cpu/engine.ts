import { type Packed, type Spec, sizeOf } from '@peftjs/tensor';
import { hostSteps } from './host-steps.ts';
import { type BitsArrays, packBits } from './pack-bits.ts';
import { Places } from './places.ts';
import { type KernelTime, openProfile } from './profile.ts';
import type { Recipe, Source } from './recipe.ts';
import { loadRuntime, type Runtime } from './runtime.ts';
import { openSession, type Session } from './session.ts';
import { type HostArray, type Key, narrow, Storage, wideArray } from './storage.ts';
import { multipliesBits, mustMultiplyWhole } from './whole-products.ts';

/** Arrays by the name of an input or output of a program. */
export type Arrays = Readonly<Record<string, HostArray>>;

/**
 * Holds the values of variables and runs recipes over them. It may be in another process, so what goes in and out is plain data; calls are
 * made one after another.
 */
export interface Engine {
  /** Whether this processor multiplies by matrices of few bits exactly. */
  multipliesBits(): Promise<boolean>;
  /** Makes a session, or the place for one that is made of variables' values when it first runs; gives its number. */
  open(recipe: Recipe): Promise<number>;
  run(program: number, feeds: Arrays, read: readonly string[]): Promise<Arrays>;
  /** Runs a recipe in a session of its own, and tells what its kernels took: the graph some times, which changes nothing, then the host's steps, once. */
  profile(recipe: Recipe, feeds: Arrays): Promise<readonly KernelTime[]>;
  close(program: number): void;
  /** Takes a variable's value; one that is not `owned` is only read, as long as it is held. */
  put(key: Key, data: HostArray, owned: boolean): Promise<void>;
  /** A copy of a variable's value. */
  get(key: Key): Promise<HostArray>;
  release(keys: readonly Key[]): void;
  end(): Promise<void>;
}

interface Opened {
  readonly recipe: Recipe;
  session: Session | null;
  /** Versions of the values that its packed matrices were made of. */
  versions: readonly number[];
  readonly made: readonly HostArray[];
}

const arrayFor = ({ shape, dtype }: Spec): HostArray => wideArray(dtype, sizeOf(shape));

/** Runs of a profile; the first is its warm-up. */
const profiledRuns = 6;

/** The engine of this process. */
class LocalEngine implements Engine {
  readonly #runtime: Runtime;
  readonly #threads: number;
  readonly #storage = new Storage();
  readonly #places = new Places();
  readonly #programs = new Map<number, Opened>();
  #next = 0;

  constructor(runtime: Runtime, threads: number) {
    this.#runtime = runtime;
    this.#threads = threads;
  }

  /** Arrays for what a program makes for the steps on the host. */
  #madeBy(recipe: Recipe): readonly HostArray[] {
    this.#places.prepare(recipe, (made) => sizeOf(recipe.made[made]!.spec.shape));
    const placed = new Map(
      recipe.steps.flatMap(({ grad, state }) => {
        const place = 'made' in grad ? this.#places.gradOf(state[0]!) : null;
        return place && 'made' in grad ? [[grad.made, place] as const] : [];
      }),
    );
    return recipe.made.map(({ spec }, i) => placed.get(i) ?? arrayFor(spec));
  }

  multipliesBits(): Promise<boolean> {
    return multipliesBits(this.#runtime);
  }

  #bitsOf({ bits }: Recipe): BitsArrays {
    return bits.flatMap(({ matrix, parts }) =>
      packBits(
        matrix,
        Object.fromEntries(
          Object.entries(parts).map(([part, key]) => [part, this.#storage.value(key)]),
        ) as unknown as Packed<HostArray>,
      ),
    );
  }

  /** A program's session, made anew where a matrix in it has changed. */
  async #sessionOf(opened: Opened): Promise<Session> {
    const { recipe } = opened;
    const versions = recipe.bits.flatMap(({ parts }) =>
      Object.values(parts).map((key: Key) => this.#storage.version(key)),
    );
    if (opened.session && versions.every((version, i) => version === opened.versions[i])) return opened.session;
    opened.session?.close();
    opened.session = null;
    opened.session = await openSession(this.#runtime, recipe, this.#threads, this.#bitsOf(recipe));
    opened.versions = versions;
    return opened.session;
  }

  async open(recipe: Recipe): Promise<number> {
    if (recipe.multipliesWhole) await mustMultiplyWhole(this.#runtime);
    const later = recipe.bits.length > 0;
    const session = later ? null : await openSession(this.#runtime, recipe, this.#threads);
    // The model's bytes are the session's now.
    const kept = later ? recipe : { ...recipe, model: null };
    this.#programs.set(this.#next, { recipe: kept, session, versions: [], made: this.#madeBy(recipe) });
    return this.#next++;
  }

  async run(program: number, feeds: Arrays, read: readonly string[]): Promise<Arrays> {
    const opened = this.#programs.get(program)!;
    return this.#execute({ ...opened, session: await this.#sessionOf(opened) }, feeds, read);
  }

  async profile(recipe: Recipe, feeds: Arrays): Promise<readonly KernelTime[]> {
    const profile = await openProfile();
    const session = await openSession(this.#runtime, recipe, this.#threads, this.#bitsOf(recipe), profile.prefix);
    const steps: KernelTime[] = [];
    try {
      // What is stored is only written to afterwards, so each time the graph computes the same.
      const run: Session['run'] = async (...arrays) => {
        for (let time = 0; time < profiledRuns; time++) await session.run(...arrays);
      };
      const read = recipe.outputs.map(({ name }) => name);
      await this.#execute(
        { recipe, session: { ...session, run }, made: this.#madeBy(recipe) },
        feeds,
        read,
        (type, ms) => steps.push({ node: null, type: `${type} on the host`, ms, inputs: [], outputs: [] }),
      );
    } finally {
      session.endProfile();
      session.close();
    }
    return [...(await profile.read()), ...steps];
  }

  async #execute(
    { recipe, session, made }: Pick<Opened, 'recipe' | 'made'> & { readonly session: Session },
    feeds: Arrays,
    read: readonly string[],
    note?: (step: string, ms: number) => void,
  ): Promise<Arrays> {
    const storage = this.#storage;
    const valueOf = (source: Source): HostArray => {
      if ('variable' in source) return storage.value(source.variable);
      if ('feed' in source) return feeds[source.feed]!;
      return 'constant' in source ? recipe.constants[source.constant]! : made[source.made]!;
    };
    // First of all, since the graph reads what these hold.
    const inPlace = recipe.steps.map(({ state }) =>
      state.map((key) => storage.writable(key, this.#places.of(state[0]!, key))),
    );
    const wanted = new Set(read);
    const outputs = recipe.outputs.filter(({ name }) => wanted.has(name));
    const values = outputs.map(({ spec }) => arrayFor(spec));
    // The graph makes floats; a variable in f16 takes them rounded.
    const halves = recipe.updates.map(({ spec }) => (spec.dtype === 'f16' ? arrayFor(spec) : null));
    const targets = [
      ...outputs.map(({ graph }, i) => [graph, values[i]!] as const),
      ...recipe.updates.map(({ graph, variable, inPlace }, i) => {
        const target = inPlace ? storage.writable(variable) : (halves[i] ?? storage.next(variable));
        return [graph, target] as const;
      }),
      ...recipe.made.map(({ graph }, i) => [graph, made[i]!] as const),
    ].filter((target): target is readonly [string, HostArray] => target[0] !== null);
    if (targets.length > 0)
      await session.run(new Map(recipe.inputs.map(({ graph, from }) => [graph, valueOf(from)])), new Map(targets));
    recipe.steps.forEach(({ op, grad, hyper }, i) => {
      const start = performance.now();
      hostSteps[op].run(inPlace[i]!, valueOf(grad), valueOf(hyper));
      note?.(op, performance.now() - start);
    });
    for (const [i, { variable, spec, inPlace }] of recipe.updates.entries()) {
      const half = halves[i];
      if (inPlace) continue;
      if (half) storage.replace(variable, narrow(spec.dtype, half));
      else storage.swap(variable);
    }
    return Object.fromEntries(outputs.map(({ name }, i) => [name, values[i]!]));
  }

  close(program: number): void {
    this.#programs.get(program)?.session?.close();
    this.#programs.delete(program);
  }

  async put(key: Key, data: HostArray, owned: boolean): Promise<void> {
    const place = this.#places.at(key);
    // A value that is moved at once is garbage before the next one is made, not only when the first run moves all.
    if (place) place.set(data);
    this.#storage.put(key, place ?? data, owned || place !== null);
  }

  async get(key: Key): Promise<HostArray> {
    return this.#storage.value(key).slice();
  }

  release(keys: readonly Key[]): void {
    for (const key of keys) this.#storage.release(key);
    this.#places.release(keys);
  }

  async end(): Promise<void> {
    for (const program of [...this.#programs.keys()]) this.close(program);
  }
}

/** Makes the engine of this process. Throws `device-unavailable`. */
export const localEngine = async (threads: number): Promise<Engine> => new LocalEngine(await loadRuntime(), threads);
