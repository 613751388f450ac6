// What the provider of a call was asked, and what each answer cost.

import { h } from '../dom.js';
import { bytes, clock, count, shortDigest, some, words } from '../format.js';
import { badge, paged, section, table } from '../parts.js';

const PAGE_ROWS = 50;

export async function invocationsSection(api, path, signal) {
  let dropped = 0;
  const list = await paged(async (cursor) => {
    const answer = await api.page(`${path}/invocations`, { limit: PAGE_ROWS, cursor }, { signal });
    dropped = answer.dropped;
    return { rows: answer.invocations, next: answer.next_cursor };
  }, (rows) => table('Invocations of the provider', [
    { title: 'Asked', cell: (each) => [h('code', null, each.export), each.round ? h('span', { class: 'faint' }, ` round ${each.round}`) : null] },
    { title: 'Times', kind: 'number', cell: (each) => count(each.count) },
    { title: 'Outcome', cell: (each) => [words(each.outcome), each.faults ? [' ', badge('bad', some(each.faults, 'fault'))] : null] },
    { title: 'Processor', kind: 'number', cell: (each) => microseconds(each.cpu_us) },
    { title: 'Took', kind: 'number', cell: (each) => (each.wall_p50_us === null ? microseconds(each.wall_us) : h('span', { title: `half of them at most ${microseconds(each.wall_p50_us)}, 99 of 100 at most ${microseconds(each.wall_p99_us)}, the longest ${microseconds(each.wall_max_us)}` }, `p99 ${microseconds(each.wall_p99_us)}`)) },
    { title: 'Memory', kind: 'number', cell: (each) => (each.memory_bytes === null ? '—' : bytes(each.memory_bytes)) },
    { title: 'Version', cell: (each) => h('code', { title: each.version }, shortDigest(each.version)) },
    { title: 'First', cell: (each) => clock(each.at) },
  ], rows), h('p', { class: 'faint' }, 'Nothing was written down.'));
  return section('What the provider was asked', list,
    dropped ? h('p', { class: 'faint' }, `${some(dropped, 'invocation')} more could not be written down.`) : null);
}

/** In the unit that people read best. */
function microseconds(value) {
  if (value >= 100_000) return `${count(Math.round(value / 1000))} ms`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} ms`;
  return `${value} µs`;
}
