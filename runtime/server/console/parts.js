// The parts that pages are made of.

import { fill, h, uniqueId } from './dom.js';

/** How long an announcement stays in any case, and at most. */
const ANNOUNCED_MS = { least: 2000, most: 8000 };

/**
 * Tells people and screen readers that something was done. It goes away by itself, and before that as soon as somebody goes on: it
 * must not lie over what they want to press next.
 */
export function announce(text) {
  const place = document.getElementById('announcements');
  if (!place) return;
  const note = h('p', { class: 'toast' }, text);
  fill(place, note);
  const over = new AbortController();
  const remove = () => {
    note.remove();
    over.abort();
  };
  setTimeout(remove, ANNOUNCED_MS.most);
  setTimeout(() => {
    for (const going of ['pointerdown', 'keydown']) addEventListener(going, remove, { signal: over.signal, passive: true });
  }, ANNOUNCED_MS.least);
}

/** A page's heading, with what can be done to all of it. */
export function heading(title, { lead, actions = [], back } = {}) {
  return h('header', { class: 'heading' },
    back && h('p', { class: 'back' }, h('a', { href: back.href }, '← ', back.text)),
    h('div', { class: 'heading-row' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'actions' }, actions)),
    lead && h('p', { class: 'lead' }, lead));
}

export function section(title, ...children) {
  const id = uniqueId('section');
  return h('section', { 'aria-labelledby': id, class: 'card' }, h('h2', { id }, title), ...children);
}

/** Something that a person does here. `work` may take time; a problem is shown where `onProblem` wants it, or announced. */
export function button(text, work, { kind = '', onProblem, ...properties } = {}) {
  const element = h('button', { type: 'button', class: `button ${kind}`, ...properties, onclick: async () => {
    if (element.getAttribute('aria-disabled') === 'true') return;
    element.setAttribute('aria-disabled', 'true');
    try {
      await work();
    } catch (problem) {
      if (problem.name === 'AbortError') return;
      if (onProblem) onProblem(problem);
      else showProblem(problem);
    } finally {
      element.removeAttribute('aria-disabled');
    }
  } }, text);
  return element;
}

export const linkButton = (href, text, kind = '') => h('a', { href, class: `button ${kind}` }, text);

const OWNERS = {
  user: 'You can mend this yourself: check what was entered here and at the carrier.',
  operator: 'The operator of this gateway has to mend this.',
};

/** What went wrong, whose it is to mend, and whether trying again helps. */
export function problemNote(problem) {
  const hint = OWNERS[problem.owner] ?? (problem.retryable ? 'The same may work in a moment: try again.' : null);
  // What the API says of it is for programs.
  const message = problem.status === 412 ? 'It was changed meanwhile, by somebody else or in another tab. Load the page again, and make your change to what it is now.' : problem.message;
  const code = problem.code ? h('span', { class: 'faint' }, ` (${problem.code})`) : null;
  return h('div', { class: 'note bad', role: 'alert' },
    h('p', null, message, code),
    problem.errors?.length ? h('ul', null, problem.errors.map((error) => h('li', null, h('code', null, error.field), ' ', error.problem))) : null,
    hint && h('p', null, hint));
}

/** A problem of something that has no place of its own on the page. */
export function showProblem(problem) {
  return confirmDialog({ title: 'That did not work', body: problemNote(problem), confirm: null, cancel: 'Close' });
}

export const note = (kind, ...children) => h('div', { class: `note ${kind}` }, ...children);

/** A page that cannot be what was asked for: why, and what to do. */
export const instead = (title, text, ...actions) => [heading(title, { lead: text }), h('p', { class: 'actions' }, actions)];

/** A place without anything in it: why, and what to do. */
export function empty(title, text, ...actions) {
  return h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), text && h('p', null, text), actions.length ? h('p', { class: 'actions' }, actions) : null);
}

export const badge = (kind, text) => h('span', { class: `badge ${kind}` }, text);

