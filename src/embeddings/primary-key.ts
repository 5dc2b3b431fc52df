/**
 * Marks the columns of a table's key. Only with it does Lance notice that another writer has inserted the same key at the
 * same time; without, both rows stay (https://github.com/lance-format/lance/pull/5633).
 */
export const PRIMARY_KEY = new Map([['lance-schema:unenforced-primary-key', 'true']]);
