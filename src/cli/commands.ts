import type { Command } from 'commander';

interface CommandEntry {
  name: string;
  description: string;
  /** Words that people try in place of the name. */
  tried: readonly string[];
  /** Imports the module that adds the options and the action to the command. */
  load: () => Promise<(command: Command) => Command>;
}

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'fetch-model',
    description: "Get a backbone: one of torchvision's ImageNet ResNets, or a file or address of your own.",
    tried: ['download', 'fetch', 'init'],
    load: async () => (await import('./commands/fetch-model.js')).fetchModelCommand,
  },
  {
    name: 'embed',
    description: 'Turn a data set of pictures into stored embeddings.',
    tried: ['features', 'extract', 'index', 'import'],
    load: async () => (await import('./commands/embed.js')).embedCommand,
  },
  {
    name: 'train-head',
    description: 'Train the last layer on the stored embeddings, for one or several labels per picture.',
    tried: ['train', 'fit', 'learn', 'finetune', 'fine-tune'],
    load: async () => (await import('./commands/train-head.js')).trainHeadCommand,
  },
  {
    name: 'predict',
    description: 'Classify pictures.',
    tried: ['classify', 'infer', 'inference', 'run'],
    load: async () => (await import('./commands/predict.js')).predictCommand,
  },
  {
    name: 'evaluate',
    description: 'Evaluate a head on a labelled data set.',
    tried: ['eval', 'test', 'validate', 'score'],
    load: async () => (await import('./commands/evaluate.js')).evaluateCommand,
  },
  {
    name: 'compare',
    description: 'Tell whether one head is better than another, and which pictures changed.',
    tried: ['diff', 'versus', 'ab-test'],
    load: async () => (await import('./commands/compare.js')).compareCommand,
  },
  {
    name: 'check-data',
    description: 'Find duplicates, leaks, wrong labels and odd pictures in an embedded data set.',
    tried: ['check', 'clean', 'verify', 'duplicates'],
    load: async () => (await import('./commands/check-data.js')).checkDataCommand,
  },
  {
    name: 'label',
    description: 'Label, clean and add pictures on a page, with a classifier that learns from every click.',
    tried: ['annotate', 'annotator', 'tag', 'sort', 'curate'],
    load: async () => (await import('./commands/label.js')).labelCommand,
  },
  {
    name: 'report',
    description: 'Show how good a head is and where it fails, in one HTML file.',
    tried: ['html', 'show'],
    load: async () => (await import('./commands/report.js')).reportCommand,
  },
  {
    name: 'search',
    description: 'Find the pictures of an embedded data set that are most similar to a given one.',
    tried: ['similar', 'find', 'query'],
    load: async () => (await import('./commands/search.js')).searchCommand,
  },
  {
    name: 'serve',
    description: 'Classify pictures over HTTP, with a page to drop them on.',
    tried: ['server', 'start', 'api', 'http'],
    load: async () => (await import('./commands/serve.js')).serveCommand,
  },
  {
    name: 'inspect',
    description: 'Print the layers of the backbone with their shapes and parameters.',
    tried: ['info', 'layers', 'summary'],
    load: async () => (await import('./commands/inspect.js')).inspectCommand,
  },
  {
    name: 'models',
    description: 'List the models that there are, with the heads and stores that use them.',
    tried: ['model', 'list', 'ls'],
    load: async () => (await import('./commands/models.js')).modelsCommand,
  },
  {
    name: 'quantize',
    description: 'Convert the backbone to int8, about three times as fast, and measure how close it stays.',
    tried: ['int8', 'optimize'],
    load: async () => (await import('./commands/quantize.js')).quantizeCommand,
  },
  {
    name: 'export',
    description: 'Write the classifier or the embeddings for other programs.',
    tried: ['convert', 'onnx', 'save'],
    load: async () => (await import('./commands/export.js')).exportCommand,
  },
  {
    name: 'worker',
    description: 'Embed pictures from the queue of `npm run embed -- DATASET --queue URL`, until stopped.',
    tried: ['queue', 'workers'],
    load: async () => (await import('./commands/worker.js')).workerCommand,
  },
  {
    name: 'completion',
    description: 'Print the script by which bash, zsh or fish completes commands.',
    // `npm run` has no completion, so there is no script to suggest.
    tried: [],
    load: async () => (await import('./commands/completion.js')).completionCommand,
  },
];
