/** The embedding store. */
export type { Fingerprint } from '../image/fingerprint.js';
export type { RowFilter } from '../store/filter.js';
export type { EmbeddingRow, KnownRow, RowStore } from '../store/row.js';
export type { EmbeddingBlock } from '../store/schema.js';
export { EmbeddingStore, type DatasetRecord } from '../store/store.js';
export { EmbeddingTable, type WriteOptions } from '../store/table.js';
