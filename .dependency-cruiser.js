// What `npm run lint` checks of imports, those of types included. There are no cycles, and each folder of src imports only from
// folders below it.

/** The folders of src, lowest first, as in CONTRIBUTING.md. */
const LAYERS = [
  'util',
  'formats',
  'data',
  'image',
  'backbone',
  'head',
  'store',
  'embed',
  'classify',
  'check',
  'export',
  'report',
  'server',
  'label',
  'browser',
  'cli',
];

const layers = LAYERS.slice(0, -1).map((folder, i) => ({
  name: `layers: ${folder}`,
  comment: `src/${folder} must not import from the layers above it, see LAYERS in .dependency-cruiser.js.`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: `^src/(${LAYERS.slice(i + 1).join('|')})/` },
}));

export default {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Move what both files need to a file below them.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...layers,
    {
      name: 'no-pictures',
      comment: 'src/formats and src/head know nothing of pictures and data sets.',
      severity: 'error',
      from: { path: '^src/(formats|head)/' },
      to: { path: '^src/', pathNot: '^src/(formats|head|util)/' },
    },
    {
      name: 'entry-points-on-top',
      comment: 'Nothing in src imports the public API or the command line.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/((index|cli)\\.ts$|exports/)' },
    },
    {
      name: 'src-alone',
      comment: 'src is what is published: it imports nothing that is not.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(scripts|test|examples)/' },
    },
    {
      name: 'onnxruntime-without-telemetry',
      comment: 'src/util/onnxruntime.ts turns its telemetry off first. A thread of the backbone starts after that.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(util/onnxruntime\\.ts|backbone/backbone-worker\\.js)$' },
      to: { path: 'node_modules/onnxruntime-node', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'not-to-dev-dep',
      comment:
        'Users do not have the devDependencies. What runs from a clone only may import them dynamically. The pages are bundled ' +
        'with what they import.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/browser/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], dynamic: false },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
