// The telephony configuration that stands for this browser: found by its key, made when there is none and one may.

const CONFIGS = '/organizations/telephony-configs';
const PROVIDER = 'browser';

/** What keeps this browser from being called, in words; `key` is what somebody else can enter. */
export class NotPrepared extends Error {
  constructor(message, key) {
    super(message);
    this.key = key;
  }
}

/** Its identifier. */
export async function configurationOf(api, key) {
  const all = await api.list(CONFIGS, 'configurations');
  for (const { id } of all.filter(({ provider, inactive }) => provider === PROVIDER && !inactive)) {
    const { credentials } = await api.get(`${CONFIGS}/${id}`);
    if (credentials?.public_key === key) return id;
  }
  try {
    const name = `Browser ${key.slice(0, 8)}`;
    return (await api.post(CONFIGS, { name, config: { provider: PROVIDER, public_key: key } })).id;
  } catch (problem) {
    if (problem.status === 403) {
      throw new NotPrepared('Your role may talk to agents, but this browser is not known yet. An administrator can add a telephony configuration “Web browser” with this key:', key);
    }
    if (problem.errors?.some(({ field }) => field.endsWith('provider'))) {
      throw new NotPrepared('This gateway has no provider for browsers. Its operator can add the component “browser” to the providers.', null);
    }
    throw problem;
  }
}
