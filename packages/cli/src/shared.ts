export { openDevice } from './device.ts';
export { type Factory, methods } from './methods.ts';
export { inNewFolder } from './output.ts';
export { aligned, say, wholeWords } from './terminal.ts';
