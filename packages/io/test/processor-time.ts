/** Milliseconds of processor time that this process has used: unlike the clock's they don't grow when other programs run too. */
export const processorTime = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
