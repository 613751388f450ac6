// The widget to talk to an agent: choose one, call, speak, press keys, hang up. `mountTalk` puts it into an element and gives
// back what takes it away again.

import { h, fill, uniqueId } from './dom.js';
import { Conversation } from './talk/call.js';
import { NotPrepared } from './talk/configuration.js';

const KEYS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#'];
const KEY_NAMES = { '*': 'star', '#': 'hash' };
const LOG_MAX = 200;
/** How long an interruption is shown. */
const INTERRUPTED_MS = 1500;
/** Quieter than this, in decibels below full scale, a meter shows nothing. */
const METER_DB = 60;

/** How calls end, for people; what is not here is shown as it is. */
const REASONS = {
  callee_hung_up: 'You hung up.',
  agent_hung_up: 'The agent hung up.',
  api_request: 'Somebody ended the call in the console or over the API.',
  agent_unreachable: 'The agent could not be reached.',
  agent_lost: 'The connection to the agent was lost.',
  media_lost: 'The connection to this page was lost.',
  duration_limit: 'The longest duration of a call was reached.',
  shutdown: 'The gateway stopped.',
};

/**
 * `api`: the console's, with a session. `agents`: what `GET /agents` lists; `agent`: the one that is chosen to begin with.
 * `callLink(id)`: where a call's page is; without it there is no link.
 */
export function mountTalk(element, { api, agents, agent = null, callLink = (id) => `#/calls/${encodeURIComponent(id)}` }) {
  const widget = new Widget(api, agents, agent, callLink);
  const style = h('link', { rel: 'stylesheet', href: new URL('./talk.css', import.meta.url) });
  fill(element, style, widget.root);
  return () => {
    widget.leave();
    element.replaceChildren();
  };
}

class Widget {
  #conversation = null;
  #began = 0;
  #muted = false;
  #interrupted = null;

