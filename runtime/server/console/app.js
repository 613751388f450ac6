// The console's frame: signing in, the navigation, and which page an address shows.
//
// An address is `#/path`, so that it can be kept and sent, and the gateway never sees it. Pages are modules that are loaded when
// they are first shown: `export async function page(context)` resolves with what is shown.

import { Api } from './api.js';
import { fill, h } from './dom.js';
import { announce, button, instead, linkButton, problemNote } from './parts.js';

/** `[path, module, role that sees it]`; `:name` is any one part of a path. */
const PAGES = [
  ['/', 'overview'],
  ['/calls', 'calls'],
  ['/calls/new', 'place_call', 'operate'],
  ['/calls/:call', 'call'],
  ['/talk', 'talk', 'operate'],
  ['/agents', 'agents'],
  ['/agents/new', 'agent', 'admin'],
  ['/agents/:agent', 'agent'],
  ['/configurations', 'configurations'],
  ['/configurations/new', 'gallery', 'admin'],
  ['/configurations/new/:provider', 'new_configuration', 'admin'],
  ['/configurations/:configuration', 'configuration'],
  ['/providers', 'providers'],
  ['/providers/:provider', 'provider'],
  ['/webhooks', 'webhooks', 'admin'],
  ['/webhooks/:endpoint', 'webhook', 'admin'],
  ['/limits', 'limits'],
  ['/keys', 'keys', 'admin'],
  ['/audit', 'audit', 'admin'],
];

const NAVIGATION = [
  ['/', 'Overview'],
  ['/calls', 'Calls'],
  ['/talk', 'Talk', 'operate'],
  ['/agents', 'Agents'],
  ['/configurations', 'Carriers'],
  ['/providers', 'Providers'],
  ['/webhooks', 'Webhooks', 'admin'],
  ['/limits', 'Limits and usage'],
  ['/keys', 'API keys', 'admin'],
  ['/audit', 'Audit log', 'admin'],
];

const app = document.getElementById('app');
const api = new Api(signedOut);
let frame = null;
/** Ends what the page before was doing. */
let leaving = new AbortController();

start();

async function start() {
  // What goes wrong without anybody waiting for it must not go unseen.
  addEventListener('unhandledrejection', (event) => {
    if (event.reason?.name !== 'AbortError') announce(`Something went wrong: ${event.reason?.message ?? event.reason}`);
  });
  addEventListener('hashchange', () => (api.session ? show() : null));
  try {
    if (await api.resume()) enter();
    else showSignIn();
  } catch (problem) {
    fill(app, h('main', { class: 'narrow' }, h('h1', null, 'Strowger'), problemNote(problem), button('Try again', () => location.reload(), { kind: 'primary' })));
  }
}

async function showSignIn(reason) {
  leaving.abort();
  frame = null;
  const { signIn } = await import('./pages/sign_in.js');
  document.title = 'Sign in – Strowger';
  fill(app, signIn(api, enter, reason));
  app.querySelector('input')?.focus();
}

/** The session is over. The address stays, so that signing in leads back. */
function signedOut() {
  document.querySelectorAll('dialog[open]').forEach((open) => open.close());
  showSignIn('Your session has ended. Sign in again to go on where you were.');
}

function enter() {
  const main = h('main', { id: 'main', tabindex: '-1' });
  const items = NAVIGATION.filter(([, , role]) => !role || api.may(role)).map(([path, text]) => [path, h('a', { href: `#${path}` }, text)]);
  const toggle = h('button', { type: 'button', class: 'button menu', 'aria-expanded': 'false', 'aria-controls': 'navigation', onclick: () => open(toggle.getAttribute('aria-expanded') !== 'true') }, 'Menu');
  const navigation = h('nav', { id: 'navigation', 'aria-label': 'Console' }, h('ul', null, items.map(([, item]) => h('li', null, item))));
  const open = (wide) => {
    toggle.setAttribute('aria-expanded', String(wide));
    navigation.classList.toggle('open', wide);
  };
  const { organization, role } = api.session;
  fill(app,
    h('a', { class: 'skip', href: '#main', onclick: (event) => {
      event.preventDefault();
      main.focus();
    } }, 'Skip to the page'),
    h('div', { class: 'frame' },
      h('header', { class: 'bar' },
        h('div', { class: 'brand' }, h('a', { href: '#/' }, 'Strowger')),
        toggle,
        navigation,
        h('div', { class: 'who' }, h('p', null, h('strong', null, organization?.name ?? 'Installation'), h('span', { class: 'faint' }, ROLES[role] ?? role)),
          h('p', null, h('a', { href: '/api/v1/docs' }, 'API reference')),
          button('Sign out', async () => {
            await api.signOut();
            showSignIn();
          }, { kind: 'small' }))),
      main),
    h('div', { id: 'announcements', role: 'status', 'aria-live': 'polite' }));
  frame = { main, items, open };
  show(true);
}

