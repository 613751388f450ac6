// The names behind identifiers, for pages that show other things by name.

/** Reads agents and configurations, so that calls and numbers can be shown with names instead of identifiers. */
export async function readNames(api, signal) {
  const [agents, configurations] = await Promise.all([
    api.list('/agents', 'agents', { signal }),
    api.list('/organizations/telephony-configs', 'configurations', { signal }),
  ]);
  const named = (list) => (id) => list.find((item) => item.id === id)?.name ?? (id ? 'removed' : '—');
  return { agents, configurations, agent: named(agents), configuration: named(configurations) };
}
