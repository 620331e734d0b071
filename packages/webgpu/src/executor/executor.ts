import { checkOptions, type Executor, mustBe, PeftError, type Program, type Rules } from '@peftjs/tensor';
import { checkWrite, readVariables, valueOwner } from '@peftjs/tensor/executor';
import { type Gpu, type GpuOptions, openGpu } from '../device/dawn.ts';
import { explainFault } from '../device/faults.ts';
import { compileProgram } from './executable.ts';
import { type HostOptions, makeHost } from './host.ts';
import { timeTrial } from './time-trial.ts';
import { download } from './transfer.ts';
import { deviceStore } from './tune-store.ts';

/** Work that is done one piece after the other. */
interface Line {
  enter<T>(work: () => Promise<T>): Promise<T>;
  readonly idle: boolean;
}

const workLine = (): Line => {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    enter: (work) => {
      waiting++;
      const next = last.then(work).finally(() => waiting--);
      last = next.catch(() => undefined);
      return next;
    },
    get idle() {
      return waiting === 0;
    },
  };
};

/** An executor on an open device, which it then owns. */
export const executorOn = (gpu: Gpu, options: HostOptions = {}): Executor => {
  const line = workLine();
  const owner = valueOwner('webgpu');
  const runOnce = async (program: Program): Promise<void> => {
    owner.check('an initial value', readVariables(program));
    const executable = await compileProgram(host, program);
    try {
      await executable.run({}, { read: [] });
    } finally {
      executable.close();
    }
  };
  const host = makeHost(gpu, options, { runOnce, timeTrial });
  const { device, buffers, variables, submissions } = host;

  /** Does what comes to the device one after the other; what fails because the device did says that. */
  const inLine = <T>(work: () => Promise<T>): Promise<T> =>
    line.enter(async () => {
      try {
        return await work();
      } catch (error) {
        throw explainFault(gpu, error);
      }
    });
  const enter = <T>(work: () => Promise<T>): Promise<T> =>
    inLine(() => {
      gpu.check();
      submissions.check();
      return work();
    });

  return {
    name: 'webgpu',
    description: gpu.description,
    compile: (program) =>
      enter(async () => {
        const { run, kept, profile, ...rest } = await compileProgram(host, program);
        const reads = readVariables(program);
        const noting = <T>(work: () => Promise<T>): Promise<T> =>
          inLine(async () => {
            owner.check('a run', reads);
            const result = await work();
            owner.changed(program.updates.map(([v]) => v));
            return result;
          });
        return {
          ...rest,
          run: (feeds, read) => noting(() => run(feeds, read)),
          kept: () => inLine(kept),
          profile: (feeds) => noting(() => profile(feeds)),
        };
      }),
    read: (variable) =>
      enter(async () => {
        owner.check('read', [variable]);
        await submissions.settle();
        await variables.ensure([variable]);
        return download(device, buffers, variables.placeOf(variable.node), variable);
      }),
    write: (variable, data) =>
      enter(async () => {
        checkWrite(variable, data);
        await variables.write(variable, data);
        owner.changed([variable]);
      }),
    release: (list) => {
      const all = [...list];
      owner.released(all);
      if (line.idle) variables.release(all);
      else void line.enter(async () => variables.release(all));
    },
    memory: () => buffers.report(),
    close: () => line.enter(async () => gpu.close()),
  };
};

/** Options of the executor on WebGPU. */
export interface WebgpuOptions extends GpuOptions, Pick<HostOptions, 'memoryLimit'> {
  /**
   * Whether products take the kernel that is the fastest here, found by timing a few the first time that sizes of a kind come up and kept in
   * the user's cache directory (in a browser: its local storage). Default: what the environment variable `PEFTJS_AUTOTUNE` says (`on` or
   * `off`), else on hardware. Kernels sum in different orders, so results of two machines may differ in their last bits, as may those before
   * and after a choice is made; off, choices are fixed.
   */
  readonly autotune?: boolean;
}

const names = mustBe.such('a list of names', (v) => Array.isArray(v) && v.every((name) => typeof name === 'string'));

const rules: Rules<WebgpuOptions> = {
  adapter: mustBe.oneOf(['hardware', 'software', 'any']),
  powerPreference: mustBe.oneOf(['high-performance', 'low-power']),
  features: names,
  compute: mustBe.oneOf(['f32', 'f16']),
  enable: names,
  disable: names,
  memoryLimit: mustBe.bytes,
  autotune: mustBe.flag,
};

const tuneByEnvironment = (): boolean | undefined => {
  const value = typeof process === 'undefined' ? undefined : process.env['PEFTJS_AUTOTUNE'] || undefined;
  if (value === undefined || value === 'on' || value === 'off') return value === undefined ? undefined : value === 'on';
  throw new PeftError('bad-option', `PEFTJS_AUTOTUNE is ${JSON.stringify(value)}; set it to on or off, or not at all`);
};

/**
 * The executor on WebGPU: Dawn in Node, the browser's own elsewhere. A hardware adapter unless `adapter: 'software'`
 * asks otherwise. Programs that need more than `memoryLimit` bytes are refused when they are compiled; WebGPU doesn't tell how much there is.
 * Throws `device-unavailable`; `bad-option`, also where `PEFTJS_AUTOTUNE` is neither on nor off.
 */
export const webgpu = async (given: WebgpuOptions = {}): Promise<Executor> => {
  checkOptions('webgpu', rules, given);
  const { memoryLimit, autotune, ...options } = given;
  const tune = autotune ?? tuneByEnvironment();
  const gpu = await openGpu(options);
  return executorOn(gpu, {
    ...(memoryLimit !== undefined && { memoryLimit }),
    ...((tune ?? !gpu.facts.software) && { tuned: { store: await deviceStore(gpu.description) } }),
  });
};
