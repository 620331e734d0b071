import type { Picture } from './picture.ts';

/**
 * The middle of a picture; black where it is smaller. As of transformers, `center_crop`: of an odd rest the larger half is below and right, or, where
 * there is too little, above and left.
 */
export const centerCrop = (
  { width, height, channels, data }: Picture,
  newWidth: number,
  newHeight: number,
): Picture => {
  const startOf = (from: number, to: number): number => Math.floor((from - to) / 2);
  const [left, top] = [startOf(width, newWidth), startOf(height, newHeight)];
  const out = new Uint8Array(newWidth * newHeight * channels);
  for (let y = 0; y < newHeight; y++)
    for (let x = 0; x < newWidth; x++) {
      const [fromX, fromY] = [x + left, y + top];
      if (fromX < 0 || fromY < 0 || fromX >= width || fromY >= height) continue;
      for (let c = 0; c < channels; c++)
        out[(y * newWidth + x) * channels + c] = data[(fromY * width + fromX) * channels + c]!;
    }
  return { width: newWidth, height: newHeight, channels, data: out };
};
