/** A GPU's sheet, as its vendor has it. */
export interface GpuSheet {
  readonly name: string;
  readonly memoryBytes: number;
  /** Bytes per second between memory and chip. */
  readonly bandwidth: number;
  readonly cores: number;
  /** The boost clock, in Hz; of a laptop the highest that the vendor allows. */
  readonly clock: number;
  readonly source: string;
}

/** Two that people have at home. Nothing was run on them. */
export const gpus: readonly GpuSheet[] = [
  {
    name: 'RTX 4060 Laptop',
    memoryBytes: 8 * 2 ** 30,
    bandwidth: 256e9,
    cores: 3072,
    clock: 2.37e9,
    source: 'https://www.nvidia.com/en-us/geforce/laptops/40-series/',
  },
  {
    name: 'RTX 4090',
    memoryBytes: 24 * 2 ** 30,
    bandwidth: 1008e9,
    cores: 16384,
    clock: 2.52e9,
    source: 'https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4090/',
  },
];

/** f32 operations per second: a multiplication and an addition per core and clock. Kernels of WebGPU reach no tensor cores. */
export const peakFlops = ({ cores, clock }: GpuSheet): number => 2 * cores * clock;
