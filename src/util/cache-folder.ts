import { resolve } from 'node:path';
import envPaths from 'env-paths';

/**
 * A folder for what can be made or fetched again: in `$LASTLAYER_HOME`, or else in the platform's cache folder for lastlayer. It
 * does not depend on the working directory.
 */
export function cacheFolder(name: string): string {
  const { LASTLAYER_HOME: home = '' } = process.env;
  return resolve(home === '' ? envPaths('lastlayer', { suffix: '' }).cache : home, name);
}
