import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { UsageError } from '../errors.js';
import { ONNX_INPUTS, TABLE_FORMATS } from '../export/index.js';
import {
  DEFAULT_HEAD,
  writeEmbeddings,
  writeOnnx,
  writeSafetensors,
  type WriteFlags,
} from './export-formats.js';
import { jsonOption, storeOption, wholeNumber } from './options.js';

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
  out?: string;
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
onnx: trunk, head, temperature and softmax as one network, with the labels in its metadata. Its outputs are probabilities, logits,
embedding and unknown. It takes
  image   RGB bytes of upright pictures of any size, uint8 [batch, height, width, 3]; resizes, crops and normalises them itself
  pixels  RGB bytes, resized and cropped already, uint8 [batch, 224, 224, 3]
  tensor  normalised planes, float32 [batch, 3, 224, 224], as torchvision's transforms make them
Before it is written it is run on pictures and compared with predict.

safetensors: fc.weight and fc.bias, which torchvision's resnet18(num_classes=N) loads beside the trunk's own tensors. The
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
  ...{ input: ['onnx'], check: ['onnx'], pictures: ['onnx'], calibrated: ['safetensors'] },
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
