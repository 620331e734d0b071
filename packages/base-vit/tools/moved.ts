import type { Random } from '@peftjs/tensor';

/** Pixels that a picture is moved by, at most. */
const most = 2;

/** A square grey picture moved by up to two pixels in both directions, and mirrored as often as not; what comes in is black. */
export function moved(pixels: Uint8Array, side: number, random: Random): Uint8Array {
  const [down, right] = [0, 0].map(() => Math.floor(random() * (2 * most + 1)) - most) as [number, number];
  const mirrored = random() < 0.5;
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [fromY, fromX] = [y - down, (mirrored ? side - 1 - x : x) - right];
      if (fromY >= 0 && fromY < side && fromX >= 0 && fromX < side) out[y * side + x] = pixels[fromY * side + fromX]!;
    }
  return out;
}
