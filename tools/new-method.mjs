// The texts of a new method.

/** `prefixTuning` -> `prefix-tuning`. */
export const fileNameOf = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const typeOf = (name) => `${name[0].toUpperCase()}${name.slice(1)}Options`;

/** Its line in the family's index. */
export const exportLine = (name) => `export { ${name}, type ${typeOf(name)} } from './${fileNameOf(name)}.ts';`;

/** Its row of laws. */
export const lawsRow = (name) => `  ${name}: {
    options: {},
    parameters: ({ linears }) =>
      [...linears].reduce((n, [path, { outDim }]) => n + (/^(lm_head|classifier)$/.test(path) ? 0 : outDim), 0),
  },
`;

/** A method that scales the outputs of layers by 1 + v, to be replaced by the real one. */
export const methodFile = (
  name,
) => `import { defineMethod, eachLinear, type MethodFactory, type Target, targets, zeros } from '@peftjs/core';
import { add, mul, reshape } from '@peftjs/tensor';

/** Options of \`${name}\`. */
export interface ${typeOf(name)} {
  /** Default: all linear layers but the output head. */
  readonly target?: Target;
}

/**
 * ${name}: y = (1 + v) ⊙ (Wx + b), v [out] zero at the start. Merges. Throws \`bad-option\`, and when attached \`no-match\`.
 * AUTHORS, YEAR. LINK
 */
export const ${name}: MethodFactory<${typeOf(name)}> = defineMethod<${typeOf(name)}>({
  name: '${name}',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
    },
    attach: (model, scope, { target }) =>
      eachLinear(model, scope, target, '${name}', (base, own) => {
        const scale = add(own.param('v', [base.outDim], zeros), 1);
        return {
          ...base,
          apply: (x, call) => mul(base.apply(x, call), scale),
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: mul(weight, reshape(scale, [-1, 1])), bias: bias && mul(bias, scale) };
          },
        };
      }),
  },
  files: {
    peftType: 'PEFTJS_${fileNameOf(name).replaceAll('-', '_').toUpperCase()}', // Hugging Face PEFT's, where it has the method
  },
  card: {
    about: 'a scale of every output',
    paper: { authors: 'AUTHORS', year: 2000, title: 'TITLE', url: 'https://arxiv.org/abs/' },
    learningRate: 1e-3,
  },
});
`;
