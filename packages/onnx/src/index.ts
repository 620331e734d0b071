export { type CpuOptions, cpu } from './cpu/cpu.ts';
export { type ExportOptions, exportOnnx } from './export/export-onnx.ts';
