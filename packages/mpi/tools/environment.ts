/** Variables of a launcher. Open MPI wants to be asked twice before it runs for root, and for more processes than cores; MPICH knows none of it. */
export const environment: NodeJS.ProcessEnv = {
  ...process.env,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
  // Who waits lets others work: tests share the machine.
  OMPI_MCA_mpi_yield_when_idle: '1',
  PRTE_MCA_rmaps_default_mapping_policy: ':oversubscribe',
};
