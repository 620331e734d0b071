import { reshape, slice, type Tensor, transpose } from '@peftjs/tensor';

/** [batch, channels, height, width] -> [batch, patches, channels · high · wide]: what a convolution whose stride is its size sees. */
export const patchesOf = (pixels: Tensor, [high, wide]: readonly [high: number, wide: number]): Tensor => {
  const [batch, channels, height, width] = pixels.shape as readonly [number, number, number, number];
  const [rows, columns] = [Math.floor(height / high), Math.floor(width / wide)];
  const whole = slice(slice(pixels, { axis: 2, start: 0, end: rows * high }), {
    axis: 3,
    start: 0,
    end: columns * wide,
  });
  const parts = reshape(whole, [batch, channels, rows, high, columns, wide]);
  return reshape(transpose(parts, [0, 2, 4, 1, 3, 5]), [batch, rows * columns, channels * high * wide]);
};
