import { nameOf } from '../check/finding.js';
import type { ListedPicture } from './page-data.js';
import type { Thumbnails } from './thumbnails.js';

/** The pictures that the page's script shows, each once. */
export class PictureList {
  readonly all: ListedPicture[] = [];
  private readonly places = new Map<string, number>();

  constructor(
    private readonly dataset: string,
    private readonly thumbnails: Thumbnails,
  ) {}

  /** @returns the picture's number */
  add({
    path,
    label,
    predicted,
    probability,
  }: {
    path: string;
    label: number;
    predicted: number;
    probability: number;
  }): number {
    const known = this.places.get(path);
    if (known !== undefined) return known;
    const p = Number(probability.toFixed(4));
    this.all.push({ uri: this.thumbnails.of(path), name: nameOf(this.dataset, path), label, predicted, p });
    this.places.set(path, this.all.length - 1);
    return this.all.length - 1;
  }
}
