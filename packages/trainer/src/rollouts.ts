import { type Batch, type Cursor, ignored, opened, type Stream } from '@peftjs/data';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import { type CausalLM, generator, requireModel, type SampleOptions, type TextGenerator } from '@peftjs/transformer';
import { advantagesOf, type RewardScale } from './advantages.ts';
import { heldBatches, type OldLogProbs, oldLogProbs } from './old-log-probs.ts';

/** A completion that the model has made. */
export interface Rollout<T> {
  /** Of what it was made. */
  readonly item: T;
  readonly prompt: Int32Array;
  /** Its tokens, without the one that ends it. */
  readonly tokens: readonly number[];
  /** Those as text; empty without a `tokenizer`. */
  readonly text: string;
  /** Whether it came to an end by itself, within `maxTokens`. */
  readonly ended: boolean;
}

/** A number for each completion, the larger the better. */
export type RewardFunction<T> = (rollouts: readonly Rollout<T>[]) => readonly number[] | Promise<readonly number[]>;

/** How completions are made and rated. */
export interface RolloutOptions<T> extends OnExecutor, Pick<SampleOptions, 'topK' | 'topP' | 'minP'> {
  /** The view that completes: `adapted.model`. It has the weights of the step that the batch is for. */
  readonly model: CausalLM;
  /** The tokens of an item's prompt: `({ messages }) => chat.encode(messages, { generationPrompt: true })`. */
  readonly prompt: (item: T) => Int32Array;
  /** Rewards, added up. */
  readonly rewards: readonly RewardFunction<T>[];
  /** The weight of each. Default 1. */
  readonly weights?: readonly number[];
  /** Completions of each prompt, which are compared with each other. Default 8. */
  readonly group?: number;
  /** Prompts of a batch. Default 1. */
  readonly prompts?: number;
  /** Tokens of a completion, at most. Default 256. */
  readonly maxTokens?: number;
  /** The token that ends a completion, and is learnt with it. Default: the first end of text of the model's config. */
  readonly end?: number;
  /**
   * Updates by each batch, one after the other: μ of the paper, TRL's `num_iterations`. From two on batches have `oldLogProbs`, those of the weights that drew them, and a cursor holds the batch. A step of
   * `train` is then one batch: with `accumulate` give as many `together`. Default 1.
   */
  readonly updates?: number;
  /** Batches that are drawn together, before the updates by the first of them: TRL's `steps_per_generation`. Default 1. */
  readonly together?: number;
  /** Default 1; give `grpo` the same. */
  readonly temperature?: number;
  /**
   * The divisor of advantages, which are rewards less their group's mean: the standard deviation in the group, in the batch, or nothing. Default `group`.
   */
  readonly scale?: RewardScale;
  /** Texts of completions. */
  readonly tokenizer?: { decode(ids: readonly number[]): string };
  /** Lengths are filled up to a multiple of this: each is a program of its own. Default 32. */
  readonly multipleOf?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Told of every batch. */
  readonly onRollouts?: (rollouts: readonly (Rollout<T> & { readonly reward: number })[]) => unknown;
}

const rules: Rules<RolloutOptions<unknown>> = {
  ...onExecutor,
  model: mustBe.given(mustBe.object),
  prompt: mustBe.given(mustBe.fn),
  rewards: mustBe.given(
    mustBe.such(
      'a list of functions, at least one',
      (v) => Array.isArray(v) && v.length > 0 && v.every((f) => typeof f === 'function'),
    ),
  ),
  weights: mustBe.such('a list of finite numbers', (v) => Array.isArray(v) && v.every(Number.isFinite)),
  group: mustBe.such('a whole number of at least 2', (v) => Number.isSafeInteger(v) && (v as number) > 1),
  prompts: mustBe.count,
  maxTokens: mustBe.count,
  end: mustBe.whole,
  updates: mustBe.count,
  together: mustBe.count,
  temperature: mustBe.positive,
  topK: mustBe.count,
  topP: mustBe.positive,
  minP: mustBe.share,
  scale: mustBe.oneOf(['group', 'batch', 'none']),
  tokenizer: mustBe.object,
  multipleOf: mustBe.count,
  seed: mustBe.whole,
  onRollouts: mustBe.fn,
};

const cursorName = 'rollouts';

/** The batches made before a cursor, the cursor of the items, and batches that are not done; throws `state-mismatch`. */
const standing = (at: Cursor): { readonly made: number; readonly input: Cursor; readonly held: unknown } => {
  const { stage, made, input, held } = at;
  if (stage === cursorName && Number.isSafeInteger(made) && (made as number) >= 0 && typeof input === 'object' && input)
    return { made: made as number, input: input as Cursor, held };
  throw new PeftError(
    'state-mismatch',
    `rollouts: the cursor is one of ${JSON.stringify(stage)}; resume with the stages that it was made with`,
  );
};

/** The rewards of rollouts, weighed and added up. Throws `bad-data`. */
const rewardsOf = async <T>(
  rollouts: readonly Rollout<T>[],
  { rewards, weights }: Pick<RolloutOptions<T>, 'rewards' | 'weights'>,
): Promise<number[]> => {
  const total = rollouts.map(() => 0);
  for (const [i, reward] of rewards.entries()) {
    const values = await reward(rollouts);
    const odd = Array.from(values).find((value) => !Number.isFinite(value));
    if (values.length !== rollouts.length || odd !== undefined)
      throw new PeftError(
        'bad-data',
        `rollouts: reward function ${i} gave ${odd === undefined ? `${values.length} numbers for ${rollouts.length} completions` : `${odd}`}; it must give a finite number for each`,
      );
    for (const [row, value] of values.entries()) total[row]! += value * (weights?.[i] ?? 1);
  }
  return total;
};

