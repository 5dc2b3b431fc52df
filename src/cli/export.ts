import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { Classifier } from '../classify/classifier.js';
import { ONNX_INPUTS, type OnnxInput } from '../export/onnx-graph.js';
import { type ExportedOnnx, exportOnnx } from '../export/onnx.js';
import { exportSafetensors } from '../export/safetensors.js';
import { exportEmbeddings, TABLE_FORMATS, type TableFormat } from '../export/tables.js';
import { loadHead } from '../head/file.js';
import { UsageError } from '../util/errors.js';
import { picturesToCheckOn } from './check-pictures.js';
import { jsonOption, storeOption, wholeNumber } from './options.js';
import { interruptible, Progress } from './progress.js';
import { print, say } from './terminal.js';

/** What each format is written to where no file is named. */
const OUT = {
  onnx: 'classifier.onnx',
  safetensors: 'fc.safetensors',
  npy: 'embeddings.npy',
  parquet: 'embeddings.parquet',
  json: 'embeddings.json',
};
type Format = keyof typeof OUT;

interface ExportFlags extends WriteFlags {
  format: Format;
  out?: string | undefined;
}

export const exportCommand = (command: Command): Command =>
  command
    .addOption(new Option('--format <name>', 'what to write').choices(Object.keys(OUT)).default('onnx'))
    .option('--out <file>', 'where to write it (default: classifier.onnx, fc.safetensors, embeddings.npy, …)')
    .option('--head <file>', `the head (default: ${DEFAULT_HEAD}); of embeddings, those that it reads`)
    .addOption(
      new Option('--input <kind>', 'onnx: what the network takes, see below')
        .choices(ONNX_INPUTS)
        .default('image'),
    )
    .option(
      '--check <dataset>',
      'onnx: the pictures to compare with predict on (default: the data set embedded last, else the examples)',
    )
    .addOption(
      new Option('--pictures <n>', 'onnx: how many of them, at most').argParser(wholeNumber).default(16),
    )
    .option(
      '--calibrated',
      'safetensors: divide the layer by the temperature, so that softmax alone gives probabilities',
    )
    .option(
      '--model <file>',
      'onnx: the network (default: the one of the models folder that the head was trained on); npy, parquet, json: the id of ' +
        'the one that embedded the data set, where there are several',
    )
    .addOption(storeOption())
    .option(
      '--dataset <path>',
      'npy, parquet, json: the data set, as it was embedded (default: the one embedded last)',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
onnx: backbone, head, temperature and softmax as one network, with the labels in its metadata. Its outputs are probabilities, logits,
embedding and unknown. It takes
  image   RGB bytes of upright pictures of any size, uint8 [batch, height, width, 3]; resizes, crops and normalises them itself
  pixels  RGB bytes, resized and cropped already, uint8 [batch, 224, 224, 3]
  tensor  normalised planes, float32 [batch, 3, 224, 224], as torchvision's transforms make them
Before it is written it is run on pictures and compared with predict.

safetensors: fc.weight and fc.bias, which torchvision's resnet18(num_classes=N) loads beside the backbone's own tensors. The
temperature is in the metadata, where --calibrated does not fold it in. docs/export.md has the Python.

npy, parquet, json: the embeddings of a data set with paths, labels and splits. Beside embeddings.npy, which holds numbers alone, the
rest is written as embeddings.csv, a manifest.

Examples:
  npm run export
  npm run export -- --head ants-and-bees.safetensors --out ants-and-bees.onnx --check ~/photos
  npm run export -- --input tensor --json
  npm run export -- --format safetensors
  npm run export -- --format parquet --out embeddings.parquet`,
    )
    .action(run);

/** Options that only some formats know. */
const ONLY: Record<string, readonly Format[]> = {
  input: ['onnx'],
  check: ['onnx'],
  pictures: ['onnx'],
  calibrated: ['safetensors'],
  ...{ model: ['onnx', ...TABLE_FORMATS], dataset: TABLE_FORMATS },
};

async function run(flags: ExportFlags, command: Command): Promise<void> {
  for (const [name, formats] of Object.entries(ONLY)) {
    if (command.getOptionValueSource(name) === 'cli' && !formats.includes(flags.format)) {
      throw new UsageError(
        `--${name} means nothing with --format ${flags.format}; it is for ${formats.join(', ')}.`,
      );
    }
  }
  const path = resolve(flags.out ?? OUT[flags.format]);
  if (flags.format === 'onnx') await writeOnnx(path, flags);
  else if (flags.format === 'safetensors') await writeSafetensors(path, flags);
  else await writeEmbeddings(path, flags.format, flags);
}

const DEFAULT_HEAD = 'head.safetensors';

/** What the writers of all formats go by. */
interface WriteFlags {
  head?: string | undefined;
  input: OnnxInput;
  check?: string | undefined;
  pictures: number;
  calibrated?: boolean | undefined;
  model?: string | undefined;
  store: string;
  dataset?: string | undefined;
  json?: true | undefined;
}

async function writeEmbeddings(
  path: string,
  format: TableFormat,
  { store, dataset, head, json, ...flags }: WriteFlags,
): Promise<void> {
  const model = flags.model ?? (head === undefined ? undefined : (await loadHead(head)).modelId);
  const progress = new Progress('writing', 'rows');
  const written = await interruptible(async (signal) => {
    try {
      return await exportEmbeddings(path, {
        format,
        store,
        signal,
        onNotice: say,
        model,
        dataset,
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      });
    } finally {
      progress.stop();
    }
  });
  if (json) print(JSON.stringify(written));
  else {
    const { paths, rows, width, modelId, failed } = written;
    print(`${paths.join(', ')}: [${rows}, ${width}] by ${modelId}, of ${written.dataset}`);
    if (failed > 0) say(`${failed} pictures of it could not be read, and are not among them.`);
  }
}

async function writeSafetensors(
  path: string,
  { head: file = DEFAULT_HEAD, calibrated = false, json }: WriteFlags,
): Promise<void> {
  const head = await loadHead(file);
  const written = await exportSafetensors(head, path, { calibrated });
  if (json) print(JSON.stringify({ ...written, modelId: head.modelId }));
  else {
    const { classes, width } = written;
    print(`${path}: fc.weight [${classes}, ${width}] and fc.bias [${classes}] for ${head.modelId}`);
    print(
      calibrated
        ? '  the temperature is folded in'
        : `  divide its output by the temperature, ${head.temperature.toPrecision(4)}`,
    );
  }
}

async function writeOnnx(path: string, flags: WriteFlags): Promise<void> {
  const { head = DEFAULT_HEAD, input, json, model } = flags;
  const classifier = await Classifier.load(head, { model, onNotice: say });
  const progress = new Progress('comparing', 'images');
  const { pictures, exported } = await interruptible(async (signal) => {
    try {
      const pictures = await picturesToCheckOn(flags, classifier.head.modelId, signal);
      const exported = await exportOnnx(classifier, path, {
        input,
        signal,
        pictures: pictures.paths,
        onNotice: say,
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      });
      return { pictures, exported };
    } finally {
      progress.stop();
    }
  });
  if (json)
    print(JSON.stringify({ ...exported, modelId: classifier.backbone.id, checkedOn: pictures.dataset }));
  else describe(exported, classifier, pictures.dataset);
}

const INPUTS = {
  image: 'uint8 [batch, height, width, 3], RGB pictures of any size',
  pixels: 'uint8 [batch, crop, crop, 3], RGB pictures resized and cropped',
  tensor: 'float32 [batch, 3, crop, crop], normalised planes',
};

function describe(
  { path, bytes, input, outputs, check }: ExportedOnnx,
  { backbone, head }: Classifier,
  dataset: string,
): void {
  const { pictures, sameTop, meanDifference, largestDifference } = check;
  print(
    `${path}: ${backbone.id} with a head of ${head.labels.length} ${head.kind === 'softmax' ? 'classes' : 'labels'}, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  print(
    `  input    ${INPUTS[input].replaceAll('crop, crop', `${backbone.transform.crop}, ${backbone.transform.crop}`)}`,
  );
  print(`  outputs  ${outputs.join(', ')}`);
  print(
    `  checked  on ${pictures} pictures of ${dataset}: predict's class for ${sameTop} of them, ` +
      `probabilities within ${largestDifference.toPrecision(2)}, on average ${meanDifference.toPrecision(2)}`,
  );
}
