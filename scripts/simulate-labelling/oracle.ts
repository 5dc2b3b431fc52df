import { LabelClassifier } from '../../src/label/learn/classifier.js';
import { Material } from '../../src/label/learn/material.js';
import type { LabelPictures } from '../../src/label/pictures.js';
import { nextToLabel } from '../../src/label/queues/next.js';
import { LabelState, NOTHING_SAID } from '../../src/label/state.js';
import type { Random } from '../support/random.js';

/** What a picture shows, and which split it is of. */
export type Truth = readonly { label: string | undefined; split: string | undefined }[];

/** How pictures to label are chosen. */
export const STRATEGIES = ['next', 'random'] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** Somebody who knows all labels, at the page. */
export class Oracle {
  private readonly material = new Material();
  private readonly state = new LabelState(false);
  private readonly classifier = new LabelClassifier(this.material, { modelId: 'any', transformId: 'any' });
  private readonly signal = new AbortController().signal;
  private sent = 0;
  private steps = 0;

  /** @param part which pictures are to be labelled; those of val are looked at, and all others are not there */
  constructor(
    pictures: LabelPictures,
    private readonly truth: Truth,
    part: readonly boolean[],
  ) {
    const { embeddings, width, paths, digests, widths, heights, problems, fingerprints } = pictures;
    this.material.addPictures({ embeddings, width, paths, digests, widths, heights, problems, fingerprints });
    for (const { label } of truth) this.state.ensureClass(label!);
    part.forEach((isIn) => {
      this.state.addPicture({ ...NOTHING_SAID, leftOut: !isIn });
    });
    this.send();
  }

  /** Labels some pictures. @returns how many */
  async label(strategy: Strategy, batch: number, random: Random): Promise<number> {
    const pictures = strategy === 'random' ? this.drawn(batch, random) : await this.chosen(batch);
    this.say(pictures);
    return pictures.length;
  }

  async labelAll(): Promise<void> {
    this.say([...this.material.unlabelled()]);
    await Promise.resolve();
  }

  /** How many pictures of val the head tells right, learnt from what is labelled; 0 without a head. */
  async accuracy(): Promise<number> {
    await this.classifier.learn(this.signal);
    const { suggestions } = this.classifier;
    const validation = [...this.truth.keys()].filter((picture) => this.truth[picture]!.split === 'val');
    const isRight = (picture: number) =>
      this.state.classes[suggestions?.best[picture] ?? -1]?.name === this.truth[picture]!.label;
    return validation.filter(isRight).length / validation.length;
  }

  async release(): Promise<void> {
    await this.classifier.release();
  }

  private async chosen(batch: number): Promise<number[]> {
    const graph = await this.classifier.arithmetic();
    return [...(await nextToLabel(this.material, graph, this.classifier.suggestions, batch, this.signal))];
  }

  private drawn(batch: number, random: Random): number[] {
    const left = [...this.material.unlabelled()];
    return Array.from({ length: Math.min(batch, left.length) }, () => {
      const [picture] = left.splice(Math.floor(random.between(0, left.length)), 1);
      return picture!;
    });
  }

  private say(pictures: readonly number[]): void {
    const { state, truth } = this;
    const changes = pictures.map((picture) => {
      const labels = [state.ensureClass(truth[picture]!.label!)];
      return [picture, { ...state.value(picture), labels, labelled: true }] as const;
    });
    state.take(state.step({ id: String(++this.steps), kind: 'label', done: '' }, changes));
    this.send();
  }

  private send(): void {
    const { state } = this;
    const values = state.valuesFrom(this.sent);
    this.sent += values.length;
    this.material.setState({
      seq: this.steps,
      valueOf: state.valueOf.slice(),
      values,
      classes: state.classes,
      multilabel: false,
    });
  }
}
