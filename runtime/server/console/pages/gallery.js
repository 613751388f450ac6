// Every carrier that this gateway can work with, from what its providers say about themselves.

import { h, outside } from '../dom.js';
import { sentence, words } from '../format.js';
import { badge, empty, heading, linkButton } from '../parts.js';

const GROUPS = [
  ['api', 'Over a carrier’s API', 'Calls and audio come over the internet; you need an account there and its credentials.'],
  ['sip', 'Over SIP', 'Your own telephone system or trunks; you enter here where it is, and there where this gateway is.'],
];

export async function page({ api, signal }) {
  const providers = await api.list('/organizations/telephony-providers/metadata', 'providers', { signal });
  const head = heading('Connect a carrier', { lead: 'Choose who carries your calls.', back: { href: '#/configurations', text: 'Carriers' } });
  if (!providers.length) {
    return [head, empty('This gateway has no provider yet', 'A provider connects the gateway with a carrier. The operator adds components, or you install one for your organisation.', linkButton('#/providers', 'Install a provider'))];
  }
  const known = GROUPS.map(([name]) => name);
  return [head, GROUPS.map(([connectivity, title, text]) => {
    const members = providers.filter((each) => each.connectivity === connectivity || (!known.includes(each.connectivity) && connectivity === 'api'));
    return members.length ? h('section', { 'aria-label': title, class: 'group' }, h('h2', null, title), h('p', { class: 'lead' }, text), h('div', { class: 'grid' }, members.map(card))) : null;
  })];
}

function card(provider) {
  return h('article', { class: 'card', 'aria-label': provider.display_name },
    h('div', { class: 'card-head' }, h('h3', null, provider.display_name), badge('', provider.version)),
    h('p', { class: 'faint' }, abilities(provider)),
    h('p', { class: 'actions' },
      h('a', { class: 'button primary', href: `#/configurations/new/${provider.provider}`, 'aria-label': `Connect ${provider.display_name}` }, 'Connect'),
      provider.docs_url && outside(provider.docs_url, 'How to set it up')));
}

const ABILITIES = {
  calling: 'places calls', numbers: 'looks after numbers', transfer: 'transfers calls', detection: 'tells answering machines', trunks: 'keeps SIP trunks',
};

function abilities(provider) {
  const named = provider.abilities.map((name) => ABILITIES[name]).filter(Boolean);
  return sentence(['answers calls', ...named].map(words).join(', '));
}
