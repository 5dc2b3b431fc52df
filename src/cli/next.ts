import { commandLine } from '../util/format.js';
import { say } from './terminal.js';

/** Ends a command: names the one to go on with. @param what e.g. `` `npm run train-head` trains a head on them. `` */
export function sayNext(what: string): void {
  say(`\nNext: ${what}`);
}

/** The call of a command, in backquotes, to be copied into a shell. @param args without those that are undefined */
export function call(name: string, ...args: readonly (string | undefined)[]): string {
  const words = args.filter((word) => word !== undefined);
  return `\`${commandLine(name, words)}\``;
}

/** An option and its value, or nothing if that is what the next command takes anyway. */
export function option(name: string, value: string | undefined, fallback?: string): string[] {
  return value === undefined || value === fallback ? [] : [name, value];
}
