// One conversation: the call is asked for, picked up, and carried between microphone, socket and loudspeaker.

import { configurationOf } from './configuration.js';
import { BrowserKey } from './key.js';

const MODULE = new URL('./worklet.js', import.meta.url);
/** How often the record of a call that ended is looked at, and for how long: the gateway asks around before it closes it. */
const RECORD_EVERY_MS = 700;
const RECORD_TRIES = 40;

/** Why there is no conversation, in words for the person. */
export class Refusal extends Error {}

/** Tells `say(kind, detail)` what happens: `state`, `level`, `clear`, `mark`, `dtmf`, `ended`. */
export class Conversation {
  #api;
  #say;
  #key;
  #call = null;
  #clock = () => Date.now();
  #stream = null;
  #context = null;
  #capture = null;
  #playout = null;
  #socket = null;
  #over = false;

  constructor(api, say) {
    this.#api = api;
    this.#say = say;
  }

  /** Calls the agent. A refusal is an error with words; whatever was opened until then is closed again. */
  async start(agent) {
    try {
      await this.#begin(agent);
    } catch (error) {
      if (this.#call) await this.#tellEnd('failed', 'the page could not connect');
      this.#release();
      throw error;
    }
  }

  async #begin(agent) {
    supported();
    this.#say('state', 'Asking for the microphone …');
    this.#stream = await microphone();
    this.#context = new AudioContext({ latencyHint: 'interactive' });
    await this.#context.audioWorklet.addModule(MODULE);
    await this.#context.resume();

    this.#say('state', 'Calling …');
    this.#key = await browserKey();
    const configuration = await configurationOf(this.#api, this.#key.publicKey);
    const placed = await this.#api.post('/telephony/initiate-call', {
      agent_id: agent,
      telephony_configuration_id: configuration,
      phone_number: 'browser',
    });
    this.#call = placed.call_id;
    // The gateway's clock is the one that counts, whatever this machine's says.
    const [told, then] = [Date.parse(placed.call.created_at), performance.now()];
    this.#clock = () => told + performance.now() - then;
    if (this.#over) throw new Refusal('The call was ended before it began.');

    const answer = await this.#tell('answer');
    if (!answer.media_url) throw new Refusal(refused(answer.refused));
    await this.#connect(new URL(answer.media_url));
  }

  async #connect(media) {
    // The name under which the page was loaded works; the gateway's public one need not, from here.
    const url = new URL(media.pathname + media.search, location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = () => reject(new Refusal('The gateway did not open the connection for the sound. A proxy in between may not let WebSockets through.'));
    });
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ wasClean }) => this.#end(wasClean ? null : 'The connection was lost.');
    socket.send(JSON.stringify({ type: 'start', version: 1 }));

    this.#capture = new AudioWorkletNode(this.#context, 'strowger-capture', { numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit' });
    this.#capture.port.onmessage = ({ data }) => {
      if (data.frame) this.#send(data.frame);
      else this.#say('level', { side: 'caller', level: data.level });
    };
    this.#context.createMediaStreamSource(this.#stream).connect(this.#capture);
    this.#playout = new AudioWorkletNode(this.#context, 'strowger-playout', { numberOfInputs: 0, outputChannelCount: [1] });
    this.#playout.port.onmessage = ({ data }) => {
      if (data.mark !== undefined) {
        this.#send(JSON.stringify({ type: 'mark', name: data.mark }));
        this.#say('mark', data.mark);
      } else if (data.cleared !== undefined) this.#say('clear', data.cleared);
      else this.#say('level', { side: 'agent', level: data.level });
    };
    this.#playout.connect(this.#context.destination);
    for (const track of this.#stream.getTracks()) {
      track.onended = () => this.#say('state', 'The microphone was taken away; the agent hears silence.');
    }
    this.#say('state', 'Connected');
  }

  #heard(data) {
    if (typeof data !== 'string') {
      this.#playout?.port.postMessage({ audio: data }, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === 'clear') this.#playout?.port.postMessage({ clear: true });
    else if (message.type === 'mark') this.#playout?.port.postMessage({ mark: message.name });
    else if (message.type === 'dtmf') this.#say('dtmf', message.digit);
    else if (message.type === 'stop') this.#end(null);
  }

  #send(data) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  get call() {
    return this.#call;
  }

  mute(muted) {
    this.#capture?.port.postMessage({ muted });
  }

  press(digit) {
    this.#send(JSON.stringify({ type: 'dtmf', digit }));
  }

  hangUp() {
    this.#send(JSON.stringify({ type: 'stop' }));
    this.#end(null);
  }

  /** Once: lets everything go, and tells what became of the call. */
  async #end(problem) {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    if (!this.#call) return;
    this.#say('ended', { problem, record: null });
    await this.#tellEnd('completed');
    this.#say('ended', { problem, record: await this.#record() });
  }

  #release() {
    this.#over = true;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#capture?.disconnect();
    this.#playout?.disconnect();
    if (this.#context && this.#context.state !== 'closed') this.#context.close();
    if (this.#socket) {
      this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket.close(1000);
    }
  }

  /** Posts to the provider's own route, as the carrier that this page is. */
  async #tell(route, words) {
    const { body, signature } = await this.#key.sign(route, this.#call, this.#clock(), words);
    const response = await fetch(`/api/v1/telephony/browser/${route}/${this.#call}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-browser-signature': signature },
      body,
      keepalive: true,
      credentials: 'omit',
    });
    if (!response.ok) throw new Refusal(`The gateway did not let this browser pick up (${response.status}). Load the page again and retry.`);
    return response.status === 204 ? null : response.json();
  }

  async #tellEnd(status, cause) {
    try {
      await this.#tell('ended', { status, cause });
    } catch {
      // The gateway notices by itself that the socket is gone.
    }
  }

  async #record() {
    for (let tried = 0; tried < RECORD_TRIES; tried += 1) {
      try {
        const record = await this.#api.get(`/calls/${this.#call}`);
        if (record.state === 'completed') return record;
      } catch (problem) {
        if (!problem.retryable) return null;
      }
      await new Promise((resolve) => setTimeout(resolve, RECORD_EVERY_MS));
    }
    return null;
  }
}

function supported() {
  if (!window.isSecureContext) {
    throw new Refusal('Browsers give a microphone only to pages loaded over https, or from this machine. Open the console under its https address.');
  }
  if (!navigator.mediaDevices || !window.AudioWorkletNode || !crypto.subtle || !window.indexedDB) {
    throw new Refusal('This browser is too old to talk to agents.');
  }
}

async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
  } catch (error) {
    throw new Refusal(
      {
        NotAllowedError: 'The microphone was not allowed. Allow it for this page in the browser’s settings (usually beside the address), then call again.',
        NotFoundError: 'No microphone was found. Connect one, then call again.',
        NotReadableError: 'The microphone cannot be used; another program may have it.',
      }[error.name] ?? `The microphone cannot be used (${error.name}).`,
    );
  }
}

async function browserKey() {
  try {
    return await BrowserKey.open();
  } catch (error) {
    throw new Refusal(
      error.name === 'NotSupportedError'
        ? 'This browser is too old to talk to agents: it has no Ed25519 keys.'
        : 'The browser cannot keep a key for this page. Allow it to store data for this site, then call again.',
    );
  }
}

function refused(reason) {
  return {
    busy: 'All lines are taken. Try again when a call has ended.',
    rejected: 'The gateway refused the call.',
  }[reason] ?? 'The call had ended before it was picked up, or the gateway is stopping.';
}
