/** Sizes of a Llama-type decoder. */
export interface ModelShape {
  /** Whether q, k and v have biases, as in Qwen 2. Default false. */
  readonly biased?: boolean;
  /** Whether the head is the table of tokens. Default false. */
  readonly tied?: boolean;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly inner: number;
  readonly vocabulary: number;
}

/**
 * One product of two matrices that stay on the device: [m, k] · [k, n], either stored transposed. The mean of the squares of each row, and
 * then of all, is brought back: summed in one go, a million squares would differ by the rounding of a naive sum.
 */
export interface MatmulTask {
  readonly kind: 'matmul';
  readonly name: string;
  readonly about: string;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Settings of `ours` other than the defaults, for tables of the worth of each device. */
export interface Variant {
  /** Logits of all positions in memory instead of the head and the loss in pieces. */
  readonly wholeHead?: boolean;
  /** Attention scores in memory. */
  readonly scores?: boolean;
  /** Recompute each block in the backward pass. */
  readonly recompute?: boolean;
}

/** One training step: forward, backward and AdamW. */
export interface StepTask {
  readonly kind: 'step';
  /** The published model whose weights these are, in the folder that `--model` names. Default: random weights of the shape. */
  readonly weights?: string;
  readonly name: string;
  readonly about: string;
  readonly model: ModelShape;
  readonly batch: number;
  readonly tokens: number;
  /** The trained part: LoRA over weights as they are or over NF4, or all weights. */
  readonly method: 'lora' | 'qlora' | 'full';
  /** The layers that LoRA is on. Default: q and v. */
  readonly layers?: readonly string[];
  /** Whether ours holds the weights in f16, as their file does. Default: in f32. */
  readonly inHalf?: boolean;
  readonly rank: number;
  readonly alpha: number;
  readonly learningRate: number;
  /** How documents of many lengths lie in the batch: one a row with padding, or one after the other. Default: every position has a label. */
  readonly documents?: 'padded' | 'packed';
  readonly variant?: Variant;
}

/** Greedy continuation of one prompt. */
export interface GenerateTask {
  readonly kind: 'generate';
  readonly name: string;
  readonly about: string;
  readonly model: ModelShape;
  readonly prompt: number;
  readonly tokens: number;
  /** In which type of llama.cpp's blocks the matrices are. Default: none, f32. */
  readonly storage?: 'Q8_0';
}

/** The task that every stack does in the same way. */
export type Task = MatmulTask | StepTask | GenerateTask;

/** The unit that a rate counts. */
export type Unit = 'GFLOP/s' | 'tokens/s';

/** The unit of a task's rate. */
export const unitOf = (task: Task): Unit => (task.kind === 'matmul' ? 'GFLOP/s' : 'tokens/s');
