import type { Command } from 'commander';

/** A command before its options are known. */
interface CommandEntry {
  name: string;
  description: string;
  /** Gives the command its options and its action, out of a module that is loaded for it. */
  load: () => Promise<(command: Command) => Command>;
}

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'fetch-model',
    description:
      "Get the frozen network: one of torchvision's ImageNet ResNets, or a file or address of your own.",
    load: async () => (await import('./fetch-model.js')).fetchModelCommand,
  },
  {
    name: 'embed',
    description: 'Turn a data set of pictures into cached embeddings.',
    load: async () => (await import('./embed.js')).embedCommand,
  },
  {
    name: 'train-head',
    description:
      'Train the last layer, a softmax regression or one of any number of labels, on the cached embeddings.',
    load: async () => (await import('./train-head.js')).trainHeadCommand,
  },
  {
    name: 'predict',
    description: 'Tell what is on pictures.',
    load: async () => (await import('./predict.js')).predictCommand,
  },
  {
    name: 'evaluate',
    description: 'Judge a head on a labelled data set.',
    load: async () => (await import('./evaluate.js')).evaluateCommand,
  },
  {
    name: 'check-data',
    description: 'Find duplicates, leaks, wrong labels and odd pictures in an embedded data set.',
    load: async () => (await import('./check-data.js')).checkDataCommand,
  },
  {
    name: 'report',
    description: 'Show how good a head is and where it fails, as one HTML file.',
    load: async () => (await import('./report.js')).reportCommand,
  },
  {
    name: 'search',
    description: 'Find the pictures of an embedded data set that are the most similar to one.',
    load: async () => (await import('./search.js')).searchCommand,
  },
  {
    name: 'serve',
    description: 'Answer over HTTP what is on pictures, with a page to drop them on.',
    load: async () => (await import('./serve.js')).serveCommand,
  },
  {
    name: 'inspect',
    description:
      'Print the architecture of the network in use: its layers, shapes, parameters, and what is frozen.',
    load: async () => (await import('./inspect.js')).inspectCommand,
  },
  {
    name: 'quantize',
    description:
      'Make the network compute in int8, about three times as fast, and measure how close it stays.',
    load: async () => (await import('./quantize.js')).quantizeCommand,
  },
  {
    name: 'export',
    description: 'Write the trained classifier for other programs.',
    load: async () => (await import('./export.js')).exportCommand,
  },
  {
    name: 'worker',
    description:
      'Embed pictures that `npm run embed -- DATASET --queue URL` hands out, until it is told to stop.',
    load: async () => (await import('./worker.js')).workerCommand,
  },
];
