/** The embedding store. */
export type { RowFilter } from '../store/filter.js';
export type { EmbeddingRow } from '../store/row.js';
export { EmbeddingStore, type DatasetRecord } from '../store/store.js';
export { EmbeddingTable } from '../store/table.js';
