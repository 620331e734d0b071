import { writeFile } from 'node:fs/promises';
import { runJsonSchema } from '../src/config/json-schema.ts';

await writeFile(new URL('../run.schema.json', import.meta.url), `${JSON.stringify(runJsonSchema(), null, 1)}\n`);
