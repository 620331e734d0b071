export { type Mpi, openMpi } from './open-mpi.ts';
