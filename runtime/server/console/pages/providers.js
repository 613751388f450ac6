// The providers: which carriers the gateway can work with, and what each of them may do.

import { h, link } from '../dom.js';
import { createForm } from '../form.js';
import { shortDigest } from '../format.js';
import { announce, badge, button, dialog, empty, heading, section, table } from '../parts.js';

export async function page({ api, signal, go }) {
  const [providers, metadata] = await Promise.all([
    api.list('/organizations/telephony-providers', 'providers', { signal }),
    api.list('/organizations/telephony-providers/metadata', 'providers', { signal }),
  ]);
  const title = (name) => metadata.find((each) => each.provider === name)?.display_name ?? name;
  const live = (provider) => provider.versions.find((version) => version.digest === provider.live);
  const install = api.may('admin') ? button('Install a provider', () => upload(api, go), { kind: providers.length ? '' : 'primary' }) : null;
  return [
    heading('Providers', { lead: 'A provider connects the gateway with a carrier. It runs in a sandbox: it reaches only the hosts that were confirmed, and never sees a secret.', actions: [install] }),
    providers.length
      ? section('All providers', table('Providers', [
        { title: 'Name', cell: (provider) => link(`#/providers/${provider.provider}`, title(provider.provider)) },
        { title: 'Version that takes calls', cell: (provider) => (live(provider) ? [live(provider).version, ' ', h('code', { class: 'faint' }, shortDigest(provider.live))] : badge('warn', 'none')) },
        { title: 'Versions', kind: 'number', cell: (provider) => provider.versions.length },
        { title: 'Belongs to', cell: (provider) => (provider.own ? 'your organisation' : 'the operator') },
        { title: 'State', cell: (provider) => [
          provider.versions.some((version) => version.quarantined_at) ? badge('bad', 'A version was set aside') : null,
          provider.canary ? badge('warn', `${provider.canary.share_permille / 10} % try another version`) : null,
          provider.own && provider.versions.some((version) => version.digest !== provider.live && !version.quarantined_at && version.digest !== provider.previous) ? badge('', 'A version waits') : null,
        ] },
      ], providers))
      : empty('There is no provider', 'The operator adds components to the gateway’s folder, or you install one for your organisation.', install),
  ];
}

/** Sends a component to be examined; what it may do is shown before anybody adopts it. */
function upload(api, go) {
  return dialog('Install a provider', (close) => createForm({
    fields: [
      { name: 'component', label: 'Component', type: 'file', accept: '.wasm,application/wasm', required: true, description: 'A file that ends with .wasm, at most 64 MiB. It is examined, and takes no calls before you have confirmed its hosts.' },
      { name: 'digest', label: 'Digest', type: 'text', placeholder: 'sha256:…', description: 'If its author published one: another file is refused.' },
    ],
    submit: 'Examine and install',
    onCancel: () => close(),
    onSubmit: async ({ component, digest }) => {
      if (!component) throw Object.assign(new Error('is required'), { errors: [{ field: 'component', problem: 'is required: choose a file' }] });
      const query = new URLSearchParams({ source: component.name.slice(0, 200), ...(digest ? { digest } : {}) });
      const installed = await api.upload(`/organizations/telephony-providers?${query}`, component);
      close(true);
      announce('Installed. Read what it may do before you adopt it.');
      go(`/providers/${installed.provider}`);
    },
  }));
}
