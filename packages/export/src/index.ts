export { type ExportModelOptions, exportModel } from './export-model.ts';
