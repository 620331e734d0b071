/** Work that was submitted without waiting for it. */
export interface Submissions {
  /** Notes submitted work and its errors; waits while too much is under way. */
  add(errors: Promise<void>): Promise<void>;
  /** Throws the error of earlier work, once, if it is known by now. */
  check(): void;
  /** Waits for all work under way; throws its error, once. */
  settle(): Promise<void>;
}

/** More than this many steps ahead gains nothing, and what they stage piles up. */
const maxUnderWay = 3;

/** The submissions of a device. */
export const submissions = (device: GPUDevice): Submissions => {
  const underWay: Promise<unknown>[] = [];
  let failure: { readonly error: unknown } | null = null;
  const check = (): void => {
    if (!failure) return;
    const { error } = failure;
    failure = null;
    throw error;
  };
  return {
    add: async (errors) => {
      errors.catch((error: unknown) => {
        failure ??= { error };
      });
      underWay.push(Promise.allSettled([errors, device.queue.onSubmittedWorkDone()]));
      if (underWay.length > maxUnderWay) await underWay.shift();
    },
    check,
    settle: async () => {
      await Promise.all(underWay.splice(0));
      check();
    },
  };
};
