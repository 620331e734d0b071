export { cpu, type CpuOptions } from './cpu/cpu.ts';
