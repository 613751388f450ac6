// An organisation with something of everything, so that every page has something to show. Names are long and hostile.

export const HOSTILE = '"><img src=x onerror=alert(1)> Ärztezentrum {{7*7}} ' + 'w'.repeat(12);
const CALLEE = '+12025550188';

/** Resolves with the identifiers that pages are about. */
export async function fillWith(installation, name) {
  const key = await installation.organization(name);
  const api = installation.api(key);
  const { account, number } = installation;
  const { providers } = await api('GET', '/organizations/telephony-providers/metadata');
  const provider = providers.find((each) => Object.keys(account).every((field) => each.fields.some((known) => known.name === field)));
  const agent = await api('POST', '/agents', { name: HOSTILE, protocol: 'echo', record: true, parameters: { greeting: HOSTILE } });
  const remote = await api('POST', '/agents', { name: 'Support', protocol: 'strowger', url: 'wss://agent.example.com/socket', headers: { authorization: 'Bearer 0123456789abcdef' } });
  const configuration = await api('POST', '/organizations/telephony-configs', { name: HOSTILE, config: { provider: provider.provider, ...account } });
  const phone = await api('POST', `/organizations/telephony-configs/${configuration.id}/phone-numbers`, { address: number, label: HOSTILE, inbound_agent_id: agent.id, is_default_caller_id: true });
  // Nobody listens there: what is sent to it fails, and is to be seen.
  const webhook = await api('POST', '/webhook-endpoints', { url: 'http://127.0.0.1:9/webhooks', description: HOSTILE });
  const { call_id: call } = await api('POST', '/telephony/initiate-call', { agent_id: agent.id, phone_number: CALLEE });
  return { key, api, provider, agent, remote, configuration, phone, call, webhook };
}

/** Waits until a call is over. */
export async function ended(api, call, deadlineMs = 60_000) {
  const until = Date.now() + deadlineMs;
  for (;;) {
    const record = await api('GET', `/calls/${call}`);
    if (record.state === 'completed') return record;
    if (Date.now() > until) throw new Error(`the call is still ${record.state}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
