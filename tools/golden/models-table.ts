// Writes the table of models into docs/models.md, made of the goldens of the families.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { modelsTable, withModels } from './src/models-table.ts';

const file = fileURLToPath(new URL('../../docs/models.md', import.meta.url));
writeFileSync(file, withModels(readFileSync(file, 'utf8'), await modelsTable()));
