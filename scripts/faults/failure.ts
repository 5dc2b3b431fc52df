import type { Run } from './command.js';

/** @throws unless a command failed, and told so in words that name the place, without a stack */
export function checkClearFailure({ code, stderr }: Run, place: string): void {
  const told = stderr.slice(stderr.indexOf('Error:'));
  const isClear =
    told.startsWith('Error:') &&
    told.includes(place) &&
    !/\n\s+at |\.rs:|GenericFailure/.test(told) &&
    told.length < 800;
  if (code !== 1 || !isClear)
    throw new Error(`The failure was to be told clearly, but there was ${code}: ${stderr}`);
}
