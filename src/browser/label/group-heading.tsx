/** The heading of a cluster or of a set of duplicates, with what can be done with all of it. */
import { quantity } from '../../util/format.js';
import { keep, keepOne, label } from './actions.js';
import * as state from './state.js';

export function GroupHeading({ group, columns }: { group: state.Group; columns: number }) {
  const { title, suggestion, start, end } = group;
  const ids = [...state.shown.value.ids.subarray(start, end)];
  const isCurrent = state.groupAt(state.shown.value.groups, state.indexOf(state.cursor.value)) === group;
  const { place } = state.view.value;
  return (
    <div class={isCurrent ? 'heading current' : 'heading'} role="gridcell" aria-colindex={1} aria-colspan={columns}>
      <h2>{place === 'clusters' ? `${quantity(ids.length, 'picture')} alike` : title}</h2>
      {suggestion !== undefined && (
        <button type="button" onClick={() => label(suggestion, ids)}>
          Label all of them {suggestion}
        </button>
      )}
      {place === 'clusters' && (
        <button type="button" onClick={() => state.setSelection(ids)}>
          Select all {ids.length}
        </button>
      )}
      {place === 'duplicates' && (
        <>
          <button type="button" onClick={() => keepOne(group)}>
            Keep one, leave out the rest
          </button>
          <button type="button" onClick={() => keep(ids)}>
            Not a problem
          </button>
        </>
      )}
    </div>
  );
}
