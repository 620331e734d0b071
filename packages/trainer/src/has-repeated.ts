/** Whether a stream has begun anew: a stage `repeat` of its cursor counts epochs. */
export const hasRepeated = (cursor: unknown): boolean => {
  if (typeof cursor !== 'object' || cursor === null) return false;
  const { stage, epoch, ...inner } = cursor as Record<string, unknown>;
  return (stage === 'repeat' && (epoch as number) > 0) || Object.values(inner).some(hasRepeated);
};
