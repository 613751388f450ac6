// Signing in with an API key, which becomes a session and is forgotten.

import { h } from '../dom.js';
import { createForm } from '../form.js';
import { note } from '../parts.js';

export function signIn(api, entered, reason) {
  return h('main', { class: 'narrow', id: 'main' },
    h('h1', null, 'Sign in'),
    h('p', { class: 'lead' }, 'Strowger connects telephone lines with voice agents.'),
    reason && note('', reason),
    h('div', { class: 'card' }, createForm({
      fields: [{
        name: 'api_key', label: 'API key', type: 'password', required: true, placeholder: 'strow_…',
        description: 'The key of your organisation. It opens a session of this browser and is not stored here.',
      }],
      submit: 'Sign in',
      onSubmit: async ({ api_key: key = '' }) => {
        if (!key) throw Object.assign(new Error('is required'), { errors: [{ field: 'api_key', problem: 'is required' }] });
        try {
          await api.signIn(key.trim());
        } catch (problem) {
          throw explained(problem);
        }
        entered();
      },
    })),
    h('details', null, h('summary', null, 'Where do I get an API key?'),
      h('p', null, 'An administrator of your organisation makes one in the console, under “API keys”. The operator of this gateway makes the first one on its machine:'),
      h('pre', null, h('code', null, 'strowger org create "Your organisation"'))));
}

function explained(problem) {
  if (problem.status === 401) {
    return Object.assign(new Error('This key opens nothing.'), { errors: [{ field: 'api_key', problem: 'opens nothing: check that it is complete, and that nobody has revoked it' }] });
  }
  if (problem.code === 'operator_key') {
    return Object.assign(new Error('This is the operator’s key, and the console shows organisations: sign in with a key of one. “strowger key create --organization NAME” makes it. The installation itself is looked after with the command strowger and the API below /api/v1/operator.'), { errors: [] });
  }
  if (problem.status === 429) {
    const wait = problem.retryAfter ? `${problem.retryAfter} seconds` : 'a minute';
    return Object.assign(problem, { message: `Too many attempts. Wait ${wait}, then try again.`, errors: [] });
  }
  return problem;
}
