// One provider: its versions, what each may ever do, and which of them takes calls.

import { h } from '../dom.js';
import { createForm } from '../form.js';
import { bytes, count, shortDigest, some, time, words } from '../format.js';
import { announce, badge, button, confirmDialog, copyable, dialog, empty, facts, heading, note, section, table } from '../parts.js';

export async function page({ api, signal, names, refresh, go }) {
  const [providers, metadata] = await Promise.all([
    api.list('/organizations/telephony-providers', 'providers', { signal }),
    api.list('/organizations/telephony-providers/metadata', 'providers', { signal }),
  ]);
  const provider = providers.find((each) => each.provider === names.provider);
  const back = { href: '#/providers', text: 'Providers' };
  if (!provider) return [heading(names.provider, { back }), empty('There is no such provider', 'It may have been removed, or belongs to another organisation.')];
  const path = `/organizations/telephony-providers/${provider.provider}`;
  const may = provider.own && api.may('admin');
  const done = (text) => {
    announce(text);
    refresh();
  };
  const previous = provider.versions.find((version) => version.digest === provider.previous);
  const newest = [...provider.versions].sort((left, right) => right.installed_at.localeCompare(left.installed_at));
  const title = metadata.find((each) => each.provider === provider.provider)?.display_name ?? newest.find((version) => version.page)?.page.display_name ?? provider.provider;
  return [
    heading(title, { back, actions: may && previous ? [button('Roll back', async () => {
      if (!(await confirmDialog({ title: `Go back to ${previous.version}?`, body: `New calls take version ${previous.version} (${shortDigest(previous.digest)}) again. Calls in progress keep theirs.`, confirm: 'Roll back' }))) return;
      await api.post(`${path}/rollback`);
      done(`Version ${previous.version} takes new calls.`);
    })] : [] }),
    provider.own
      ? section('Inbound calls', h('p', { class: 'help' }, 'Have the carrier send its webhooks about new calls to this address.'), copyable(new URL(`/api/v1/telephony/inbound/run/${provider.provider}`, location.href), 'the address'))
      : note('', h('p', null, 'The operator of this gateway looks after this provider.')),
    newest.map((version) => versionSection({ api, path, provider, version, may, done, go })),
  ];
}

function versionSection({ api, path, provider, version, may, done }) {
  const live = version.digest === provider.live;
  const canary = provider.canary?.digest === version.digest ? provider.canary : null;
  const page = version.page;
  const actions = may ? [
    !live && button('Adopt', () => confirmHosts({ version, page, text: 'Adopt', lead: `New calls take version ${version.version}. Calls in progress keep theirs.`, send: async (hosts) => {
      await api.post(`${path}/versions/${version.digest}/adopt`, { hosts });
      done(`Version ${version.version} takes new calls.`);
    } }), { kind: version.quarantined_at ? '' : 'primary', 'aria-label': `Adopt version ${version.version}` }),
    !live && button(canary ? 'Change the share' : 'Try on a share of calls', () => confirmHosts({
      version, page, text: 'Try', lead: 'A share of new calls takes this version, the others the live one.', share: canary?.share_permille ?? 50,
      send: async (hosts, share) => {
        await api.post(`${path}/versions/${version.digest}/canary`, { share_permille: share, hosts });
        done(share ? `${share / 10} % of new calls take version ${version.version}.` : 'The trial is over.');
      },
    })),
    canary && button('End the trial', async () => {
      await api.post(`${path}/versions/${version.digest}/canary`, { share_permille: 0 });
      done('The trial is over.');
    }),
    !live && !canary && button('Remove', async () => {
      if (!(await confirmDialog({ title: `Remove version ${version.version}?`, body: 'It has to be installed again before it can take calls.', confirm: 'Remove version' }))) return;
      await api.delete(`${path}/versions/${version.digest}`);
      done(`Removed version ${version.version}.`);
    }, { kind: 'danger', 'aria-label': `Remove version ${version.version}` }),
  ] : [];
  return section([`Version ${version.version} `, h('code', { class: 'faint' }, shortDigest(version.digest)), ' ', live ? badge('good', 'Takes calls') : canary ? badge('warn', `On trial: ${canary.share_permille / 10} %`) : version.quarantined_at ? badge('bad', 'Set aside') : badge('', 'Waits')],
    version.quarantined_at && note('bad', h('p', null, 'Set aside since ', time(version.quarantined_at), ': ', version.fault?.reason ?? 'too many calls failed in it')),
    !version.quarantined_at && version.fault && note('warn', h('p', null, 'Last fault, ', time(version.fault.at), ': ', version.fault.reason)),
    facts([
      ['Installed', time(version.installed_at)],
      ['Signed by', version.signer ?? 'nobody'],
      ['From', version.source],
      ['Size', bytes(version.size_bytes)],
      ['Digest', copyable(version.digest, 'the digest')],
      ['May reach', hostList(version.granted_hosts)],
    ]),
    actions.length ? h('p', { class: 'actions' }, actions) : null,
    page ? h('details', { open: may && !live && !version.quarantined_at && !version.granted_hosts?.length }, h('summary', null, 'What it may ever do'), permissions(page)) : null);
}

