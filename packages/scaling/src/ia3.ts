import {
  covers,
  defineMethod,
  eachLinear,
  familyTarget,
  type JsonValue,
  type LayersInView,
  layersOf,
  type MethodFactory,
  type Option,
  ones,
  type Target,
  targets,
} from '@peftjs/core';
import { mul, PeftError, reshape } from '@peftjs/tensor';
import { adapterHubIa3 } from './adapter-hub-ia3.ts';
import { scaleOutput } from './scale-output.ts';

/** Options of `ia3`. */
export interface Ia3Options {
  /** Default: what Hugging Face PEFT scales in this architecture (Llama: `k_proj`, `v_proj`, `down_proj`; GPT-2: `c_attn`, `mlp.c_proj`). */
  readonly target?: Target;
  /** Which of them are scaled at their input instead of their output. Default: the layer after the activation (`down_proj`, `mlp.c_proj`). */
  readonly feedforward?: Target;
}

const named = targets('feedforward_modules', familyTarget('ia3Feedforward'));

/** Hugging Face PEFT takes names that the target has too, letter by letter, so those are saved; where there are no such, no file can say it. */
const savedFeedforward = (feedforward: Target, layers: LayersInView): JsonValue => {
  const wanted = feedforwardPaths(feedforward, layers);
  const names = layers.savedTarget();
  if (!Array.isArray(names)) return wanted;
  const within = names.filter((name) => {
    const own = layers.paths().filter((path) => covers(name, path));
    return own.length > 0 && own.every((path) => wanted.includes(path));
  });
  const missed = wanted.filter((path) => !within.some((name) => covers(name, path)));
  if (missed.length === 0) return within;
  throw new PeftError(
    'bad-option',
    `ia3: feedforward has ${missed.join(', ')}, which share a name of the target with layers that it has not, and Hugging Face PEFT's file cannot say that; name the target's layers more closely`,
  );
};

const feedforwardPaths = (feedforward: Target, layers: LayersInView): string[] => {
  const { paths, model, method, strict } = layers;
  if (Array.isArray(feedforward) && feedforward.length === 0) return [];
  // The default may name layers that are not targeted; what a user names must be there.
  const isOwn = strict && feedforward !== model.layout.defaultTarget('ia3Feedforward');
  // Python's patterns and roles are not for `covers`.
  const isNamed = typeof feedforward !== 'object' || Array.isArray(feedforward) || feedforward instanceof RegExp;
  if (isOwn || !isNamed) return layersOf(model, feedforward, paths(), { method: `${method}: feedforward`, strict });
  return paths().filter((path) => covers(feedforward, path));
};

const feedforwardOption: Option<Target> = { ...named, resolve: feedforwardPaths, toJson: savedFeedforward };

/**
 * (IA)³: keys, values and the activations inside the MLP are scaled by learned vectors, 1 at the start: y = l⊙(Wx + b) with l of shape
 * [out, 1], or y = W(l⊙x) + b with l of shape [1, in] where the layer is `feedforward`. Files are Hugging Face PEFT's; those of the adapters
 * library are read too, as `adapterHubIa3`. Merges exactly. Throws `bad-option`, and when
 * attached `no-match`. Liu et al., 2022. https://arxiv.org/abs/2205.05638
 */
export const ia3: MethodFactory<Ia3Options> = defineMethod<Ia3Options>({
  name: 'ia3',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('ia3')),
      feedforward: feedforwardOption,
    },
    attach: (model, scope, { target, feedforward }) => {
      return eachLinear(model, scope, target, 'ia3', (base, own, path) => {
        if (covers(feedforward, path)) {
          const l = own.param('ia3_l', [1, base.inDim], ones);
          return {
            ...base,
            apply: (x, call) => base.apply(mul(x, reshape(l, [-1])), call),
            dense: () => {
              const { weight, bias } = base.dense();
              return { weight: mul(weight, l), bias };
            },
          };
        }
        return scaleOutput(base, reshape(own.param('ia3_l', [base.outDim, 1], ones), [-1]));
      });
    },
  },
  files: {
    peftType: 'IA3',
    also: adapterHubIa3,
    config: ({ linears, layout }) => ({
      fan_in_fan_out: [...linears.keys()].some((path) => layout.storedTransposed(path)),
      init_ia3_weights: true,
    }),
  },
  card: {
    about: "scales of keys, values and the MLP's inner activations",
    paper: adapterHubIa3.paper,
    learningRate: 3e-3,
    narrowRate: 3.2e-2,
  },
});
