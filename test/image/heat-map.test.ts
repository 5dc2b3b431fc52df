import { heatColour, paintHeat, scaleOf } from '../../src/image/heat-map.js';

/** CIE L*, of sRGB (IEC 61966-2-1). */
function lightness([r, g, b]: readonly [number, number, number]): number {
  const linear = (byte: number) => (byte <= 10 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
  const Y = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  return Y > 0.008856 ? 116 * Math.cbrt(Y) - 16 : 903.3 * Y;
}

describe('the colours', () => {
  it('become lighter in even steps, so that they are legible in grey', () => {
    const steps = Array.from({ length: 21 }, (_, i) => lightness(heatColour(i / 20)));
    const differences = steps.slice(1).map((value, i) => value - (steps[i] ?? NaN));
    expect(Math.min(...differences)).toBeGreaterThan(3);
    expect(Math.max(...differences)).toBeLessThan(5.5);
    expect(steps[0]).toBeLessThan(15);
    expect(steps.at(-1)).toBeGreaterThan(92);
  });
});

/** A grey picture with a heat map over a part of it, as the brightness of its pixels. */
function painted(shares: number[][], channels: 3 | 4 = 3): number[][] {
  const [width, height] = [60, 40];
  const data = new Uint8Array(width * height * channels).fill(128);
  paintHeat(
    { data, width, height, channels },
    { shares, region: { left: 10, top: 0, width: 40, height: 40 }, scale: 2 },
  );
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const at = (y * width + x) * channels;
      if (channels === 4) expect(data[at + 3]).toBe(128);
      return 0.2126 * (data[at] ?? NaN) + 0.7152 * (data[at + 1] ?? NaN) + 0.0722 * (data[at + 2] ?? NaN);
    }),
  );
}

describe('a heat map', () => {
  const shares = [
    [-3, 0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 2],
    [0, 0, 0, 0],
  ];

  it('is brightest in the middle of the cell with the largest share, and smooth', () => {
    const rows = painted(shares);
    const brightest = Math.max(...rows.flat());
    const at = rows.flat().indexOf(brightest);
    // The cell covers the columns 40 … 49 and the rows 20 … 29.
    expect(Math.abs((at % 60) - 44.5)).toBeLessThan(2);
    expect(Math.abs(Math.floor(at / 60) - 24.5)).toBeLessThan(2);
    const row = rows[25] ?? [];
    for (let x = 11; x < 50; x++) expect(Math.abs((row[x] ?? NaN) - (row[x - 1] ?? NaN))).toBeLessThan(brightest / 6);
  });

  it('leaves what has no share above 0 grey, and what is not seen darker', () => {
    const rows = painted(shares);
    const seen = rows[5]?.[20] ?? NaN;
    expect(rows[5]?.[12]).toBe(seen);
    expect(rows[5]?.[5]).toBeLessThan(seen);
    expect(rows[25]?.[55]).toBe(rows[5]?.[5]);
  });

  it('is mirrored with its shares, and the same over RGBA', () => {
    const mirrored = painted(shares.map((row) => row.toReversed()));
    painted(shares, 4).forEach((row, y) => {
      row.toReversed().forEach((value, x) => {
        expect(Math.abs(value - (mirrored[y]?.[x] ?? NaN))).toBeLessThanOrEqual(1);
      });
    });
  });
});

describe('the scale', () => {
  it('leaves out the topmost hundredth of what is above 0, and has two digits', () => {
    const even = Array.from({ length: 20 }, (_, y) => Array.from({ length: 10 }, (_, x) => 10 * y + x + 1));
    expect(scaleOf([even])).toBe(200);
    expect(scaleOf([[[0.123, -5]], [[0]]])).toBe(0.13);
    expect(scaleOf([[[0.3]]])).toBe(0.3);
    expect(scaleOf([[[12.01, -40]]])).toBe(13);
  });

  it('is 1 where nothing is above 0', () => {
    expect(scaleOf([[[-1, 0]]])).toBe(1);
    expect(scaleOf([])).toBe(1);
  });
});
