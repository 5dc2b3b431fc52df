import { searchLine, type Trial } from '../../src/head/lbfgs.js';

type Phi = (step: number) => { loss: number; slope: number };

async function search(phi: Phi, firstStep: number, noise = 0): Promise<{ found: Trial | undefined; trials: number }> {
  let trials = 0;
  const evaluate = (step: number): Promise<Trial> => {
    trials++;
    return Promise.resolve({ step, ...phi(step) });
  };
  return { found: await searchLine(evaluate, { step: 0, ...phi(0) }, firstStep, noise), trials };
}

// The first three functions (the second one's β larger) of Moré and Thuente 1994, "Line search algorithms with guaranteed sufficient decrease",
// section 5, and a wave whose first crests are flat.
const FUNCTIONS: Record<string, Phi> = {
  'a long valley': (a) => ({ loss: -a / (a * a + 2), slope: (a * a - 2) / (a * a + 2) ** 2 }),
  'a late steep minimum': (a) => {
    const t = a + 0.02;
    return { loss: t ** 5 - 2 * t ** 4, slope: 5 * t ** 4 - 8 * t ** 3 };
  },
  'a kink under oscillations': (a) => {
    const [beta, l] = [0.01, 39];
    const base = a <= 1 - beta ? 1 - a : a >= 1 + beta ? a - 1 : (a - 1) ** 2 / (2 * beta) + beta / 2;
    const baseSlope = a <= 1 - beta ? -1 : a >= 1 + beta ? 1 : (a - 1) / beta;
    const wave = (2 * (1 - beta)) / (l * Math.PI);
    const angle = (l * Math.PI * a) / 2;
    return { loss: base + wave * Math.sin(angle), slope: baseSlope + (1 - beta) * Math.cos(angle) };
  },
  'a wave': (a) => ({ loss: -Math.sin(a), slope: -Math.cos(a) }),
};

describe.each(Object.entries(FUNCTIONS))('%s', (_, phi) => {
  test.each([1e-3, 0.1, 1, (3 * Math.PI) / 2, 10, 1000])('from a first step of %d', async (firstStep) => {
    const { found, trials } = await search(phi, firstStep);
    const start = phi(0);
    const step = found?.step ?? NaN;
    expect(step).toBeGreaterThan(0);
    expect(phi(step).loss).toBeLessThanOrEqual(start.loss + 1e-4 * step * start.slope);
    expect(Math.abs(phi(step).slope)).toBeLessThanOrEqual(0.9 * Math.abs(start.slope));
    expect(trials).toBeLessThanOrEqual(25);
  });
});

test('where losses are lost in noise the slopes decide', async () => {
  // (a − 1)²/2 · 10⁻⁶ under an error that alternates from trial to trial.
  const make = (): Phi => {
    let sign = 1;
    return (a) => ({ loss: 1 + 0.5e-6 * (a - 1) ** 2 + 1e-5 * (sign = -sign), slope: 1e-6 * (a - 1) });
  };
  const { found, trials } = await search(make(), 4, 1e-4);
  expect(Math.abs((found?.step ?? NaN) - 1)).toBeLessThanOrEqual(0.9);
  expect(trials).toBeLessThan(5);
});

test('gives up on a line that only rises, and on one that has no bottom', async () => {
  expect(await search((a) => ({ loss: a, slope: -1 }), 1)).toEqual({ found: undefined, trials: 25 });
  expect(await search((a) => ({ loss: -a, slope: -1 }), 1)).toEqual({ found: undefined, trials: 25 });
});
