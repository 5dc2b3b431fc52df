import { crossValidate } from '../../src/head/cross-validate.js';
import { featuresInMemory } from '../../src/head/examples.js';
import { HeadGraph } from '../../src/head/objective.js';
import { stratifiedFolds } from '../../src/head/split.js';
import { multilabelTask, softmaxTask, taskOf } from '../../src/head/task.js';
import { uniform } from './data.js';

/** Classes that overlap, in correlated features as a backbone's are, each row with a second label by chance. */
function madeUp(rows: number, width: number, classes: number) {
  const random = uniform(31);
  const noise = () => random() + random() + random() - 1.5;
  const mixing = Float64Array.from({ length: 6 * width }, noise);
  const centres = Float64Array.from({ length: classes * 6 }, noise);
  const features = new Float32Array(rows * width);
  const labels = Array.from({ length: rows }, (_, i) => [`label ${i % classes}`, ...(random() < 0.2 ? ['other'] : [])]);
  for (let i = 0; i < rows; i++) {
    const hidden = Array.from({ length: 6 }, (_, k) => (centres[(i % classes) * 6 + k] ?? 0) + noise());
    for (let j = 0; j < width; j++) {
      features[i * width + j] = hidden.reduce((sum, z, k) => sum + z * (mixing[k * width + j] ?? 0), 0.3 * noise());
    }
  }
  return { features, labels };
}

test.each([
  ['of few rows', 'softmax', 300],
  ['of many rows, which the first fold is tried on before', 'softmax', 6_000],
  ['of several labels', 'multilabel', 6_000],
] as const)('figures %s are those of the optimum of each λ, and the best λ is chosen', async (_, kind, rows) => {
  const [width, classes] = [32, 8];
  const { features, labels } = madeUp(rows, width, classes);
  const task = taskOf(kind);
  const lists = kind === 'softmax' ? labels.map((list) => list.slice(0, 1)) : labels;
  const mask = () => true;
  const targets = (kind === 'softmax' ? softmaxTask : multilabelTask).encode(lists, mask);
  const examples = { task, source: featuresInMemory(features, width), ...targets };
  const groups = Array.from({ length: rows }, (_row, i) => `picture-${i}`);
  const folds = stratifiedFolds({ strata: task.strata(targets, mask), groups });
  await HeadGraph.with(task, async (graph) => {
    const found = await crossValidate(graph, examples, { mask, ...folds });
    const exact = async (l2: number) =>
      (await crossValidate(graph, examples, { mask, ...folds, l2, tolerance: 1e-6 })).chosen;
    for (const { l2, logLoss } of found.path) {
      expect(Math.abs(logLoss - (await exact(l2)).logLoss)).toBeLessThan(1e-3);
    }
    for (const l2 of found.givenUp) {
      expect((await exact(l2)).logLoss).toBeGreaterThan(found.chosen.logLoss - 1e-3);
    }
    expect(found.path.length + found.givenUp.length).toBeGreaterThan(3);
  });
});
