/**
 * A function that is loaded when it is first called, with all that its module imports.
 * @param load imports its module
 */
export function lazily<Arguments extends unknown[], Result>(
  load: () => Promise<(...args: Arguments) => Result | Promise<Result>>,
): (...args: Arguments) => Promise<Result> {
  return async (...args) => (await load())(...args);
}
