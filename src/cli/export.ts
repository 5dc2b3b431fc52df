import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Classifier } from '../classify/classifier.js';
import type { Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { sampleEntries } from '../data/sample.js';
import { type OnnxInput, TABLE_FORMATS, type TableFormat } from '../export/formats.js';
import { type ExportedOnnx, exportOnnx } from '../export/onnx.js';
import { exportSafetensors } from '../export/safetensors.js';
import { exportEmbeddings } from '../export/tables.js';
import { loadHead } from '../head/file.js';
import { EmbeddingStore } from '../store/store.js';
import { DEFAULT_HEAD } from '../util/defaults.js';
import { UsageError } from '../util/errors.js';
import { quantity } from '../util/format.js';
import { sayNext } from './next.js';
import { datasetOrExamples } from './options.js';
import { interruptible, Progress } from './progress.js';
import { print, printJson, say } from './terminal.js';

/** The default file of each format. */
const OUT = {
  onnx: 'classifier.onnx',
  safetensors: 'fc.safetensors',
  npy: 'embeddings.npy',
  parquet: 'embeddings.parquet',
  json: 'embeddings.json',
};
type Format = keyof typeof OUT;

interface ExportFlags {
  format: Format;
  out?: string | undefined;
  head?: string | undefined;
  input: OnnxInput;
  explain?: true | undefined;
  check?: string | undefined;
  pictures: number;
  calibrated?: boolean | undefined;
  model?: string | undefined;
  store: string;
  dataset?: string | undefined;
  json?: true | undefined;
}

/** Options that only some formats take. */
const ONLY: Record<string, readonly Format[]> = {
  input: ['onnx'],
  explain: ['onnx'],
  check: ['onnx'],
  pictures: ['onnx'],
  calibrated: ['safetensors'],
  model: ['onnx', ...TABLE_FORMATS],
  dataset: TABLE_FORMATS,
};

export async function run(flags: ExportFlags, command: Command): Promise<void> {
  for (const [name, formats] of Object.entries(ONLY)) {
    if (command.getOptionValueSource(name) === 'cli' && !formats.includes(flags.format)) {
      throw new UsageError(`--${name} does not apply to ${flags.format}, only to ${formats.join(', ')}.`);
    }
  }
  const path = resolve(flags.out ?? OUT[flags.format]);
  if (flags.format === 'onnx') await writeOnnx(path, flags);
  else if (flags.format === 'safetensors') await writeSafetensors(path, flags);
  else await writeEmbeddings(path, flags.format, flags);
  if (!flags.json) sayNext('docs/export.md says how other programs read it.');
}

async function writeOnnx(path: string, flags: ExportFlags): Promise<void> {
  const { head = DEFAULT_HEAD, input, explain, json, model } = flags;
  const classifier = await Classifier.load(head, { model, onNotice: say });
  const progress = new Progress('comparing', 'pictures');
  const { dataset, exported } = await interruptible(
    async (signal) => {
      const { dataset, pictures } = await sampleToCheckOn(flags, classifier.head.modelId, signal);
      const exported = await exportOnnx(classifier, path, {
        input,
        explain,
        signal,
        pictures,
        onNotice: say,
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      });
      return { dataset, exported };
    },
    { displays: [progress] },
  );
  if (json) printJson({ ...exported, modelId: classifier.backbone.id, checkedOn: dataset });
  else describe(exported, classifier, dataset);
}

/** Validation pictures first: the head was not trained on them. */
const PREFERENCE: (Split | undefined)[][] = [['val'], ['test'], [undefined, 'train']];

/** A sample of picture files, always the same, of --check, else of what this backbone embedded last, else of the examples. */
async function sampleToCheckOn(
  { check, store, pictures: limit }: ExportFlags,
  modelId: string,
  signal: AbortSignal,
): Promise<{ dataset: string; pictures: string[] }> {
  const named = check ?? (await latestDataset(store, modelId));
  const dataset = await openDataset(datasetOrExamples(named, 'npm run export -- --check FOLDER'));
  for (const splits of PREFERENCE) {
    const { entries } = await sampleEntries(dataset, { splits, limit, signal });
    const files = entries.filter(({ source }) => source === undefined);
    if (files.length > 0) return { dataset: dataset.root, pictures: files.map(({ path }) => path) };
  }
  return { dataset: dataset.root, pictures: [] };
}

async function latestDataset(location: string, modelId: string): Promise<string | undefined> {
  if (!(await EmbeddingStore.exists(location))) return undefined;
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const record = (await store.datasets()).find(({ model_id }) => model_id === modelId);
    if (!record || (await stat(record.dataset).catch(() => undefined))) return record?.dataset;
    say(`${record.dataset}, which was embedded last, no longer exists.`);
    return undefined;
  } finally {
    store.close();
  }
}

function describe(
  { path, bytes, input, outputs, check }: ExportedOnnx,
  { backbone, head }: Classifier,
  dataset: string,
): void {
  const { pictures, sameTop, meanDifference, largestDifference, largestShareDifference } = check;
  const { crop } = backbone.transform;
  const takes = {
    image: 'uint8 [batch, height, width, 3], RGB pictures of any size',
    pixels: `uint8 [batch, ${crop}, ${crop}, 3], RGB pictures, resized and cropped`,
    tensor: `float32 [batch, 3, ${crop}, ${crop}], normalised planes`,
  };
  const labels =
    head.kind === 'softmax' ? quantity(head.labels.length, 'class', 'classes') : quantity(head.labels.length, 'label');
  print(`${path}: ${backbone.id} with a head of ${labels}, ${(bytes / 1e6).toFixed(1)} MB`);
  print(`  input    ${takes[input]}`);
  print(`  outputs  ${outputs.join(', ')}`);
  print(
    `  checked  on ${quantity(pictures, 'picture')} of ${dataset}: predict's class for ${sameTop} of ${pictures}, ` +
      `probabilities within ${largestDifference.toPrecision(2)}, on average ${meanDifference.toPrecision(2)}` +
      (largestShareDifference === undefined
        ? ''
        : `, shares within ${largestShareDifference.toPrecision(2)} of the largest`),
  );
}

async function writeSafetensors(
  path: string,
  { head: file = DEFAULT_HEAD, calibrated = false, json }: ExportFlags,
): Promise<void> {
  const head = await loadHead(file);
  const written = await exportSafetensors(head, path, { calibrated });
  if (json) {
    printJson({ ...written, modelId: head.modelId });
    return;
  }
  const { classes, width } = written;
  print(`${path}: fc.weight [${classes}, ${width}] and fc.bias [${classes}] for ${head.modelId}`);
  print(
    calibrated
      ? '  the temperature is folded in'
      : `  divide its output by the temperature, ${head.temperature.toPrecision(4)}`,
  );
}

async function writeEmbeddings(
  path: string,
  format: TableFormat,
  { store, dataset, head, json, ...flags }: ExportFlags,
): Promise<void> {
  const model = flags.model ?? (head === undefined ? undefined : (await loadHead(head)).modelId);
  const progress = new Progress('writing', 'rows');
  const written = await interruptible(
    (signal) =>
      exportEmbeddings(path, {
        format,
        store,
        model,
        dataset,
        signal,
        onNotice: say,
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      }),
    { displays: [progress] },
  );
  if (json) {
    printJson(written);
    return;
  }
  const { paths, rows, width, modelId, failed } = written;
  print(`${paths.join(', ')}: [${rows}, ${width}] by ${modelId}, of ${written.dataset}`);
  if (failed > 0) say(`not included: ${quantity(failed, 'picture')} that could not be read`);
}
