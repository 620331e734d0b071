import {
  count,
  defineMethod,
  glorotUniform,
  type Init,
  type MethodFactory,
  number,
  type Option,
  oneOf,
  rate,
  requireOneWidth,
  type Scope,
  uniform,
  zeros,
} from '@peftjs/core';
import { add, concat, mul, reshape, sigmoid, sizeOf, slice, type Tensor } from '@peftjs/tensor';
import { type Around, affine, type Call, type Path } from '@peftjs/transformer';
import { atMiddle, convolved } from './convolution.ts';
import { apart, gridOf, pictureTower } from './picture-tower.ts';

/** A sublayer that a bypass may stand beside. */
export type Bypassed = 'attn' | 'mlp';

/** Options of `convpass`. */
export interface ConvpassOptions {
  /** Channels r of the convolution. Default 8. */
  readonly bottleneck?: number;
  /** Factor s of what is added. Default 1; the authors choose it by the data, from 0.01 to 100. */
  readonly scale?: number;
  /** Probability that a value before the last map is dropped while training. Default 0.1. */
  readonly dropout?: number;
  /** First values of the convolution: `identity`, or `xavier`, U(−√(6 / 18r), √(6 / 18r)). Default `identity`. */
  readonly init?: 'identity' | 'xavier';
  /** The sublayers that have a bypass. Default both. */
  readonly sublayers?: readonly Bypassed[];
}

const sublayersOption: Option<readonly Bypassed[]> = {
  key: 'sublayers',
  fallback: () => ['attn', 'mlp'],
  expected: 'attn, mlp or both in a list',
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.every((s) => s === 'attn' || s === 'mlp'),
};

/** A convolution [out, in, 3, 3] that changes nothing. */
const identity: Init = (shape) => {
  const [channels] = shape as readonly [number];
  const values = new Float32Array(sizeOf(shape));
  for (let i = 0; i < channels; i++) values[(i * channels + i) * 9 + 4] = 1;
  return values;
};

/** x·σ(1.702 x). Hendrycks & Gimpel, 2016. https://arxiv.org/abs/1606.08415 */
const quickGelu = (x: Tensor): Tensor => mul(x, sigmoid(mul(x, 1.702)));

/** A bypass of rows [batch, rows, d], whose last ones are those of patches. */
const bypass = (
  own: Scope,
  width: number,
  channels: number,
  init: 'identity' | 'xavier',
  dropout: number,
): ((x: Tensor, call: Call) => Tensor) => {
  const map = (name: string, outDim: number, inDim: number, first: Init) => ({
    weight: own.param(`${name}.weight`, [outDim, inDim], first),
    bias: own.param(`${name}.bias`, [outDim], zeros),
  });
  const kernel = own.param(
    'adapter_conv.weight',
    [channels, channels, 3, 3],
    init === 'identity' ? identity : uniform(Math.sqrt(6 / (18 * channels))),
  );
  const bias = own.param('adapter_conv.bias', [channels], zeros);
  const down = map('adapter_down', channels, width, glorotUniform());
  const up = map('adapter_up', width, channels, zeros);
  return (x, call) => {
    const low = quickGelu(affine(x, down));
    const alone = (rows: Tensor): Tensor => affine(rows, { weight: atMiddle(kernel), bias });
    const mixed = (): Tensor => {
      const [lines, columns] = gridOf(call);
      const [batch, rows] = x.shape as readonly [number, number];
      const front = rows - lines * columns;
      const patches = reshape(slice(low, { axis: 1, start: front, end: rows }), [batch, lines, columns, channels]);
      const together = reshape(convolved(patches, kernel, bias), [batch, lines * columns, channels]);
      return front > 0 ? concat(alone(slice(low, { axis: 1, start: 0, end: front })), together, { axis: 1 }) : together;
    };
    const all = call.pass.get(apart) ? alone(low) : mixed();
    return affine(own.dropout(quickGelu(all), dropout), up);
  };
};

/**
 * Convpass: convolutional bypasses beside attention and MLP of every layer, which read what these read, x: y + s·W_up dropout(g(conv(g(W_down x + b_down)))) + …, g = QuickGELU, conv one of 3 × 3 over the
 * patches where they lie in the picture, zeros around it. The class's row, and others in front, are each convolved as a picture of one patch. W_down [r, d] from U(−√(6 / (d + r)), √(6 / (d + r))), conv the
 * identity, W_up and biases 0. In a model that weighs what its sublayers give (DINOv2), the sum is weighed. Does not merge. Throws `bad-option`, and when attached `no-match` for a model that reads no pictures.
 * Jie & Deng, 2022. https://arxiv.org/abs/2207.07039, https://github.com/JieShibo/PETL-ViT
 */
export const convpass: MethodFactory<ConvpassOptions> = defineMethod<ConvpassOptions>({
  name: 'convpass',
  formula: {
    merges: false,
    options: {
      bottleneck: count('dim', 8),
      scale: number('scale', 1),
      dropout: rate('dropout', 0.1),
      init: oneOf('conv_init', ['identity', 'xavier'], 'identity'),
      sublayers: sublayersOption,
    },
    attach: (model, scope, { bottleneck, scale, dropout, init, sublayers }) => {
      const { tower, paths } = pictureTower(model, 'convpass', 'adaptFormer');
      requireOneWidth(model, 'convpass', tower);
      const beside = (path: Path): Around<Bypassed> => {
        const added = bypass(scope.at(path), model.widthAt(path), bottleneck, init, dropout);
        return (x, next, call) => add(next(x), mul(added(x, call), scale));
      };
      return {
        around: Object.fromEntries(
          sublayers.map((site) => [site, new Map(paths(site).map((path) => [path, beside(path)]))]),
        ),
      };
    },
  },
  files: { peftType: 'PEFTJS_CONVPASS' },
  card: {
    about: 'small convolutions over the patches beside attention and MLP',
    paper: {
      authors: 'Jie & Deng',
      year: 2022,
      title: 'Convolutional Bypasses Are Better Vision Transformer Adapters',
      url: 'https://arxiv.org/abs/2207.07039',
    },
    learningRate: 1e-3,
  },
});
