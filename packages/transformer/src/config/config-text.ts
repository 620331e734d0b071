/** Fields that transformers takes as numbers with a point alone: it refuses `30` where it wrote `30.0`. */
const floats = [
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'rms_norm_eps',
  'layer_norm_eps',
  'layer_norm_epsilon',
];

/** The text of a `config.json`. */
export const configText = (json: Readonly<Record<string, unknown>>): string => {
  const whole = new RegExp(`^( {2}"(?:${floats.join('|')})": -?\\d+)(,?)$`, 'gm');
  return `${JSON.stringify(json, null, 2).replace(whole, '$1.0$2')}\n`;
};
