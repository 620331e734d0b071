export { serve } from './host/serve.ts';
