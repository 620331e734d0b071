// Adds to a record of check.py how far our logits and losses are from it. Usage: compare.ts MODEL_DIR ADAPTER_DIR RECORD.json
import { writeFileAtomic } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { compare } from './src/compare.ts';
import { readRecord } from './src/record.ts';

const [modelDir, adapterDir, record] = process.argv.slice(2);
if (!modelDir || !adapterDir || !record) throw new Error('Usage: compare.ts MODEL_DIR ADAPTER_DIR RECORD.json');
const difference = await compare(modelDir, adapterDir, record, reference());
await writeFileAtomic(record, `${JSON.stringify({ ...(await readRecord(record)), difference }, null, 2)}\n`);
process.stdout.write(`${JSON.stringify(difference)}\n`);
