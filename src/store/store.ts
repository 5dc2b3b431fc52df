import { join, resolve } from 'node:path';
import type { Connection, Table } from '@lancedb/lancedb';
import type { Schema } from 'apache-arrow';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isFolder } from '../util/files.js';
import { sha256Of } from '../util/hash.js';
import { arrow, connect, makeArrowTable } from '../util/lancedb.js';
import { blocksInStore, inStore, reasonOf, retryConflicts } from './errors.js';
import { compact } from './maintenance.js';
import { hasFormat, PRIMARY_KEY, rowSchema, schemaOf } from './schema.js';
import { EmbeddingTable, type WriteOptions } from './table.js';

/** A data set that was embedded by one model, completely or in part. */
export interface DatasetRecord {
  /** Absolute path of the folder or manifest. */
  dataset: string;
  layout: string;
  /** Table that holds its rows. */
  table: string;
  model_id: string;
  transform_id: string;
  /** Width of the embeddings. */
  width: number;
  /** False if the last run was interrupted. */
  complete: boolean;
  /** When it was last embedded, in milliseconds since 1970. */
  updated: number;
}

const CATALOG = 'datasets';
const CATALOG_SCHEMA = schemaOf([
  new arrow.Field('key', new arrow.Utf8(), false, PRIMARY_KEY),
  new arrow.Field('dataset', new arrow.Utf8(), false),
  new arrow.Field('layout', new arrow.Utf8(), false),
  new arrow.Field('table', new arrow.Utf8(), false),
  new arrow.Field('model_id', new arrow.Utf8(), false),
  new arrow.Field('transform_id', new arrow.Utf8(), false),
  new arrow.Field('width', new arrow.Int32(), false),
  new arrow.Field('complete', new arrow.Bool(), false),
  new arrow.Field('updated', new arrow.Float64(), false),
]);

/**
 * The cache of embeddings: a LanceDB database with a table for each pair of model and transform, whose embeddings never mix, and a
 * catalog of the data sets that were embedded.
 */
export class EmbeddingStore {
  private constructor(
    private readonly connection: Connection,
    /** Absolute path, or the address of an object store. */
    readonly location: string,
  ) {}

  /**
   * Opens a store.
   * @param location a folder, or an address such as s3://bucket/folder
   * @param options.create make it if it does not exist
   * @throws {LastlayerError} if it does not exist and is not to be made, or cannot be opened
   */
  static async open(location: string, options: { create: boolean }): Promise<EmbeddingStore> {
    const path = EmbeddingStore.locate(location);
    if (!options.create && !(await EmbeddingStore.exists(location))) {
      throw new LastlayerError(
        `There are no embeddings at ${path}. Run \`npm run embed -- DATASET\` first.`,
        'NOT_EMBEDDED',
      );
    }
    try {
      // With an interval of 0, every call sees what other processes have written before it.
      return new EmbeddingStore(await connect(path, { readConsistencyInterval: 0 }), path);
    } catch (error) {
      throw new LastlayerError(`The store ${path} cannot be opened: ${reasonOf(error)}.`, 'STORE_UNUSABLE');
    }
  }

  /** The absolute path of a store, or its address as it is. */
  static locate(location: string): string {
    return isAddress(location) ? location : resolve(location);
  }

  /** Whether there may be a store. Always true of an address, which only opening it can tell. */
  static async exists(location: string): Promise<boolean> {
    return isAddress(location) || (await isFolder(location));
  }

  /** The table of a model and a transform, made if it does not exist. @throws {LastlayerError} if it is of another format */
  async table(modelId: string, transformId: string, width: number): Promise<EmbeddingTable> {
    const name = tableName(modelId, transformId);
    const table = await inStore(this.location, () => this.openOrCreate(name, rowSchema(width)));
    return new EmbeddingTable(table, this.location, modelId, transformId, width);
  }

  /** The table of a model and a transform, if it exists. @throws {LastlayerError} if it is of another format */
  async existingTable(
    modelId: string,
    transformId: string,
    width: number,
    options?: WriteOptions,
  ): Promise<EmbeddingTable | undefined> {
    const table = await inStore(this.location, () => this.openIfThere(tableName(modelId, transformId)));
    return table && new EmbeddingTable(table, this.location, modelId, transformId, width, options);
  }

  /** The table of a data set that was embedded. @throws {LastlayerError} if it is of another format */
  async tableOf({ table, model_id, transform_id, width }: DatasetRecord): Promise<EmbeddingTable> {
    const opened = await inStore(this.location, async () => this.inFormat(await this.connection.openTable(table)));
    return new EmbeddingTable(opened, this.location, model_id, transform_id, width);
  }

  /** The data sets that were embedded, the latest first. One that two models have embedded is listed twice. */
  async datasets(): Promise<DatasetRecord[]> {
    const catalog = await inStore(this.location, () => this.openIfThere(CATALOG));
    if (!catalog) return [];
    const records: DatasetRecord[] = [];
    for await (const batch of blocksInStore(this.location, catalog.query())) {
      for (const row of batch) {
        const { key: _, ...record } = row.toJSON() as DatasetRecord & { key: string };
        records.push(record);
      }
    }
    return records.sort((a, b) => b.updated - a.updated);
  }

  /** Notes that a data set is being, or was, embedded. */
  async record(record: DatasetRecord): Promise<void> {
    await inStore(this.location, async () => {
      const table = await this.openOrCreate(CATALOG, CATALOG_SCHEMA);
      const row = { key: `${record.table}:${record.dataset}`, ...record };
      const data = makeArrowTable([row], { schema: CATALOG_SCHEMA });
      await retryConflicts(() =>
        table.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data),
      );
      // Once a run is enough, and not at its beginning, which users wait for.
      if (record.complete) await compact(table);
    });
  }

  /** Whether a folder on disk is a store. */
  static async isStore(folder: string): Promise<boolean> {
    return isFolder(join(folder, `${CATALOG}.lance`));
  }

  close(): void {
    this.connection.close();
  }

  private async openOrCreate(name: string, schema: Schema): Promise<Table> {
    const table = await this.openIfThere(name);
    return table ?? this.connection.createEmptyTable(name, schema, { mode: 'create', existOk: true });
  }

  /** A table whose process was killed while making it is listed and has a folder, but no version yet: it counts as absent. */
  private async openIfThere(name: string): Promise<Table | undefined> {
    if (!(await this.connection.tableNames()).includes(name)) return undefined;
    try {
      return await this.inFormat(await this.connection.openTable(name));
    } catch (error) {
      if (messageOf(error).startsWith(`Table '${name}' was not found`)) return undefined;
      throw error;
    }
  }

  private async inFormat(table: Table): Promise<Table> {
    if (hasFormat(await table.schema())) return table;
    throw new LastlayerError(
      `The store ${this.location} was written by another version of lastlayer, in another format. Embed the data set into a new ` +
        'store (--store).',
      'STORE_UNUSABLE',
    );
  }
}

/** Of letters, digits, `.`, `-` and `_`: LanceDB's table names take no others. */
function tableName(modelId: string, transformId: string): string {
  const transform = sha256Of(transformId).slice(0, 8);
  return `${modelId.replaceAll(/[^\w.-]/g, '.')}.${transform}`;
}

function isAddress(location: string): boolean {
  return /^[a-z][a-z0-9+]+:\/\//.test(location);
}