/** Names and values. Pairs with nothing to show are left out. */
export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== '').map(([name, value]) =>
    h('div', null, h('dt', null, name), h('dd', null, value))));
}

/**
 * A table: columns are `{title, cell(row), kind}`. On a narrow screen each row becomes a card, with the titles beside the values.
 */
export function table(caption, columns, rows) {
  return h('div', { class: 'table', role: 'group', 'aria-label': caption, tabindex: '0' },
    h('table', null,
      h('caption', { class: 'hidden' }, caption),
      h('thead', null, h('tr', null, columns.map((column) => h('th', { scope: 'col', class: column.kind }, column.title || h('span', { class: 'hidden' }, 'Actions'))))),
      h('tbody', null, rows.map((row) => h('tr', null, columns.map((column, index) => {
        const cell = column.cell(row);
        return index === 0
          ? h('th', { scope: 'row', class: column.kind }, cell)
          : h('td', { 'data-title': column.title, class: column.kind }, h('div', null, cell));
      }))))));
}

/** A value that people carry elsewhere, with a button that copies it. */
export function copyable(value, name) {
  const text = String(value);
  const say = h('button', { type: 'button', class: 'button small', 'aria-label': `Copy ${name}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce(`Copied ${name}.`);
    } catch {
      // Without permission the text can still be marked and copied by hand.
      getSelection().selectAllChildren(code);
      announce(`Selected ${name}: copy it with the keyboard.`);
    }
  } }, 'Copy');
  const code = h('code', null, text);
  return h('span', { class: 'copyable' }, code, say);
}

/**
 * A dialog that keeps the focus, is closed with Escape, and gives the focus back. Resolves with what `content(close)` closes
 * it with; null when it was dismissed.
 */
export function dialog(title, content) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    let result = null;
    const id = uniqueId('dialog');
    const close = (value = null) => {
      result = value;
      element.close();
    };
    const element = h('dialog', { 'aria-labelledby': id, onclose: () => {
      element.remove();
      if (before?.isConnected) before.focus();
      resolve(result);
    } }, h('h2', { id }, title));
    element.append(content(close));
    document.body.append(element);
    element.showModal();
    (element.querySelector('input, select, textarea') ?? element.querySelector('button'))?.focus();
  });
}

/** Asks before something that cannot be taken back. True when it was confirmed. */
export function confirmDialog({ title, body, confirm = 'Go on', cancel = 'Cancel', kind = 'danger' }) {
  return dialog(title, (close) => h('div', null,
    typeof body === 'string' ? h('p', null, body) : body,
    h('p', { class: 'actions' },
      h('button', { type: 'button', class: 'button', onclick: () => close(false) }, cancel),
      confirm && h('button', { type: 'button', class: `button ${kind}`, onclick: () => close(true) }, confirm))));
}

/** A list that is read page by page. `read(cursor)` resolves with `{rows, next}`; `draw(rows)` makes the table. */
export async function paged(read, draw, nothing) {
  const rows = [];
  const place = h('div', null);
  let next = null;
  const more = async () => {
    const page = await read(next);
    rows.push(...page.rows);
    next = page.next ?? null;
    fill(place, rows.length ? draw(rows) : nothing, next ? h('p', { class: 'actions' }, button('Show more', more)) : null);
  };
  await more();
  return place;
}

const SIZES = ['', 'K', 'M', 'G'];

/** A share of a bound, for the eye and in words. */
export function meter(name, used, most) {
  const share = most > 0 ? Math.min(used / most, 1) : 0;
  const short = (number) => {
    let index = 0;
    let value = number;
    while (value >= 10000 && index + 1 < SIZES.length) {
      value /= 1000;
      index += 1;
    }
    return `${Math.round(value)}${SIZES[index]}`;
  };
  return h('div', { class: 'meter' }, h('span', null, name),
    h('meter', { min: 0, max: 1, high: 0.9, value: share, 'aria-label': name }),
    h('span', { class: 'faint' }, `${short(used)} of ${short(most)}`));
}
