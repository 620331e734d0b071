/** An action that is done once, when it is first asked for; again where it failed. */
export const once = <T>(action: () => Promise<T>): (() => Promise<T>) => {
  let done: Promise<T> | null = null;
  return () => {
    if (done) return done;
    const own = action();
    done = own;
    own.catch(() => {
      done = null;
    });
    return own;
  };
};
