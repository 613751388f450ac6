// Talking to an agent from this browser.

import { h } from '../dom.js';
import { empty, heading, linkButton } from '../parts.js';
import { mountTalk } from '../talk.js';

export async function page({ api, signal, query }) {
  const agents = await api.list('/agents', 'agents', { signal });
  const head = heading('Talk', { lead: 'Talk to an agent with this computer’s microphone and loudspeaker. It is a call like any other: recorded where the agent’s calls are, and listed among the calls.' });
  if (!agents.length) return [head, empty('There is no agent yet', 'An agent talks with whoever calls.', api.may('admin') ? linkButton('#/agents/new', 'Create an agent', 'primary') : null)];
  const place = h('section', { class: 'card', 'aria-label': 'Conversation' });
  // Whoever leaves the page hangs up.
  signal.addEventListener('abort', mountTalk(place, { api, agents, agent: query.get('agent') }), { once: true });
  return [head, place];
}