const hostList = (hosts) => (hosts?.length ? h('ul', { class: 'plain' }, hosts.map((host) => h('li', null, h('code', null, host)))) : 'no host');

/** Everything the component can do, read from its file. What is not here does not exist for it. */
function permissions(page) {
  const { limits } = page;
  return h('div', null,
    h('h3', null, 'Sends requests to'),
    page.hosts.length ? h('ul', null, page.hosts.map((host) => h('li', null, hostQuestion(host)))) : h('p', null, 'nobody'),
    h('h3', null, 'Is given of a configuration'),
    table('Fields', [
      { title: 'Field', cell: (field) => [h('code', null, field.name), field.of_trunk ? ' of a trunk' : ''] },
      { title: 'How', cell: (field) => (field.sealed ? 'sealed: it never sees what was entered' : 'as it was entered') },
      { title: 'Required', cell: (field) => (field.required ? 'yes' : 'no') },
    ], page.fields),
    h('h3', null, 'Answers webhooks'),
    page.routes.length ? table('Webhooks', [
      { title: 'Path', cell: (route) => h('code', null, route.path) },
      { title: 'Method', cell: (route) => route.method },
      { title: 'For', cell: (route) => words(route.purpose) },
    ], page.routes) : h('p', null, 'none'),
    h('h3', null, 'Can'),
    h('p', null, ['answer calls and carry their audio', ...page.abilities.map(words)].join(', ')),
    h('p', { class: 'faint' }, page.imports.length ? `Imports ${page.imports.join(', ')}; none of it reaches the outside.` : 'Imports nothing.'),
    h('h3', null, 'May use at most'),
    facts([
      ['Processor, each invocation', `${count(limits.control_cpu_ms)} ms`], ['Processor, each frame', `${count(limits.media_cpu_ms)} ms`],
      ['Memory', bytes(limits.control_memory_bytes)], ['Memory for a call’s media', bytes(limits.media_memory_bytes)],
      ['Output', bytes(limits.output_bytes)], ['Requests of an operation', count(limits.effects)],
    ]),
    h('h3', null, 'Costs, as measured'),
    page.costs.length ? table('Costs', [
      { title: 'Export', cell: (cost) => h('code', null, cost.export) },
      { title: 'Instructions', kind: 'number', cell: (cost) => count(cost.instructions) },
      { title: 'Memory', kind: 'number', cell: (cost) => bytes(cost.memory_bytes) },
      { title: 'Output', kind: 'number', cell: (cost) => bytes(cost.output_bytes) },
    ], page.costs) : h('p', { class: 'faint' }, 'Not measured.'),
    h('p', null, `It passed ${some(page.findings.filter((finding) => !finding.skipped).length, 'question')} of the conformance suite; ${count(page.findings.filter((finding) => finding.skipped).length)} do not apply.`));
}

const hostQuestion = (host) => (host.chosen_by_field ? ['the host that the field ', h('code', null, host.chosen_by_field), ' of a configuration names'] : h('code', null, host.host));

/** Asks about each host by itself: nobody reads a list that has one button. */
function confirmHosts({ version, page, text, lead, share, send }) {
  const declared = page?.hosts ?? version.declared_hosts.map((host) => ({ host, chosen_by_field: /^\{(.*)\}$/.exec(host)?.[1] ?? null }));
  return dialog(`${text} version ${version.version}`, (close) => h('div', null, h('p', null, lead), declared.length ? h('p', null, 'Confirm each host. One without a mark is not reached, and calls that need it fail.') : null, createForm({
    fields: [
      share === undefined ? null : { name: 'share', label: 'Share of new calls', type: 'number', required: true, description: 'In percent, 0 to 100.' },
      ...declared.map((host, index) => ({
        name: `host_${index}`, type: 'boolean', section: 'It may send requests to',
        label: host.chosen_by_field ? `the host that the field “${host.chosen_by_field}” names` : host.host,
      })),
    ].filter(Boolean),
    values: { ...(share === undefined ? {} : { share: share / 10 }), ...Object.fromEntries(declared.map((host, index) => [`host_${index}`, (version.granted_hosts ?? []).includes(host.host)])) },
    submit: text,
    onCancel: () => close(),
    onSubmit: async (values) => {
      const hosts = declared.filter((_, index) => values[`host_${index}`]).map((host) => host.host);
      await send(hosts, share === undefined ? undefined : Math.round((values.share ?? 0) * 10));
      close(true);
    },
  })));
}
