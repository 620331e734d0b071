export { openDevice } from './device.ts';
export { type Factory, methods } from './methods.ts';
export { inNewFolder } from './output.ts';
export type { Curve } from './report/chart.ts';
export type { PredictedExample } from './report/examples.ts';
export { type Report, renderReport } from './report/report.ts';
export { aligned, say, wholeWords } from './terminal.ts';
