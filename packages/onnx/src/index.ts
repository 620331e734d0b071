export { type CpuOptions, cpu } from './cpu/cpu.ts';
export { type ExportOptions, exportOnnx } from './export/export-onnx.ts';
export { type OnnxFilesOptions, type OnnxInput, onnxFiles } from './export/onnx-files.ts';
