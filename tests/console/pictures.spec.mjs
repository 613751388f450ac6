// The pictures of the README: an organisation as there may be one, seen on a screen and on a telephone. `just pictures` puts them in
// their place.

import { receptionist } from './agents.mjs';
import { ended } from './content.mjs';
import { Installation, expect, picture, test } from './gateway.mjs';

/** A number of fiction. */
const PATIENT = '+12025550142';
const COLLEAGUE = '+12025550166';
const TELEPHONE = { width: 390, height: 844 };
/** So much of a long page is enough to see what it is. */
const MOST = 1500;

test('an organisation with two carriers, its agents, and a call', async ({ page, accidents }) => {
  test.setTimeout(180_000);
  accidents.allow(/status of 401/);
  const practice = await Installation.start({ beside: 'cloudonix', listenS: 5 });
  const speaker = await receptionist();
  try {
    accidents.at(practice.url);
    const key = await practice.organization('Harbour Dental');
    const api = practice.api(key);
    const reception = await api('POST', '/agents', { name: 'Reception', protocol: 'strowger', url: speaker.url, sample_rate_hz: 16_000, record: true });
    await api('POST', '/agents', { name: 'Line test', protocol: 'echo' });
    const configuration = async (name, provider, { account, number }, label, isDefault) => {
      const made = await api('POST', '/organizations/telephony-configs', { name, is_default_outbound: isDefault, config: { provider, ...account } });
      await api('POST', `/organizations/telephony-configs/${made.id}/phone-numbers`, { address: number, label, inbound_agent_id: reception.id, is_default_caller_id: true });
      return made;
    };
    const main = await configuration('Front desk', 'twilio', practice, 'Main number', true);
    await configuration('Recalls', 'cloudonix', practice.beside, 'Reminders', false);
    const { call_id: call } = await api('POST', '/telephony/initiate-call', { agent_id: reception.id, phone_number: PATIENT });
    await ended(api, call);

    await page.goto(`${practice.url}/console/`);
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByText('Everything that was set up is ready.')).toBeVisible();
    await page.goto(`${practice.url}/console/#/calls/${call}`);
    await expect(page.getByRole('img', { name: /Waveform of both voices/ })).toBeVisible();
    await expect(page.getByText('Barge-in').first()).toBeVisible();
    await expect(page.getByRole('img', { name: /course of the call/ })).toBeVisible();
    await picture(page, 'readme-call', MOST);
    await page.goto(`${practice.url}/console/#/configurations/${main.id}`);
    await expect(page.getByRole('heading', { name: 'Front desk' })).toBeVisible();
    await picture(page, 'readme-configuration', MOST);
    const { call_id: live } = await api('POST', '/telephony/initiate-call', { agent_id: reception.id, phone_number: COLLEAGUE });
    await page.goto(`${practice.url}/console/#/`);
    await expect(page.getByRole('row', { name: COLLEAGUE })).toContainText('In progress');
    await picture(page, 'readme-overview');
    await page.setViewportSize(TELEPHONE);
    await picture(page, 'readme-telephone');
    // The page asks about the call for as long as it is open.
    await page.goto('about:blank');
    await api('POST', `/calls/${live}/hang-up`);
  } finally {
    speaker.stop();
    await practice.stop();
  }
});
