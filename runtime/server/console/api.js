// The REST API. The session is a cookie that scripts cannot read; what changes something carries the session's token.

const BASE = '/api/v1';
const PAGE_ROWS = 200;
/** Lists are read to their end, up to so many pages. */
const PAGES_MAX = 50;

const RANKS = { read: 0, operate: 1, admin: 2 };

/** A refusal: a problem document (RFC 9457), or the words for one that never came. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || 'The gateway did not say what went wrong.');
    this.status = status;
    this.code = body.code ?? '';
    this.errors = body.errors ?? [];
    this.owner = body.owner ?? null;
    this.retryable = body.retryable ?? false;
    this.retryAfter = Number(body.retry_after) || null;
  }
}

/** The gateway of this page. `onSignedOut` is called when the session turns out to be over. */
export class Api {
  #csrf = null;
  #onSignedOut;
  session = null;

  constructor(onSignedOut) {
    this.#onSignedOut = onSignedOut;
  }

  /** Finds the session that the browser may still have; null when there is none. */
  async resume() {
    try {
      return this.#begin(await this.#ask('GET', '/session'));
    } catch (problem) {
      if (problem.status === 401) return null;
      throw problem;
    }
  }

  /** Opens a session with an API key, which is not kept. */
  async signIn(key) {
    return this.#begin(await this.#ask('POST', '/session', { api_key: key }));
  }

  async signOut() {
    await this.delete('/session');
    this.session = null;
    this.#csrf = null;
  }

  #begin(session) {
    this.session = session;
    this.#csrf = session.csrf_token;
    return session;
  }

  /** Whether whoever signed in may do what takes this role. */
  may(role) {
    return (RANKS[this.session?.role] ?? -1) >= RANKS[role];
  }

  get(path, options) {
    return this.#call('GET', path, undefined, options);
  }

  post(path, body = {}, options) {
    return this.#call('POST', path, body, options);
  }

  put(path, body, options) {
    return this.#call('PUT', path, body, options);
  }

  delete(path, options) {
    return this.#call('DELETE', path, undefined, options);
  }

  /** Everything of a list, page by page. */
  async list(path, name, { parameters = {}, ...options } = {}) {
    const items = [];
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await this.page(path, { ...parameters, cursor, limit: PAGE_ROWS }, options);
      items.push(...answer[name]);
      cursor = answer.next_cursor ?? null;
      if (!cursor) break;
    }
    return items;
  }

  /** One page of a list, with these parameters where they are not empty. */
  page(path, parameters, options) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== null && value !== undefined && value !== '') query.set(name, value);
    }
    return this.get(query.size ? `${path}?${query}` : path, options);
  }

  /** Sends a file as it is. */
  upload(path, file) {
    return this.#call('POST', path, file);
  }

  /** The address of something that the browser fetches by itself, with the session's cookie. */
  address(path) {
    return BASE + path;
  }

  async #call(method, path, body, options) {
    try {
      return await this.#ask(method, path, body, options);
    } catch (problem) {
      if (problem.status === 401 && this.session) {
        this.session = null;
        this.#csrf = null;
        this.#onSignedOut();
      }
      throw problem;
    }
  }

  async #ask(method, path, body, { signal, headers = {}, etag } = {}) {
    const sent = { accept: 'application/json', ...headers };
    if (method !== 'GET' && this.#csrf) sent['x-csrf-token'] = this.#csrf;
    if (etag) sent['if-match'] = etag;
    let payload;
    if (body instanceof Blob) {
      sent['content-type'] = 'application/wasm';
      payload = body;
    } else if (body !== undefined) {
      sent['content-type'] = 'application/json';
      payload = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(BASE + path, { method, headers: sent, body: payload, signal, credentials: 'same-origin', redirect: 'error' });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem(0, { detail: 'The gateway cannot be reached. Check the connection; nothing is known to have changed.', code: 'unreachable', retryable: true });
    }
    const text = await response.text();
    const answer = parse(text);
    if (!response.ok) {
      throw new Problem(response.status, { retry_after: response.headers.get('retry-after'), ...(answer ?? { detail: `The gateway answered ${response.status}.` }) });
    }
    const version = response.headers.get('etag');
    if (version && answer && typeof answer === 'object') Object.defineProperty(answer, 'etag', { value: version });
    return answer;
  }
}

function parse(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
