/** The result of a training or an evaluation that is of one class per picture. */
export function ofClasses<T extends { kind: 'softmax' | 'multilabel' }>(result: T): Extract<T, { kind: 'softmax' }> {
  if (result.kind !== 'softmax') throw new Error('A softmax head was expected.');
  return result as Extract<T, { kind: 'softmax' }>;
}
