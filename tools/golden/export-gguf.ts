// Writes the shipped base model and an adapter as GGUF files, for check_llamacpp.py.
// Usage: node --conditions=@peftjs/source --import tsx export-gguf.ts FOLDER
import { mkdirSync } from 'node:fs';
import { cpu } from '@peftjs/onnx';
import { writeGgufFiles } from './src/write-gguf.ts';

const [folder] = process.argv.slice(2) as [string];
mkdirSync(folder, { recursive: true });
const executor = await cpu();
await writeGgufFiles(folder, { executor });
await executor.close();
