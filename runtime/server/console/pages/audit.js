// Who changed what.

import { h } from '../dom.js';
import { words } from '../format.js';
import { time } from '../format.js';
import { badge, empty, heading, paged, section, table } from '../parts.js';

const PAGE_ROWS = 50;
const OUTCOMES = { done: 'good', refused: 'warn', failed: 'bad', intended: '' };

export async function page({ api, signal }) {
  const entries = await paged(async (cursor) => {
    const answer = await api.page('/audit-log', { limit: PAGE_ROWS, cursor }, { signal });
    return { rows: answer.entries, next: answer.next_cursor };
  }, (rows) => table('Audit log', [
    { title: 'When', cell: (entry) => time(entry.at) },
    { title: 'What', cell: (entry) => [h('code', null, entry.operation ?? entry.damaged), fields(entry)] },
    { title: 'Who', cell: (entry) => who(entry) },
    { title: 'From', cell: (entry) => entry.address ?? '—' },
    { title: 'Outcome', cell: (entry) => (entry.outcome ? badge(OUTCOMES[entry.outcome] ?? '', words(entry.outcome)) : '—') },
  ], rows), empty('Nothing was changed yet', 'Every change over the API, the console and the command line is written down here.'));
  return [
    heading('Audit log', {
      lead: 'Every change, chained by hashes so that a changed or removed entry is found (strowger audit verify).',
      actions: [h('a', { class: 'button', href: api.address('/audit-log/export'), download: 'audit-log.jsonl' }, 'Export')],
    }),
    section('Entries, newest first', entries),
  ];
}

function fields(entry) {
  const changed = entry.fields ?? entry.changed_fields ?? [];
  return changed.length ? h('div', { class: 'faint' }, changed.join(', ')) : null;
}

function who(entry) {
  const actor = entry.actor ?? entry.who;
  if (actor && typeof actor === 'object') return actor.key_name ?? actor.name ?? actor.kind ?? actor.key ?? '—';
  return actor ?? entry.key_name ?? '—';
}
