import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULTS } from '../../label/options.js';
import { DEFAULT_HEAD } from '../../util/defaults.js';
import { lazily } from '../../util/lazily.js';
import { deviceOption, modelOption, port, storeOption, threadsOption } from '../options.js';

export const labelCommand = (command: Command): Command =>
  command
    .argument(
      '<dataset>',
      'folder of pictures, or a manifest (.csv, .tsv, .jsonl); or the manifest of an earlier session',
    )
    .addOption(new Option('--labels <names>', 'classes to begin with, separated by commas').argParser(names))
    .option('--multilabel', 'pictures have any number of labels')
    .option('--out <csv>', 'manifest to write (default: photos.labels.csv, beside photos)')
    .option('--head <file>', 'head to write', DEFAULT_HEAD)
    .addOption(new Option('--port <n>', 'port of the page, 0 for any free one').argParser(port).default(DEFAULTS.port))
    .addOption(storeOption())
    .addOption(modelOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .action(lazily(async () => (await import('../label.js')).run));

function names(text: string): string[] {
  const found = text.split(',').map((name) => name.trim());
  if (found.every((name) => name !== '')) return found;
  throw new InvalidArgumentError('It must be names separated by commas, such as ant,bee.');
}
