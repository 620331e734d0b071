import {
  count,
  defineMethod,
  type Init,
  kaimingUniform,
  type MethodFactory,
  normalNoise,
  number,
  type Option,
  penalty,
  requireOneTower,
  type Scope,
  uniform,
} from '@peftjs/core';
import {
  add,
  broadcastTo,
  concat,
  constant,
  exp,
  gelu,
  logSoftmax,
  matmul,
  maximum,
  mean,
  minimum,
  mul,
  PeftError,
  reshape,
  slice,
  stopGradient,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import { type Around, affine, type Call, type Model, type Path, slot, uncached } from '@peftjs/transformer';
import { lastToken, shownTokens, tokenRows } from './over-tokens.ts';
import { rowsInFront } from './soft-prompt.ts';

/** Options of `infoPrompt`. */
export interface InfoPromptOptions {
  /** Virtual tokens m. Default 5. */
  readonly length?: number;
  /** Width n of the generator's inner layer and of the bottleneck. Default 32. */
  readonly bottleneck?: number;
  /** β, the weight of the representation loss. Default 0.2. */
  readonly representation?: number;
  /** γ, the weight of the head loss. Default 0.1. */
  readonly head?: number;
  /** The weight of the bottleneck's distance from N(0, 1). Default 0.1. */
  readonly prior?: number;
  /** Standard deviation of what is drawn within the bottleneck while training, as a share of σ. Default 1. */
  readonly noise?: number;
}

const notNegative = (key: string, fallback: number): Option<number> => ({
  ...number(key, fallback),
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
});

/** A layer as torch begins it. */
interface Layer {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

const layer = (scope: Scope, name: string, outDim: number, inDim: number): Layer => {
  const first: Init = uniform(1 / Math.sqrt(inDim));
  return {
    weight: scope.param(`${name}.weight`, [outDim, inDim], kaimingUniform),
    bias: scope.param(`${name}.bias`, [outDim], first),
  };
};

/** Mean and log σ of the bottleneck. */
interface Latent {
  readonly mean: Tensor;
  readonly logStd: Tensor;
}

/** Of a pass: whether it is in its first look, the latent of its states, its embedded tokens, its prompts, and its losses. */
const looking = slot<boolean>('infoPrompt looking');
const latent = slot<Latent>('infoPrompt latent');
const embedded = slot<Tensor>('infoPrompt embedded');
const prompts = slot<Tensor>('infoPrompt prompts');
const terms = slot<Tensor>('infoPrompt terms');

/** The row that stands for a text: its first token where all see all, as [CLS] does, else its last: [batch, 1, d]. */
const sentenceOf = (x: Tensor, call: Call): Tensor =>
  call.tower.attends === 'all' ? slice(tokenRows(x, call), { axis: 1, start: 0, end: 1 }) : lastToken(x, call);

/** −log of the first's share among scores [batch, n], the mean over the batch. */
const firstOf = (scores: Tensor): Tensor => mul(mean(slice(logSoftmax(scores), { axis: 1, start: 0, end: 1 })), -1);

/** −log σ + (σ² + μ² − 1) / 2, the mean over all. */
const fromNormal = ({ mean: m, logStd }: Latent): Tensor => {
  const squares = add(exp(mul(logStd, 2)), mul(m, m));
  return mean(sub(mul(sub(squares, 1), 0.5), logStd));
};

/** The layer that says the outputs. Throws `bad-option` where there is none over states. */
const outputsOf = (model: Model): Path => {
  const named = [...model.trainedHeads, ...model.parts(['head']).map(({ path }) => path)];
  const found = named.find((path) => model.linears.get(path)?.inDim === model.main.hiddenSize);
  if (found !== undefined) return found;
  throw new PeftError(
    'bad-option',
    'infoPrompt: it compares prompts with the layer that makes the outputs, and this model has none; load it for a task such as causalLM() or sequenceClassifier()',
  );
};

/**
 * InfoPrompt: [P(x); E(x)] with m rows made of each text, and a narrow random layer before the head. A first look at the model without them, which has no gradient, gives the state c of a text, at the first token of an encoder and the last of a
 * decoder; P(x) = W₂·gelu(W₁·c + b₁) + b₂ as [m, d]. In the second look the head reads W_o·z + b_o in the place of each state h, z = μ + σ·ε of n values with μ = W_μ·h + b_μ, log σ = W_σ·h + b_σ within [−2, 10] and ε from N(0, 1) while training, else 0.
 * The loss is that of the task and γ·L_head + β·L_rep + `prior`·L_normal. L_head = −log softmax of the score of P's mean among those of the tokens of its text, the score of a row its product with the mean of the head's rows, by √d. L_rep is the same of a z of
 * the second look among 4·batch ones of the first, at the text's state, the score the product of W_o·z + b_o with the mean of W_p·P + b_p by √d, through which P has no gradient. L_normal is the sum over both looks of the mean of −log σ + (σ² + μ² − 1) / 2.
 * All matrices and biases are from U(−1/√in, 1/√in). Generation keeps the prompt of the text that it continues; its first pass goes through the model twice. For models of one tower whose tokens are as wide as its states. Files have a layout of our own. Does not merge.
 * Throws `bad-option`, also when attached.
 * Wu et al., 2023. https://arxiv.org/abs/2306.04933 By the authors' code, https://github.com/JoshuaWu1997/InfoPrompt, model/RoBertaPrompt.py, where the head is that of a hidden word and has a few words' rows, trained: here it is the task's own. There rows
 * also stand within the text, and all texts of a batch are given those of the first, which is taken for a slip; here all rows stand in front. Its losses' share that falls from epoch to epoch is 0 there by default, and left out.
 */
export const infoPrompt: MethodFactory<InfoPromptOptions> = defineMethod<InfoPromptOptions>({
  name: 'infoPrompt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 5),
      bottleneck: count('n_latent', 32),
      representation: notNegative('beta', 0.2),
      head: notNegative('gamma', 0.1),
      prior: notNegative('prior', 0.1),
      noise: notNegative('noise', 1),
    },
    attach: (model, scope, { length, bottleneck: n, representation, head: headWeight, prior, noise }) => {
      requireOneTower(model, 'infoPrompt');
      const { hiddenSize: d } = model.main;
      const [site] = model.paths('head');
      if (!site) throw new PeftError('no-match', 'infoPrompt: it needs the whole model, up to its head');
      const outputs = outputsOf(model);
      const [first, second] = [layer(scope, 'prompt_dense', n, d), layer(scope, 'prompt_out_proj', length * d, n)];
      const [mu, sigma] = [layer(scope, 'latent_mean', n, d), layer(scope, 'latent_log_std', n, d)];
      const [out, context] = [layer(scope, 'latent_out', d, n), layer(scope, 'latent_context', d, d)];
      const drawn = (of: Latent, shape: readonly number[]): Tensor => {
        const random = noise > 0 ? normalNoise(scope, shape) : null;
        return random ? add(of.mean, mul(mul(random, noise), exp(of.logStd))) : broadcastTo(of.mean, shape);
      };
      const latentOf = (h: Tensor): Latent => ({
        mean: affine(h, mu),
        logStd: maximum(minimum(affine(h, sigma), 10), -2),
      });

      const headLoss = (rows: Tensor, tokens: Tensor, call: Call): Tensor => {
        const all = concat(mean(rows, { axes: [1], keepDims: true }), tokens, { axis: 1 });
        const weight = model.trainedHeads.includes(outputs) ? null : model.linears.get(outputs)!.dense().weight;
        // A trained head is that of the view.
        const scores = weight
          ? matmul(all, reshape(mean(weight, { axes: [0] }), [d, 1]))
          : mean(call.linear(outputs, all), { axes: [2], keepDims: true });
        const flat = mul(reshape(scores, [call.pass.batch, -1]), 1 / Math.sqrt(d));
        const shown = shownTokens(call);
        if (!shown) return firstOf(flat);
        const one = constant(new Float32Array(call.pass.batch).fill(1), [call.pass.batch, 1]);
        const kept = concat(one, reshape(shown, [call.pass.batch, -1]), { axis: 1 });
        return firstOf(add(flat, mul(sub(kept, 1), 100)));
      };
      /** Scores of z [batch, k, n]: [batch, k]. */
      const representationLoss = (own: Latent, bare: Latent, rows: Tensor): Tensor => {
        const batch = rows.shape[0]!;
        const about = mean(affine(stopGradient(rows), context), { axes: [1], keepDims: true });
        const score = (z: Tensor): Tensor =>
          reshape(mul(matmul(affine(z, out), about, { transposeB: true }), 1 / Math.sqrt(d)), [batch, -1]);
        const others = drawn(bare, [batch, 4 * batch, n]);
        return firstOf(concat(score(drawn(own, [batch, 1, n])), score(others), { axis: 1 }));
      };
      const atText = ({ mean: m, logStd }: Latent, call: Call): Latent => ({
        mean: sentenceOf(m, call),
        logStd: sentenceOf(logStd, call),
      });

      const front = rowsInFront(model, { length }, ({ dim }) => {
        if (dim !== d)
          throw new PeftError(
            'bad-option',
            `infoPrompt: tokens are ${dim} wide and states ${d}; it compares both, so use idpg`,
          );
        return (x, { pass }) => {
          pass.put(embedded, x);
          return pass.get(prompts)!;
        };
      });
      const look: Around<'model'> = (inputs, next, call) => {
        const { pass } = call;
        if (call.sequence.continues) return next(inputs);
        pass.put(looking, true);
        pass.put(uncached, true);
        const seen = stopGradient(sentenceOf(next(inputs).main, call));
        pass.put(looking, false);
        pass.put(uncached, false);
        const rows = reshape(affine(gelu(affine(seen, first)), second), [-1, length, d]);
        pass.put(prompts, rows);
        const states = next(inputs);
        if (pass.training) {
          const [own, known] = [atText(pass.get(latent)!, call), latentOf(seen)];
          const ofHead = mul(headLoss(rows, pass.get(embedded)!, call), headWeight);
          const ofRows = mul(representationLoss(own, known, rows), representation);
          const normal = mul(add(fromNormal(own), fromNormal(known)), prior);
          pass.put(terms, add(add(ofHead, ofRows), normal));
        }
        return states;
      };
      const [[place, put]] = [...front.around!.embed!] as [[Path, Around<'embed'>]];
      return {
        ...front,
        around: {
          model: new Map([['', look]]),
          embed: new Map([[place, (ids, next, call) => (call.pass.get(looking) ? next(ids) : put(ids, next, call))]]),
          head: new Map([
            [
              site,
              (x, next, { pass }) => {
                const h = next(x);
                if (pass.get(looking)) return h;
                const own = latentOf(h);
                pass.put(latent, own);
                return affine(drawn(own, own.mean.shape), out);
              },
            ],
          ]),
        },
        objective: penalty(({ passes }) => {
          const found = passes.flatMap((pass) => pass.get(terms) ?? []);
          return mul(
            found.reduce((a, b) => add(a, b)),
            1 / found.length,
          );
        }),
      };
    },
  },
  files: { peftType: 'PEFTJS_INFO_PROMPT' },
  card: {
    about:
      'rows made of a first look at each text, and a narrow random layer before the head, with losses of their information',
    paper: {
      authors: 'Wu et al.',
      year: 2023,
      title: 'InfoPrompt: Information-Theoretic Soft Prompt Tuning for Natural Language Understanding',
      url: 'https://arxiv.org/abs/2306.04933',
    },
    learningRate: 1e-3,
    narrowRate: 3e-2,
  },
});
