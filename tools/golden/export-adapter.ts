// Trains the tiny adapter that `check.py` reads, and saves it. Usage: export-adapter.ts MODEL_DIR ADAPTER_DIR
import { basename } from 'node:path';
import { save } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { trainTinyAdapter } from './src/tiny-adapter.ts';

const [modelDir, adapterDir] = process.argv.slice(2);
if (!modelDir || !adapterDir) throw new Error('Usage: export-adapter.ts MODEL_DIR ADAPTER_DIR');
const executor = reference();
const adapted = await trainTinyAdapter(await loadModel(modelDir), executor);
await save(adapted, adapterDir, { executor, baseModel: basename(modelDir) });
