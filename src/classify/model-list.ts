import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultModel, modelFolders, type StoredModel, storedModels } from '../backbone/models.js';
import { loadHead } from '../head/file.js';
import { EmbeddingStore } from '../store/store.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isFolder } from '../util/files.js';

/** What was made with a model. */
export interface ModelUsers {
  /** Files of heads. */
  heads: string[];
  /** Data sets that it embedded, and the stores that they are in. */
  datasets: { store: string; dataset: string }[];
}

export interface ListedModel extends StoredModel, ModelUsers {
  /** Whether commands use it unless another is chosen. */
  isDefault: boolean;
}

export interface ModelList {
  models: ListedModel[];
  /** Models that heads and stores need and that are in none of the folders. */
  missing: ({ id: string } & ModelUsers)[];
  /** Where models were looked for, in this order. */
  folders: string[];
}

export interface ListModelsOptions {
  /** Heads, stores, and folders that have some. @default the working directory */
  users?: readonly string[] | undefined;
  /** Folder of models to look in, in place of `models` in the working directory and the platform's cache folder. */
  modelsDir?: string | undefined;
  /** Receives a line for each store in a folder that cannot be read. */
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * The models that there are, and the heads and stores that use them.
 * @throws {LastlayerError} if a folder cannot be read, or something named is no head and no store
 */
export async function listModels({ users = ['.'], modelsDir, onNotice }: ListModelsOptions = {}): Promise<ModelList> {
  const byId = new Map<string, ModelUsers>();
  const usersOf = (id: string): ModelUsers => {
    const found = byId.get(id) ?? { heads: [], datasets: [] };
    byId.set(id, found);
    return found;
  };
  const addHead = async (path: string) => {
    usersOf((await loadHead(path)).modelId).heads.push(path);
  };
  const addStore = async (location: string) => {
    const store = await EmbeddingStore.open(location, { create: false });
    try {
      for (const { model_id, dataset } of await store.datasets()) {
        usersOf(model_id).datasets.push({ store: location, dataset });
      }
    } finally {
      store.close();
    }
  };
  for (const user of users) {
    if (user.endsWith('.safetensors')) await addHead(user);
    else if (!(await isFolder(user)) || (await EmbeddingStore.isStore(user))) await addStore(user);
    else {
      for (const path of await filesOf(user)) {
        // A folder may have other files of this kind, such as checkpoints.
        if (path.endsWith('.safetensors')) await addHead(path).catch(unlessLastlayerError(() => undefined));
        else if (await EmbeddingStore.isStore(path)) {
          await addStore(path).catch(
            unlessLastlayerError((error) => onNotice?.(`The store ${path} is left out: ${error.message}`)),
          );
        }
      }
    }
  }
  const inUse = await defaultModel(modelsDir);
  const models = (await storedModels(modelsDir)).map((model) => ({
    ...model,
    ...(byId.get(model.id) ?? { heads: [], datasets: [] }),
    isDefault: model.path === inUse,
  }));
  const here = new Set(models.map(({ id }) => id));
  const missing = [...byId].filter(([id]) => !here.has(id)).map(([id, found]) => ({ id, ...found }));
  return { models, missing, folders: modelFolders(modelsDir) };
}

async function filesOf(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort().map((name) => join(folder, name));
  } catch (error) {
    throw new LastlayerError(`The folder ${folder} cannot be read: ${messageOf(error)}.`);
  }
}

function unlessLastlayerError(handle: (error: LastlayerError) => void): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof LastlayerError)) throw error;
    handle(error);
  };
}
