import { addSquares, constant, sqrt, type Tensor } from '@peftjs/tensor';

/** √Σ‖g‖² over all gradients. */
export const globalNorm = (gradients: Iterable<Tensor>): Tensor =>
  sqrt([...gradients].reduce<Tensor>((total, g) => addSquares(total, g), constant(Float32Array.of(0), [])));
