// The browser's own key: an Ed25519 pair whose private half no script can read, kept where only this origin's scripts can use it.
// Its public half is what a telephony configuration knows this browser by.

const DATABASE = 'strowger-talk';
const STORE = 'keys';
const NAME = 'browser';
const PURPOSE = 'strowger browser call 1';

/** This browser, as the gateway knows it. */
export class BrowserKey {
  #privateKey;

  constructor(privateKey, publicKey) {
    this.#privateKey = privateKey;
    /** Base64url of 32 bytes. */
    this.publicKey = publicKey;
  }

  /** The key that is kept, or a new one that is from now on. */
  static async open() {
    const database = await open();
    try {
      // Two tabs that open at once: the first one's key stays, whatever the second has made.
      const kept = (await request(database.transaction(STORE).objectStore(STORE).get(NAME))) ?? (await add(database, await make()));
      return new BrowserKey(kept.privateKey, kept.publicKey);
    } finally {
      database.close();
    }
  }

  /** Signs what is said about a call: the body to send, and the header's value. `now` is the gateway's time in milliseconds. */
  async sign(route, call, now, words = {}) {
    const nonce = base64url(crypto.getRandomValues(new Uint8Array(16)));
    const body = JSON.stringify({ time_ms: Math.round(now), nonce, ...words });
    const message = new TextEncoder().encode(`${PURPOSE}\n${route}/${call}\n${body}`);
    return { body, signature: base64url(new Uint8Array(await crypto.subtle.sign('Ed25519', this.#privateKey, message))) };
  }
}

async function make() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
  return { privateKey, publicKey: base64url(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))) };
}

function open() {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return request(opening);
}

async function add(database, made) {
  const store = database.transaction(STORE, 'readwrite').objectStore(STORE);
  const first = await request(store.get(NAME));
  if (first) return first;
  await request(store.put(made, NAME));
  return made;
}

function request(asked) {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
