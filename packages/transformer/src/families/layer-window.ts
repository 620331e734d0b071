import type { DecoderConfig } from './decoder/config.ts';

/** The window of each layer: by `layer_types` where the config has them, else of those layers that `byDefault` says. */
export const layerWindow =
  ({ fields = {} }: DecoderConfig, byDefault: (layer: number) => boolean) =>
  (layer: number): number | null => {
    const { layerTypes, slidingWindow = null, useSlidingWindow = true } = fields;
    const isCut = layerTypes ? layerTypes[layer] === 'sliding_attention' : byDefault(layer);
    return isCut && useSlidingWindow ? slidingWindow : null;
  };
