import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Random choices that are the same for the same seed. */
export class Random {
  private readonly generator;

  constructor(seed: number) {
    this.generator = xoroshiro128plus(seed);
    // Neighbouring seeds begin with similar numbers.
    for (let i = 0; i < 20; i++) this.between(0, 1);
  }

  /** A number from low up to high. */
  between(low: number, high: number): number {
    return low + (high - low) * uniformFloat32(this.generator);
  }

  /** A whole number, low and high included. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.between(0, 1) < probability;
  }

  /** One of the values, of which there must be some. */
  pick<T>(values: readonly T[]): T {
    return values[this.whole(0, values.length - 1)]!;
  }

  /** A colour; saturation and lightness in percent, hue in degrees. */
  colour(
    saturation: readonly [number, number] = [35, 95],
    lightness: readonly [number, number] = [30, 75],
    hue: readonly [number, number] = [0, 359],
  ): string {
    return `hsl(${this.whole(...hue)} ${this.whole(...saturation)}% ${this.whole(...lightness)}%)`;
  }
}
