import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Draws from the standard normal distribution (Box and Muller 1958), the same for the same seed. */
export function normal(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat32(generator)));
    return radius * Math.cos(2 * Math.PI * uniformFloat32(generator));
  };
}