/** The rows of completions, filled up to one length. */
const batchOf = (
  rollouts: readonly Rollout<unknown>[],
  numbers: { readonly rewards: readonly number[]; readonly advantages: readonly number[] },
  { end, multipleOf }: { readonly end: number; readonly multipleOf: number },
): Batch => {
  const rows = rollouts.length;
  const all = rollouts.map(({ prompt, tokens, ended }) => [...prompt, ...tokens, ...(ended ? [end] : [])]);
  const longest = Math.max(...all.map((ids) => ids.length - 1));
  const width = Math.ceil(longest / multipleOf) * multipleOf;
  const ids = new Int32Array(rows * width);
  const labels = new Int32Array(rows * width).fill(ignored);
  const mask = new Float32Array(rows * width);
  for (const [row, own] of all.entries()) {
    const [at, begins] = [row * width, rollouts[row]!.prompt.length];
    ids.set(own.slice(0, -1), at);
    mask.fill(1, at, at + own.length - 1);
    labels.set(own.slice(begins), at + begins - 1);
  }
  const wide = [rows, width];
  return {
    rows,
    columns: {
      ids,
      labels,
      mask,
      rewards: Float32Array.from(numbers.rewards),
      advantages: Float32Array.from(numbers.advantages),
    },
    shapes: { ids: wide, labels: wide, mask: wide, rewards: [rows], advantages: [rows] },
  };
};

/**
 * Batches for `grpo` that the model makes while it trains: of each item `group` completions are drawn, rated, and compared with each other. A batch has `prompts · group` rows of `ids`, `labels` of
 * completions, `mask`, `rewards` and `advantages`. Each is made when the step asks for it, with the weights of that step, on the same executor; the
 * cursor counts them, so that a run that goes on draws what it would have drawn.
 *
 * Throws `bad-option`; `bad-data` for prompts that have no token, and for rewards that are no numbers.
 */
export const rollouts = <T>(items: Stream<T>, options: RolloutOptions<T>): Stream<Batch> => {
  checkOptions('rollouts', rules as Rules<RolloutOptions<T>>, options);
  const {
    model,
    executor,
    prompt,
    group = 8,
    prompts = 1,
    maxTokens = 256,
    temperature = 1,
    topK,
    topP,
    minP,
    updates = 1,
    together = 1,
  } = options;
  const { scale = 'group', tokenizer, multipleOf = 32, seed = 0, weights, rewards, onRollouts } = options;
  requireModel('rollouts', model, 'logits');
  const end = options.end ?? model.config.eosIds[0];
  if (end === undefined)
    throw new PeftError(
      'bad-option',
      "rollouts: the model's config has no end of text; give the token that ends a completion: { end }",
    );
  if (weights && weights.length !== rewards.length)
    throw new PeftError(
      'bad-option',
      `rollouts: weights has ${weights.length} numbers for ${rewards.length} rewards; give one for each`,
    );
  const sampling = {
    temperature,
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
  };
  const complete = async (texts: TextGenerator, chosen: readonly T[], made: number): Promise<Batch> => {
    const asked = chosen.flatMap((item) => {
      const ids = prompt(item);
      if (ids.length === 0) throw new PeftError('bad-data', 'rollouts: a prompt has no token; leave it out');
      return Array.from({ length: group }, () => ({ item, prompt: ids }));
    });
    const found = await texts.generate(
      asked.map((one) => one.prompt),
      { ...sampling, maxTokens, stop: [end], seed: seed + made * asked.length },
    );
    const all = found.map(
      (tokens, row): Rollout<T> => ({
        ...asked[row]!,
        tokens,
        text: tokenizer?.decode(tokens) ?? '',
        ended: tokens.length < maxTokens,
      }),
    );
    const rated = await rewardsOf(all, options);
    await onRollouts?.(all.map((one, row) => ({ ...one, reward: rated[row]! })));
    return batchOf(all, { rewards: rated, advantages: advantagesOf(rated, group, scale) }, { end, multipleOf });
  };
  return {
    open: (at, epoch) => {
      const from = at && standing(at);
      const input = items.open(from?.input, epoch);
      const held = heldBatches(updates, from?.held);
      let made = from?.made ?? 0;
      let texts: TextGenerator | undefined;
      let old: OldLogProbs | undefined;
      /** The next batch that is drawn; null where items are over. */
      const draw = async (): Promise<Batch | null> => {
        const chosen: T[] = [];
        while (chosen.length < prompts) {
          const next = await input.next();
          if (next.done) break;
          chosen.push(next.value);
        }
        if (chosen.length === 0) return null;
        // What the folder's file says of sampling is not this policy.
        texts ??= generator(model, { executor, config: null });
        const batch = await complete(texts, chosen, made++);
        if (updates === 1 && together === 1) return batch;
        old ??= oldLogProbs(model, { executor, temperature });
        return old.added(batch);
      };
      return opened<Batch>({
        next: async () => {
          const known = held.next();
          if (known) return { done: false, value: known };
          const drawn: Batch[] = [];
          while (drawn.length < together) {
            const batch = await draw();
            if (!batch) break;
            drawn.push(batch);
          }
          if (drawn.length === 0) return { done: true, value: undefined };
          held.take(drawn);
          return { done: false, value: held.next()! };
        },
        cursor: () => ({ stage: cursorName, made, input: input.cursor(), ...held.cursor() }),
        begin: async () => input.begin?.(),
        close: async () => {
          old?.close();
          await texts?.close();
          await input.return?.();
        },
      });
    },
  };
};
