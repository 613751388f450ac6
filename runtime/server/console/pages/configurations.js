// The accounts at carriers.

import { link } from '../dom.js';
import { badge, empty, heading, linkButton, section, table } from '../parts.js';
import { count } from '../format.js';

export async function page({ api, signal }) {
  const [configurations, providers] = await Promise.all([
    api.list('/organizations/telephony-configs', 'configurations', { signal }),
    api.list('/organizations/telephony-providers/metadata', 'providers', { signal }),
  ]);
  const connect = api.may('admin') ? linkButton('#/configurations/new', 'Connect a carrier', 'primary') : null;
  const nameOf = (name) => providers.find((each) => each.provider === name)?.display_name ?? name;
  return [
    heading('Carriers', { lead: 'Each configuration is one account at one carrier: its credentials and its numbers.', actions: configurations.length ? [connect] : [] }),
    configurations.length
      ? section('Configurations', table('Configurations', [
        { title: 'Name', cell: (each) => link(`#/configurations/${each.id}`, each.name) },
        { title: 'Carrier', cell: (each) => nameOf(each.provider) },
        { title: 'State', cell: configurationState },
        { title: 'Numbers', kind: 'number', cell: (each) => count(each.phone_number_count) },
        { title: 'Outbound', cell: (each) => (each.is_default_outbound ? badge('', 'Default') : '') },
      ], configurations))
      : empty('No carrier is connected', 'Connect the account that carries your calls, then add its phone numbers.', connect),
  ];
}

/** Whether it works, in one word. */
export function configurationState(configuration) {
  if (configuration.inactive) return badge('bad', 'Switched off');
  if (configuration.is_ready_for_outbound) return badge('good', 'Ready');
  return badge('warn', 'Not ready');
}
