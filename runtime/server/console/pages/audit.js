// Who changed what.

import { h } from '../dom.js';
import { sentence, time, words } from '../format.js';
import { badge, empty, heading, paged, section, table } from '../parts.js';

const PAGE_ROWS = 50;
const OUTCOMES = { done: 'good', refused: 'warn', failed: 'bad' };

export async function page({ api, signal }) {
  const entries = await paged(async (cursor) => {
    const answer = await api.page('/audit-log', { limit: PAGE_ROWS, cursor }, { signal });
    return { rows: answer.entries, next: answer.next_cursor };
  }, (rows) => table('Audit log', [
    { title: 'When', cell: (entry) => time(entry.at) },
    { title: 'What', cell: (entry) => [inWords(entry.operation), h('div', { class: 'faint' }, h('code', null, entry.operation ?? entry.damaged)), changed(entry)] },
    { title: 'Who', cell: (entry) => who(entry) },
    { title: 'From', cell: (entry) => entry.address ?? '—' },
    { title: 'Outcome', cell: (entry) => (entry.outcome ? badge(OUTCOMES[entry.outcome] ?? '', sentence(entry.outcome)) : '—') },
  ], rows), empty('Nothing was changed yet', 'Every change over the API, the console and the command line is written down here.'));
  return [
    heading('Audit log', {
      lead: 'Every change, chained by hashes so that a changed or removed entry is found (strowger audit verify).',
      actions: [h('a', { class: 'button', href: api.address('/audit-log/export'), download: 'audit-log.jsonl' }, 'Export')],
    }),
    section('Entries, newest first', entries),
  ];
}

const SESSION = { POST: 'Signed in', DELETE: 'Signed out' };
const VERBS = { POST: 'Made', PUT: 'Changed', PATCH: 'Changed', DELETE: 'Deleted' };

/** What a request did, as far as its method and route tell: a route ends in the name of many things, of one of them, or of a deed. */
function inWords(operation) {
  const [, method, path] = /^([A-Z]+) \/api\/v1\/(\S+)$/.exec(operation ?? '') ?? [];
  if (!VERBS[method]) return null;
  if (path === 'session') return SESSION[method];
  const names = path.split('/').filter((part) => !part.startsWith('{'));
  const last = names.at(-1);
  if (method === 'POST' && !last.endsWith('s')) return sentence(words(last));
  return `${VERBS[method]}: ${words(last.replace(/s$/, ''))}`;
}

function changed(entry) {
  const named = entry.fields?.length ? h('div', { class: 'faint' }, entry.fields.join(', ')) : null;
  const resources = Object.entries(entry.resources ?? {}).map(([what, id]) => h('div', { class: 'faint' }, `${words(what)} `, h('code', null, id)));
  return [named, resources];
}

const ACTORS = { api_key: 'API key', session: 'console', operator: 'operator', command_line: 'command line' };

const who = (entry) => [entry.actor_name, h('div', { class: 'faint' }, ACTORS[entry.actor] ?? entry.actor)];
