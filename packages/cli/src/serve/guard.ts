import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from './api-error.ts';

/** Who may ask. */
export interface GuardOptions {
  /** The key that each request must bring; null where only this machine can ask. */
  readonly key: string | null;
  /** Origins of web pages that may ask. */
  readonly origins: readonly string[];
}

const hashed = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Names of this machine, as a browser that was led here by another name does not call it. */
const isLocal = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i.test(host);

/**
 * Lets through who may ask: with the key, where there is one; of web pages those of the given origins; and without a key only who calls this machine by a name of its own,
 * so that no page can reach it by another name that leads here. Throws `ApiError`.
 */
export const guard = ({ key, origins }: GuardOptions): MiddlewareHandler => {
  const wanted = key === null ? null : hashed(`Bearer ${key}`);
  return async ({ req }, next) => {
    const origin = req.header('origin');
    if (origin !== undefined && !origins.includes(origin))
      throw new ApiError(403, 'permission_error', `pages of ${origin} may not ask here; --origin ${origin} lets them`);
    if (wanted === null && !isLocal(req.header('host') ?? ''))
      throw new ApiError(403, 'permission_error', 'without a key only this machine may ask, by localhost or 127.0.0.1');
    if (
      wanted !== null &&
      req.path !== '/health' &&
      !timingSafeEqual(wanted, hashed(req.header('authorization') ?? ''))
    )
      throw new ApiError(401, 'authentication_error', 'the key is missing or another: Authorization: Bearer KEY', {
        code: 'invalid_api_key',
      });
    await next();
  };
};
