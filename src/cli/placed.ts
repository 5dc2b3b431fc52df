import { firstOf } from '../util/format.js';
import { notice, onOneLine } from './terminal.js';

/** Of files that were put into folders, `12, and there already: 3`. */
export function placedText({ placed, present }: { placed: number; present: number }): string {
  return `${placed}${present > 0 ? `, and there already: ${present}` : ''}`;
}

/** Tells which labels have folders of other names, as no folder can have theirs. @param renamed names by label */
export function noticeRenamed(renamed: ReadonlyMap<string, string>): void {
  if (renamed.size === 0) return;
  const names = [...renamed].map(([label, name]) => onOneLine(`${JSON.stringify(label)} in ${name}`));
  notice(`Not every label can be the name of a folder: ${firstOf(names, 3)}.`);
}
