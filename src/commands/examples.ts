import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../errors.js';
import { say } from './terminal.js';

/** The pictures that come with a clone, for a first try; the installed package is without. */
const EXAMPLES = fileURLToPath(new URL('../../test/fixtures/examples', import.meta.url));

/**
 * The data set that a command is to work on, which is the example pictures where none is named.
 * @param call how to name one, e.g. `npm run embed -- FOLDER`
 * @throws {UsageError} where none is named and there are no examples
 */
export function datasetOrExamples(named: string | undefined, call: string): string {
  if (named !== undefined) return named;
  if (!existsSync(EXAMPLES)) {
    throw new UsageError(`No data set is named. Name a folder of pictures or a manifest: ${call}`);
  }
  say(`No data set is named, so here are the example pictures: ${EXAMPLES}`);
  say(`Your own: ${call}`);
  return EXAMPLES;
}
