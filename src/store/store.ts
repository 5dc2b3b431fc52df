import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Connection, Table } from '@lancedb/lancedb';
import type { Schema } from 'apache-arrow';
import { LastlayerError, messageOf } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { blocksInStore, inStore, reasonOf, retryConflicts } from './errors.js';
import { arrow, connect, makeArrowTable } from '../util/lancedb.js';
import { optimize } from './maintenance.js';
import { hasPrimaryKey, rowSchema } from './row.js';
import { EmbeddingTable, PRIMARY_KEY, type WriteOptions } from './table.js';

/** Folder of the store where none is given. */
export const DEFAULT_STORE = 'embeddings';

/** A data set that was embedded, whole or in part, with one model. */
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
  /** False where the last embedding was broken off. */
  complete: boolean;
  /** When it was last embedded, in milliseconds since 1970. */
  updated: number;
}

const CATALOG = 'datasets';
const CATALOG_SCHEMA = new arrow.Schema([
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
 * The cache of embeddings: a LanceDB database with a table for each model and transform, whose embeddings never mix,
 * and a list of the data sets that were embedded.
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
   * @param options.create make it where there is none
   * @throws {LastlayerError} where there is none and none is to be made, or it cannot be opened
   */
  static async open(location: string, options: { create: boolean }): Promise<EmbeddingStore> {
    const path = EmbeddingStore.locate(location);
    if (!options.create && !(await EmbeddingStore.exists(location))) {
      throw new LastlayerError(`There are no embeddings at ${path}. Run \`npm run embed -- DATASET\` first.`);
    }
    try {
      // Other processes may write to it, too: what they did is seen by whatever is asked next.
      return new EmbeddingStore(await connect(path, { readConsistencyInterval: 0 }), path);
    } catch (error) {
      throw new LastlayerError(`The store ${path} cannot be opened: ${reasonOf(error)}.`);
    }
  }

  /** The absolute path of a store, or its address as it is. */
  static locate(location: string): string {
    return isAddress(location) ? location : resolve(location);
  }

  /** Whether there may be a store: always true of an address, which only opening it can tell. */
  static async exists(location: string): Promise<boolean> {
    return isAddress(location) || (await isFolder(resolve(location)));
  }

  /** The table of a model and a transform, to write to; made where it is not there yet, and given new columns. */
  async table(modelId: string, transformId: string, width: number): Promise<EmbeddingTable> {
    const name = tableName(modelId, transformId);
    const table = await inStore(this.location, async () => {
      const opened = await this.openOrCreate(name, rowSchema(width));
      await addMissingColumns(opened, rowSchema(width));
      return opened;
    });
    return new EmbeddingTable(table, this.location, modelId, transformId, width);
  }

  /** The table of a model and a transform, where there is one. */
  async existingTable(
    modelId: string,
    transformId: string,
    width: number,
  ): Promise<EmbeddingTable | undefined> {
    const table = await inStore(this.location, () => this.openIfThere(tableName(modelId, transformId)));
    return table && new EmbeddingTable(table, this.location, modelId, transformId, width);
  }

  /**
   * As {@link existingTable}, to write to while others do.
   * @throws {LastlayerError} where there is none, or an earlier version made it, which did not provide for that
   */
  async tableToShare(
    modelId: string,
    transformId: string,
    width: number,
    options: WriteOptions,
  ): Promise<EmbeddingTable> {
    const name = tableName(modelId, transformId);
    const table = await inStore(this.location, () => this.openIfThere(name));
    if (!table) throw new LastlayerError(`The store ${this.location} has no table for ${modelId}.`);
    if (!hasPrimaryKey(await inStore(this.location, () => table.schema()))) {
      throw new LastlayerError(
        `The store ${this.location} was made by an earlier version, and several workers cannot write to it at once. Embed ` +
          `into another one (--store), or without --queue.`,
      );
    }
    return new EmbeddingTable(table, this.location, modelId, transformId, width, options);
  }

  /** The table of a data set that was embedded. */
  async tableOf({ table, model_id, transform_id, width }: DatasetRecord): Promise<EmbeddingTable> {
    const opened = await inStore(this.location, () => this.connection.openTable(table));
    return new EmbeddingTable(opened, this.location, model_id, transform_id, width);
  }

  /** The data sets that were embedded, the latest first; one of two models is listed twice. */
  async datasets(): Promise<DatasetRecord[]> {
    const catalog = await inStore(this.location, () => this.openIfThere(CATALOG));
    if (!catalog) return [];
    const records: DatasetRecord[] = [];
    for await (const batch of blocksInStore(this.location, catalog.query())) {
      for (const row of batch) {
        const { dataset, layout, table, ...rest } = row.toJSON() as DatasetRecord;
        const { model_id, transform_id, width, complete, updated } = rest;
        records.push({ dataset, layout, table, model_id, transform_id, width, complete, updated });
      }
    }
    return records.sort((a, b) => b.updated - a.updated);
  }

  /** Notes that a data set was, or is being, embedded. */
  async record(record: DatasetRecord): Promise<void> {
    await inStore(this.location, () => this.putRecord(record));
  }

  private async putRecord(record: DatasetRecord): Promise<void> {
    const table = await this.openOrCreate(CATALOG, CATALOG_SCHEMA);
    const row = { key: `${record.table}:${record.dataset}`, ...record };
    const data = makeArrowTable([row], { schema: CATALOG_SCHEMA });
    await retryConflicts(() =>
      table.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data),
    );
    // Once in a run is enough, and the beginning is waited for.
    if (record.complete) await optimize(table);
  }

  close(): void {
    this.connection.close();
  }

  private async openOrCreate(name: string, schema: Schema): Promise<Table> {
    // An earlier version's table may have another schema, at which createEmptyTable takes offence.
    const table = await this.openIfThere(name);
    return table ?? this.connection.createEmptyTable(name, schema, { mode: 'create', existOk: true });
  }

  /** Opens a table, where it is there: one that was just being made when its process was killed has a folder, but no version. */
  private async openIfThere(name: string): Promise<Table | undefined> {
    if (!(await this.connection.tableNames()).includes(name)) return undefined;
    try {
      return await this.connection.openTable(name);
    } catch (error) {
      if (messageOf(error).startsWith(`Table '${name}' was not found`)) return undefined;
      throw error;
    }
  }
}

/** Gives a table that an earlier version made the columns that it lacks; all of them may be null. */
async function addMissingColumns(table: Table, wanted: Schema): Promise<void> {
  const present = new Set((await table.schema()).names.map(String));
  const missing = wanted.fields.filter(({ name }) => !present.has(name));
  if (missing.length > 0) await table.addColumns(missing);
}

/** Letters, digits and `.-_` only, as LanceDB's table names want it. */
function tableName(modelId: string, transformId: string): string {
  const transform = sha256Of(transformId).slice(0, 8);
  return `${modelId.replaceAll(/[^\w.-]/g, '.')}.${transform}`;
}

function isAddress(location: string): boolean {
  return /^[a-z][a-z0-9+]+:\/\//.test(location);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
