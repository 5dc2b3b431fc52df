import { type Command, Option } from 'commander';
import { DEFAULT_TOP_K } from '../../util/defaults.js';
import { lazily } from '../../util/lazily.js';
import {
  aboveZero,
  deviceOption,
  headOption,
  jsonOption,
  modelOfHeadOption,
  threadsOption,
  unknownOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from '../options.js';

export const predictCommand = (command: Command): Command =>
  command
    .argument('<image...>', 'picture files, folders of them, or patterns in quotes, such as "photos/*.jpg"')
    .addOption(headOption())
    .addOption(new Option('--top-k <k>', 'classes to show per picture').argParser(wholeNumber).default(DEFAULT_TOP_K))
    .option(
      '--pretrained-classes',
      "use the backbone's own last layer (the 1000 classes of ImageNet) instead of a head",
    )
    .option('--labels <file>', 'with --pretrained-classes: the names of the classes, one per line')
    .option('--csv <file>', 'write a row for each picture to this file, which is replaced')
    .addOption(
      new Option('--jsonl', 'print a JSON object for each picture as soon as it is classified').conflicts('json'),
    )
    .option('--copy-to <dir>', 'copy the pictures into a folder for each class')
    .option('--link-to <dir>', 'make links to the pictures in a folder for each class')
    .option('--explain <file|dir>', 'draw where the two leading classes are seen: a .png, or a folder for one each')
    .addOption(
      new Option(
        '--explain-scale <share>',
        'with --explain: the share of the logit that gets the brightest colour',
      ).argParser(aboveZero),
    )
    .addOption(new Option('--watch', 'then classify new pictures as they arrive in the folders').conflicts('json'))
    .addOption(viewsOption('augmented views to average over'))
    .addOption(unknownOption('as the head was trained'))
    .addOption(modelOfHeadOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
typicality, from 0 to 1, tells how much a picture is like the training pictures: 0.3 means that 30 % of those that the head got
right in cross-validation are less typical. Below the rate of --unknown, the picture is "unlike the training pictures", and the
predictions are only the best guess. That catches most pictures of entirely different things, but not something that looks like
one of the classes. A higher rate catches more, and flags about that share of the pictures that are predicted right.

With a multilabel head, the labels whose probability reaches their threshold stand beside the picture, and the most probable
labels below.

${VIEWS_HELP}
The logits of all views are averaged. Each view takes as much time as the picture itself.

The pictures of a folder are those in it and below it, sorted by path. With --csv, --copy-to, --link-to or a folder of --explain,
they are not printed one by one. The summary at the end counts the pictures of each class.

--copy-to and --link-to make unknown/ beside the folders of the classes and, with a multilabel head, none/. They never overwrite a
file: another picture of the same name becomes "name (2).jpg". One that is there already is left alone, so a second run is safe.

--explain draws the center crop, which is what the network sees, and beside it a heat map for each of the two most probable
classes. A colour is the share that a place has in the logit; the mean of the shares is the logit itself (docs/predicting.md).
Colours mean the same in all pictures of a run: by default, the first 32 pictures give the scale. It is printed at the end, so that
you can repeat it with --explain-scale. A file is replaced; in a folder, no file is overwritten, as with --copy-to. With --json or
--jsonl, the shares are printed, too.

--watch takes a file once it has not changed for a second, also over a network, until Ctrl-C. A file that cannot be read is tried
again when it changes.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run predict -- ant.jpg bee.jpg
  npm run predict -- photos/ --csv photos.csv
  npm run predict -- photos/ --copy-to sorted
  npm run predict -- photo.jpg --explain why.png
  npm run predict -- photos/ --explain why
  npm run predict -- inbox/ --watch --link-to sorted --jsonl
  npm run predict -- --head head.safetensors --top-k 5 --json "photos/2024-*/*.jpg"
  npm run predict -- --pretrained-classes dog.jpg`,
    )
    .action(lazily(async () => (await import('../predict.js')).run));
