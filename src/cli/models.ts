import { listModels, type ModelList, type ModelUsers } from '../classify/model-list.js';
import { call, sayNext } from './next.js';
import { notice, onOneLine, print, printJson, say, styled } from './terminal.js';

export async function run(users: string[], { json }: { json?: true | undefined }): Promise<void> {
  const list = await listModels({ users: users.length > 0 ? users : undefined, onNotice: notice });
  if (json) printJson(list);
  else describe(list);
}

function describe({ models, missing, folders }: ModelList): void {
  for (const { id, precision, bytes, names, path, isDefault, ...users } of models) {
    const called = [...names, ...(isDefault ? ['used by default'] : [])].join(', ');
    print(`${styled('bold', id)}  ${precision}  ${(bytes / 1e6).toFixed(1)} MB${called === '' ? '' : `  ${called}`}`);
    print(`  ${onOneLine(path)}`);
    describeUsers(users);
  }
  for (const { id, ...users } of missing) {
    print(`${styled('bold', id)}  ${styled('red', 'missing')}`);
    describeUsers(users);
  }
  say(`\nLooked in ${folders.join(', ')}.`);
  if (missing.length > 0) {
    say(
      'What is missing is on another machine, or a file elsewhere: `npm run fetch-model -- --from FILE` brings it here.',
    );
  }
  if (models.length > 0) sayNext(`${call('embed', 'FOLDER', '--model', 'NAME')} uses one of them.`);
}

function describeUsers({ heads, datasets }: ModelUsers): void {
  for (const head of heads) print(`  head   ${onOneLine(head)}`);
  for (const { store, dataset } of datasets) print(`  store  ${onOneLine(store)}: ${onOneLine(dataset)}`);
}
