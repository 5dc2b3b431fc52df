import { type Command, Option } from 'commander';
import { ONNX_INPUTS, TABLE_FORMATS } from '../../export/formats.js';
import { DEFAULT_HEAD } from '../../util/defaults.js';
import { lazily } from '../../util/lazily.js';
import { jsonOption, storeOption, wholeNumber } from '../options.js';

/** What may be written. */
const FORMATS = ['onnx', 'safetensors', ...TABLE_FORMATS];

export const exportCommand = (command: Command): Command =>
  command
    .addOption(new Option('--format <name>', 'what to write').choices(FORMATS).default('onnx'))
    .option('--out <file>', 'file to write (default: classifier.onnx, fc.safetensors, embeddings.npy, …)')
    .option(
      '--head <file>',
      `head file (default: ${DEFAULT_HEAD}); npy, parquet, json: export the embeddings that it needs`,
    )
    .addOption(
      new Option('--input <kind>', 'onnx: what the model takes, see below').choices(ONNX_INPUTS).default('image'),
    )
    .option('--explain', 'onnx: another output, shares, tells where each class is seen')
    .option(
      '--check <dataset>',
      'onnx: pictures to compare with predict on (default: the data set embedded last, else the examples)',
    )
    .option('--pictures <n>', 'onnx: the most pictures to compare on', wholeNumber, 16)
    .option(
      '--calibrated',
      'safetensors: divide the layer by the temperature, so that softmax alone gives probabilities',
    )
    .option(
      '--model <name|file>',
      'onnx: name, id or file of the backbone (default: the one that the head was trained on); npy, parquet, json: id or ' +
        'name of the backbone, if several have embedded the data set',
    )
    .addOption(storeOption())
    .option(
      '--dataset <path>',
      'npy, parquet, json: data set in the store, as given to embed (default: the one embedded last)',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
onnx: backbone, head, temperature and softmax as one model, with the labels in its metadata. It is compared with predict before it
is written. Outputs: probabilities, logits, embedding, typicality and unknown; with --explain, also shares, float32
[batch, classes, 7, 7], whose means are the logits. Input:
  image   RGB bytes of upright pictures of any size, uint8 [batch, height, width, 3]; the model resizes, crops and normalises them
  pixels  RGB bytes, already resized and cropped, uint8 [batch, 224, 224, 3]
  tensor  normalised planes, float32 [batch, 3, 224, 224], as torchvision's transforms make them

safetensors: fc.weight and fc.bias, which torchvision's resnet18(num_classes=N) loads beside the backbone's own tensors. Unless
--calibrated is given, the temperature is in the metadata. docs/export.md has the Python.

npy, parquet, json: the embeddings of a data set with paths, labels and splits. embeddings.npy holds only numbers; the rest is
written beside it as embeddings.csv, a manifest.

Examples:
  npm run export
  npm run export -- --head ants-and-bees.safetensors --out ants-and-bees.onnx --check ~/photos
  npm run export -- --input tensor --json
  npm run export -- --explain
  npm run export -- --format safetensors
  npm run export -- --format parquet --out embeddings.parquet`,
    )
    .action(lazily(async () => (await import('../export.js')).run));