const ROLES = { read: 'may look', operate: 'may operate calls', admin: 'may change everything', operator: 'operator' };

function match(path) {
  const parts = path.split('/').filter(Boolean);
  for (const [pattern, module, role] of PAGES) {
    const wanted = pattern.split('/').filter(Boolean);
    if (wanted.length !== parts.length) continue;
    const names = {};
    const fits = wanted.every((part, index) => {
      if (!part.startsWith(':')) return part === parts[index];
      names[part.slice(1)] = parts[index];
      return true;
    });
    if (fits) return { module, role, names };
  }
  return null;
}

async function show(first = false) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { main, items, open } = frame;
  open(false);
  const [path, query] = (location.hash.slice(1) || '/').split('?');
  for (const [target, item] of items) {
    const here = target === '/' ? path === '/' : path === target || path.startsWith(`${target}/`);
    if (here) item.setAttribute('aria-current', path === target ? 'page' : 'true');
    else item.removeAttribute('aria-current');
  }
  main.setAttribute('aria-busy', 'true');
  // What is quick shows at once; only what is not says that it is loading, so nothing flickers.
  const slow = setTimeout(() => fill(main, h('p', { class: 'loading', role: 'status' }, 'Loading …')), 300);
  let shown;
  try {
    shown = await content(path, new URLSearchParams(query), signal);
  } catch (problem) {
    if (signal.aborted) return clearTimeout(slow);
    shown = broken(problem);
  }
  clearTimeout(slow);
  if (signal.aborted) return;
  fill(main, shown);
  main.removeAttribute('aria-busy');
  const title = main.querySelector('h1');
  document.title = title ? `${title.textContent} – Strowger` : 'Strowger';
  scrollTo(0, 0);
  // Whoever follows a link by keyboard or screen reader is told where they have come.
  if (!first) title?.focus();
}

async function content(path, query, signal) {
  const found = match(path);
  if (!found) return instead('There is no such page', 'The address may have been mistyped, or what it names is gone.', linkButton('#/', 'Go to the overview'));
  if (found.role && !api.may(found.role)) {
    return instead('Your API key does not reach this page', `It takes the role “${found.role}”; yours is “${api.session.role}”. Ask an administrator of your organisation for another key.`, linkButton('#/', 'Go to the overview'));
  }
  const { page } = await import(`./pages/${found.module}.js`).catch((error) => {
    throw Object.assign(new Error('This page of the console could not be loaded. The gateway may have been updated: load the console again.'), { cause: error, reload: true });
  });
  return page({ api, signal, names: found.names, query, refresh: () => show(), go: (to) => go(to) });
}

function go(to) {
  if (location.hash === `#${to}`) show();
  else location.hash = to;
}

function broken(problem) {
  if (problem.status === 404) return instead('It does not exist', 'It may have been removed, or belongs to another organisation.', linkButton('#/', 'Go to the overview'));
  if (problem.reload) return instead('The console has to be loaded again', problem.message, button('Load again', () => location.reload(), { kind: 'primary' }));
  console.error(problem);
  return [h('h1', { tabindex: '-1' }, 'This page cannot be shown'), problemNote(problem), h('p', { class: 'actions' }, button('Try again', () => show()))];
}
