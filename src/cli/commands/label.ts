import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULTS } from '../../label/options.js';
import { DEFAULT_HEAD } from '../../util/defaults.js';
import { lazily } from '../../util/lazily.js';
import { deviceOption, jsonOption, modelOption, port, storeOption, threadsOption } from '../options.js';

export const labelCommand = (command: Command): Command =>
  command
    .argument(
      '<dataset>',
      'folder of pictures, or a manifest (.csv, .tsv, .jsonl); or the manifest of an earlier session',
    )
    .argument('[folder]', 'with --apply: where the folders of the classes go')
    .addOption(new Option('--labels <names>', 'classes to begin with, separated by commas').argParser(names))
    .option('--multilabel', 'pictures have any number of labels')
    .option('--out <csv>', 'manifest to write (default: photos.labels.csv, beside photos)')
    .option('--head <file>', 'head to write', DEFAULT_HEAD)
    .addOption(
      new Option('--apply <how>', 'put the labelled pictures into a folder for each class, and end').choices([
        'copy',
        'link',
      ]),
    )
    .option('--open', 'open the page in the browser')
    .addOption(new Option('--port <n>', 'port of the page, 0 for any free one').argParser(port).default(DEFAULTS.port))
    .addOption(storeOption())
    .addOption(modelOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
What is new is embedded first. Then the address of the page is printed; only this machine can reach it. A classifier learns from
every label, says how good it is, and chooses what to label next.

For ~/photos, the labels are written to ~/photos.labels.csv, a manifest that embed takes, and everything that was done to
~/photos.labels.jsonl: it can be undone, also tomorrow. The pictures are never changed or moved. If the program is killed, start it
again; no label is lost. If you edit the manifest by hand, that is taken over at the next start.

Ctrl-C saves the manifest and, if there are enough labels, the head, as embed and train-head would. The exit code is 0.

Examples:
  npm run label -- ~/photos --open                         labels of class folders are labels already
  npm run label -- ~/photos --labels ant,bee               nothing is labelled yet: these are the classes
  npm run label -- photos.csv --out corrected.csv          go on with a manifest
  npm run label -- ~/photos --labels red,round --multilabel
  npm run label -- ~/photos --apply copy sorted            sorted/ant/1.jpg, sorted/bee/2.jpg, …`,
    )
    .action(lazily(async () => (await import('../label.js')).run));

function names(text: string): string[] {
  const found = text.split(',').map((name) => name.trim());
  if (found.every((name) => name !== '')) return found;
  throw new InvalidArgumentError('It must be names separated by commas, such as ant,bee.');
}