  constructor(api, agents, chosen, callLink) {
    this.api = api;
    this.callLink = callLink;
    const choice = uniqueId('talk-agent');
    this.agent = h('select', { id: choice }, agents.map(({ id, name, protocol }) => h('option', { value: id, selected: id === chosen }, `${name} (${protocol})`)));
    this.call = h('button', { type: 'button', class: 'button primary', onclick: () => this.#start() }, 'Call');
    this.hangUp = h('button', { type: 'button', class: 'button danger', hidden: true, onclick: () => this.#conversation?.hangUp() }, 'Hang up');
    this.mute = h('button', { type: 'button', class: 'button', hidden: true, 'aria-pressed': 'false', onclick: () => this.#toggleMute() }, 'Mute');
    this.status = h('p', { class: 'talk-status', role: 'status' });
    this.problem = h('div', { role: 'alert' });
    this.meters = { caller: this.#meter('Your voice'), agent: this.#meter('Agent’s voice') };
    this.levels = h('div', { class: 'talk-meters', hidden: true }, Object.values(this.meters).map(({ label }) => label));
    this.keys = h('fieldset', { class: 'talk-keys', hidden: true, onkeydown: (event) => this.#typed(event) }, h('legend', {}, 'Keypad'), KEYS.map((key) => h('button', { type: 'button', class: 'button', 'aria-label': `Press ${KEY_NAMES[key] ?? key}`, onclick: () => this.#press(key) }, key)));
    this.log = h('div', { class: 'talk-log', role: 'log', 'aria-label': 'What happened', tabindex: '0' });
    this.root = h('div', { class: 'talk' },
      h('div', { class: 'field' }, h('label', { for: choice }, 'Agent'), this.agent),
      h('div', { class: 'actions' }, this.call, this.mute, this.hangUp),
      this.problem, this.status, this.levels, this.keys, this.log);
    this.away = () => this.leave();
    window.addEventListener('pagehide', this.away);
  }

  #meter(name) {
    const bar = h('meter', { min: '0', max: '1', value: '0' });
    return { bar, label: h('label', {}, h('span', {}, name), bar) };
  }

  /** The page goes elsewhere: a conversation that nobody hears is none. */
  leave() {
    window.removeEventListener('pagehide', this.away);
    clearTimeout(this.#interrupted);
    this.#conversation?.hangUp();
    this.#conversation = null;
  }

  async #start() {
    if (this.#conversation) return;
    fill(this.problem);
    fill(this.log);
    this.#began = performance.now();
    this.#showMuted(false);
    const conversation = new Conversation(this.api, (kind, detail) => this.#told(conversation, kind, detail));
    this.#conversation = conversation;
    this.call.setAttribute('aria-disabled', 'true');
    this.agent.disabled = true;
    try {
      await conversation.start(this.agent.value);
      if (this.#conversation !== conversation) return;
      this.#note(`Talking to ${this.agent.selectedOptions[0]?.textContent ?? 'the agent'}.`);
      this.#during(true);
      this.hangUp.focus();
    } catch (error) {
      if (this.#conversation !== conversation) return;
      this.#conversation = null;
      this.#during(false);
      this.status.textContent = '';
      fill(this.problem, h('p', { class: 'note bad' }, error.message), error instanceof NotPrepared && error.key ? h('p', {}, h('code', {}, error.key)) : null);
    }
  }

  #during(talking) {
    for (const part of [this.hangUp, this.mute, this.levels, this.keys]) part.hidden = !talking;
    this.call.hidden = talking;
    this.call.removeAttribute('aria-disabled');
    this.agent.disabled = talking;
    if (!talking) for (const { bar } of Object.values(this.meters)) bar.value = 0;
  }

  #told(conversation, kind, detail) {
    if (this.#conversation !== conversation && kind !== 'ended') return;
    switch (kind) {
      case 'state':
        this.status.textContent = detail;
        break;
      case 'level':
        this.meters[detail.side].bar.value = Math.max(0, 1 + (20 * Math.log10(detail.level || 1e-9)) / METER_DB);
        break;
      case 'clear':
        this.#note(`You interrupted the agent; ${detail} ms of what waited here were not played.`);
        this.#showInterrupted();
        break;
      case 'mark':
        this.#note(`The mark “${detail}” was played.`);
        break;
      case 'dtmf':
        this.#note(`The agent pressed ${detail}.`);
        break;
      case 'ended':
        this.#ended(conversation, detail);
        break;
    }
  }

  #ended(conversation, { problem, record }) {
    if (this.#conversation === conversation) {
      const focused = this.root.contains(document.activeElement);
      this.#conversation = null;
      this.#during(false);
      if (focused) this.call.focus();
      this.status.textContent = 'The call is over.';
      if (problem) fill(this.problem, h('p', { class: 'note bad' }, problem));
    }
    if (record) {
      const { reason, status } = record.outcome ?? {};
      this.#note(REASONS[reason] ?? `The call ended: ${status ?? 'unknown'} (${reason ?? 'no reason'}).`, this.callLink && h('a', { href: this.callLink(record.id) }, 'Look at the call'));
    }
  }

  #showInterrupted() {
    this.status.textContent = 'Interrupted';
    this.status.classList.add('talk-interrupted');
    clearTimeout(this.#interrupted);
    this.#interrupted = setTimeout(() => {
      this.status.classList.remove('talk-interrupted');
      if (this.#conversation) this.status.textContent = 'Connected';
    }, INTERRUPTED_MS);
  }

  #toggleMute() {
    this.#showMuted(!this.#muted);
    this.#conversation?.mute(this.#muted);
    this.#note(this.#muted ? 'The microphone is muted.' : 'The microphone is on.');
  }

  #showMuted(muted) {
    this.#muted = muted;
    this.mute.setAttribute('aria-pressed', String(muted));
  }

  #press(key) {
    this.#conversation?.press(key);
    this.#note(`You pressed ${key}.`);
  }

  #typed(event) {
    if (KEYS.includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.#press(event.key);
    }
  }

  #note(text, more) {
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(1);
    this.log.append(h('p', {}, h('time', {}, `${seconds} s`), h('span', {}, text, more ? [' ', more] : null)));
    while (this.log.children.length > LOG_MAX) this.log.firstElementChild.remove();
    this.log.scrollTop = this.log.scrollHeight;
  }
}
