// A new account at a carrier: the form is what the provider says it needs.

import { outside } from '../dom.js';
import { createForm } from '../form.js';
import { announce, empty, heading, linkButton, section } from '../parts.js';

export async function page({ api, signal, names, go }) {
  const providers = await api.list('/organizations/telephony-providers/metadata', 'providers', { signal });
  const provider = providers.find((each) => each.provider === names.provider);
  const back = { href: '#/configurations/new', text: 'All carriers' };
  if (!provider) return [heading('Connect a carrier', { back }), empty('There is no such provider', 'It may have been removed from this gateway.', linkButton('#/configurations/new', 'Choose another'))];
  const taken = await api.list('/organizations/telephony-configs', 'configurations', { signal });
  const form = createForm({
    prefix: 'config.',
    fields: [
      { own: true, name: 'name', label: 'Name', type: 'text', required: true, description: 'What you call this account here.' },
      ...provider.fields,
      { own: true, name: 'is_default_outbound', label: 'Place outbound calls over this account by default', type: 'boolean', section: 'Outbound calls' },
    ],
    own: { name: free(provider.display_name, taken), is_default_outbound: taken.length === 0 },
    submit: 'Connect',
    onCancel: () => go('/configurations/new'),
    onSubmit: async (config, own) => {
      const made = await api.post('/organizations/telephony-configs', { ...own, config: { ...config, provider: provider.provider } });
      announce(`Connected ${made.name}.`);
      go(`/configurations/${made.id}`);
    },
  });
  return [
    heading(`Connect ${provider.display_name}`, { back, lead: provider.docs_url ? ['Where to find these at the carrier: ', outside(provider.docs_url, 'set-up page'), '.'] : null }),
    section('Account', form),
  ];
}

/** The provider's name, with a number where that is taken. */
function free(name, taken) {
  const names = taken.map((each) => each.name);
  let candidate = name;
  for (let index = 2; names.includes(candidate); index += 1) candidate = `${name} ${index}`;
  return candidate;
}
