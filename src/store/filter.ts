import type { View } from '../image/views.js';

/** Which rows to read. */
export interface RowFilter {
  /** Only those of this data set. */
  dataset?: string | undefined;
  /** Only those with (true) or without (false) an error. */
  failed?: boolean | undefined;
  split?: string | null | undefined;
  /** Only these views; by default `center` alone, of which every picture has one row. */
  views?: readonly View[] | undefined;
}

/** The filter as an SQL condition. */
export function conditionOf({ dataset, failed, split, views = ['center'] }: RowFilter): string {
  const conditions = [isIn('view', views)];
  if (dataset !== undefined) conditions.push(`dataset = ${quote(dataset)}`);
  if (failed !== undefined) conditions.push(failed ? 'error IS NOT NULL' : 'error IS NULL');
  if (split !== undefined) conditions.push(split === null ? 'split IS NULL' : `split = ${quote(split)}`);
  return conditions.join(' AND ');
}

/** The condition of all rows of some files of a data set. */
export function ofFiles(dataset: string, paths: readonly string[]): string {
  return `dataset = ${quote(dataset)} AND ${isIn('path', paths)}`;
}

/** A text as an SQL literal. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `column IN (…)` over texts or numbers. */
export function isIn(column: string, values: readonly (string | number)[]): string {
  return `${column} IN (${values.map((v) => (typeof v === 'string' ? quote(v) : String(v))).join(', ')})`;
}
