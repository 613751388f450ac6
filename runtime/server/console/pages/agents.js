// The agents: programs that talk with callers.

import { link } from '../dom.js';
import { ago, words } from '../format.js';
import { empty, heading, linkButton, section, table } from '../parts.js';

export async function page({ api, signal }) {
  const agents = await api.list('/agents', 'agents', { signal });
  const create = api.may('admin') ? linkButton('#/agents/new', 'Create an agent', 'primary') : null;
  return [
    heading('Agents', { lead: 'An agent is the program that talks with a caller: yours, reached over a WebSocket, or one that is built in.', actions: agents.length ? [create] : [] }),
    agents.length
      ? section('All agents', table('Agents', [
        { title: 'Name', cell: (agent) => link(`#/agents/${agent.id}`, agent.name) },
        { title: 'Protocol', cell: (agent) => words(agent.protocol) },
        { title: 'Address', cell: (agent) => agent.url ?? 'built in' },
        { title: 'Records', cell: (agent) => (agent.record ? 'yes' : 'no') },
        { title: 'Changed', cell: (agent) => ago(agent.updated_at) },
      ], agents))
      : empty('There is no agent yet', 'Begin with the built-in echo, and you hear within minutes whether a line works.', create),
  ];
}
