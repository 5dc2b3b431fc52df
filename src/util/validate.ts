/** Options `T` in which everything that `D` has a default for is defined. */
export type WithDefaults<T, D> = Omit<T, keyof D> & {
  [K in keyof D]: K extends keyof T ? Exclude<T[K], undefined> : D[K];
};

/** The options, with the default of each one that is absent or undefined. */
export function withDefaults<T extends object, D extends object>(
  options: T,
  defaults: D,
): WithDefaults<T, D> {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...given } as WithDefaults<T, D>;
}
