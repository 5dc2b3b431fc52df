import { LastlayerError, UsageError } from './errors.js';

/** Options `T` in which everything that `D` has a default for is defined. */
export type WithDefaults<T, D> = Omit<T, keyof D> & {
  [K in keyof D]: K extends keyof T ? Exclude<T[K], undefined> : D[K];
};

/** The options, with the default of each one that is absent or undefined. */
export function withDefaults<T extends object, D extends object>(options: T, defaults: D): WithDefaults<T, D> {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...given } as WithDefaults<T, D>;
}

/** Which finite numbers an option takes. */
export interface NumberRange {
  /** Only whole numbers. */
  integer?: boolean | undefined;
  /** The least value. */
  min?: number | undefined;
  /** The largest value. */
  max?: number | undefined;
  /** Every value is greater than this. */
  above?: number | undefined;
  /** Every value is less than this. */
  below?: number | undefined;
  /** A value to show in the message. */
  example?: number | undefined;
}

export interface CheckOptions extends NumberRange {
  /** A sentence on what to do, appended to the message. */
  advice?: string | undefined;
  /** @default UsageError */
  Failure?: typeof LastlayerError | undefined;
}

/**
 * @param name the option, as its caller knows it
 * @throws {UsageError} if the value is outside the range: `l2 is -1. It must be a number of at least 0, such as 0.1.`
 */
export function checkNumber(name: string, value: number, options: CheckOptions = {}): void {
  if (isInRange(value, options)) return;
  const { advice, Failure = UsageError } = options;
  throw new Failure(`${name} is ${value}. ${requirement(options)}${advice === undefined ? '' : ` ${advice}`}`);
}

/** {@link checkNumber} for whole numbers: `topK is 0. It must be a whole number of at least 1.` */
export function checkInteger(name: string, value: number, options: CheckOptions = {}): void {
  checkNumber(name, value, { ...options, integer: true });
}

export function isInRange(value: number, range: NumberRange): boolean {
  const { integer = false, min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = range;
  if (integer ? !Number.isSafeInteger(value) : !Number.isFinite(value)) return false;
  return value >= min && value <= max && value > above && value < below;
}

/** `It must be a whole number of at least 1.` */
export function requirement({ integer, min, max, above, below, example }: NumberRange): string {
  const bounds =
    min !== undefined && max !== undefined
      ? [`from ${min} to ${max}`]
      : [
          min !== undefined && `of at least ${min}`,
          above !== undefined && `above ${above}`,
          max !== undefined && `of at most ${max}`,
          below !== undefined && `below ${below}`,
        ].filter((bound) => bound !== false);
  const kind = integer ? 'a whole number' : 'a number';
  const suchAs = example === undefined ? '' : `, such as ${example}`;
  return `It must be ${[kind, bounds.join(' and ')].join(' ').trim()}${suchAs}.`;
}
