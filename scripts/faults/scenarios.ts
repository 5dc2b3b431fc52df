import { killEmbed } from './kill-embed.js';
import { killExport, killFetchModel, killQuantize, killTrainHead } from './kill-files.js';
import { diskFull } from './disk-full.js';
import { deletedStore, readOnlyStore } from './store-gone.js';
import { movingPictures } from './moving-pictures.js';
import { together } from './together.js';
import type { Scenario } from './scenario.js';

/** All scenarios by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'kill-embed': killEmbed,
  'kill-train-head': killTrainHead,
  'kill-export': killExport,
  'kill-fetch-model': killFetchModel,
  'kill-quantize': killQuantize,
  'disk-full': diskFull,
  'read-only-store': readOnlyStore,
  'deleted-store': deletedStore,
  'moving-pictures': movingPictures,
  together,
};
