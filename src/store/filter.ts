import type { View } from '../image/views.js';

/** Which rows to read. */
export interface RowFilter {
  /** Only rows of this data set. */
  dataset?: string | undefined;
  /** Only rows with (true) or without (false) an error. */
  failed?: boolean | undefined;
  /** Only rows of this split; null for those of none. */
  split?: string | null | undefined;
  /** Only these views. @default center, of which every picture has one row */
  views?: readonly View[] | undefined;
}

/** The filter as an SQL condition. */
export function conditionOf({ dataset, failed, split, views = ['center'] }: RowFilter): string {
  const conditions = [isIn('view', views)];
  if (dataset !== undefined) conditions.push(isIn('dataset', [dataset]));
  if (failed !== undefined) conditions.push(failed ? 'error IS NOT NULL' : 'error IS NULL');
  if (split !== undefined) conditions.push(split === null ? 'split IS NULL' : isIn('split', [split]));
  return conditions.join(' AND ');
}

/** `column IN (…)` */
export function isIn(column: string, values: readonly (string | number)[]): string {
  const literals = values.map((value) =>
    typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value),
  );
  return `${column} IN (${literals.join(', ')})`;
}
