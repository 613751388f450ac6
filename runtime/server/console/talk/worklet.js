// Sound between the device and the wire, on the browser's audio thread: the wire is 16 kHz, one channel, in frames of 20 ms;
// the device is whatever it is. One module, because not every browser lets such a module import another.

const WIRE_HZ = 16000;
const FRAME = 320;
/** What is kept back before playing begins, so that a late message is not heard: 60 ms. */
const HELD = 3 * FRAME;
/** The gateway paces what it sends; more than this waits only when something is wrong. */
const QUEUE_MAX = 30 * WIRE_HZ;
/** Levels are told so often, in samples of the wire. */
const LEVEL_EVERY = 800;
/** Zero crossings of the filter on each side. */
const CROSSINGS = 16;

/** Changes the rate of a stream: a windowed sinc, as many phases as the rates have, the same output for every chunking. */
export class Resampler {
  #up;
  #down;
  #taps;
  #phases = [];
  #history;
  #position = 0;

  constructor(from, to) {
    const divisor = gcd(from, to);
    this.#up = to / divisor;
    this.#down = from / divisor;
    const cutoff = Math.min(1, to / from) * 0.94;
    const half = Math.ceil(CROSSINGS / cutoff);
    this.#taps = 2 * half;
    for (let phase = 0; phase < this.#up; phase += 1) {
      const row = new Float32Array(this.#taps);
      let sum = 0;
      for (let tap = 0; tap < this.#taps; tap += 1) {
        const x = tap - half + 1 - phase / this.#up;
        row[tap] = sinc(cutoff * x) * blackman(x / half);
        sum += row[tap];
      }
      this.#phases.push(row.map((value) => value / sum));
    }
    this.#history = new Float32Array(this.#taps - 1);
  }

  process(input) {
    if (this.#up === this.#down) return Float32Array.from(input);
    const line = new Float32Array(this.#history.length + input.length);
    line.set(this.#history);
    line.set(input, this.#history.length);
    const [up, down, taps, phases] = [this.#up, this.#down, this.#taps, this.#phases];
    const end = (line.length - taps + 1) * up;
    const output = new Float32Array(Math.max(0, Math.ceil((end - this.#position) / down)));
    // The position counts phases from the beginning of the line.
    let position = this.#position;
    for (let made = 0; made < output.length; made += 1, position += down) {
      const at = Math.floor(position / up);
      const row = phases[position % up];
      let sum = 0;
      for (let tap = 0; tap < taps; tap += 1) sum += line[at + tap] * row[tap];
      output[made] = sum;
    }
    this.#position = position - input.length * up;
    this.#history = line.slice(line.length - (taps - 1));
    return output;
  }
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** A window with side lobes at -58 dB, from -1 to 1. */
function blackman(x) {
  return Math.abs(x) < 1 ? 0.42 + 0.5 * Math.cos(Math.PI * x) + 0.08 * Math.cos(2 * Math.PI * x) : 0;
}

/** Tells how loud it is: the root of the mean square, 0 to 1, over so many samples. */
class Meter {
  #sum = 0;
  #count = 0;
  #tell;

  constructor(tell) {
    this.#tell = tell;
  }

  push(samples) {
    for (const sample of samples) {
      this.#sum += sample * sample;
      this.#count += 1;
      if (this.#count === LEVEL_EVERY) {
        this.#tell(Math.sqrt(this.#sum / LEVEL_EVERY));
        this.#sum = 0;
        this.#count = 0;
      }
    }
  }
}

const clamped = (sample) => Math.max(-1, Math.min(1, sample));

/** The microphone: `{frame: ArrayBuffer}` for every 20 ms, `{level}` now and then. Takes `{muted}`. */
class Capture extends AudioWorkletProcessor {
  #resampler = new Resampler(sampleRate, WIRE_HZ);
  #meter = new Meter((level) => this.port.postMessage({ level }));
  #frame = new Int16Array(FRAME);
  #filled = 0;
  #muted = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      this.#muted = data.muted;
    };
  }

  process([channels]) {
    // A microphone that is not there yet gives nothing; the far end hears silence, in time.
    const input = channels?.[0] ?? new Float32Array(128);
    const samples = this.#resampler.process(this.#muted ? new Float32Array(input.length) : input);
    this.#meter.push(samples);
    for (const sample of samples) {
      this.#frame[this.#filled] = Math.round(clamped(sample) * 32767);
      this.#filled += 1;
      if (this.#filled === FRAME) {
        const { buffer } = this.#frame;
        this.port.postMessage({ frame: buffer }, [buffer]);
        this.#frame = new Int16Array(FRAME);
        this.#filled = 0;
      }
    }
    return true;
  }
}

/**
 * The loudspeaker. Takes `{audio: ArrayBuffer}`, `{mark: name}` and `{clear: true}`, in the order of the wire. Tells
 * `{mark: name}` when everything before the mark was played, `{cleared: ms}` how much was dropped, and `{level}`.
 */
class Playout extends AudioWorkletProcessor {
  #resampler = new Resampler(WIRE_HZ, sampleRate);
  #meter = new Meter((level) => this.port.postMessage({ level }));
  /** Whole messages; the first one is played from `#offset`. */
  #queue = [];
  #offset = 0;
  #queued = 0;
  #pushed = 0;
  #played = 0;
  #marks = [];
  #playing = false;
  #waited = 0;
  /** At the device's rate, made and not played yet. */
  #ready = [];

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.audio) this.#push(new Int16Array(data.audio));
      else if (data.clear) this.#clear();
      else if (data.mark !== undefined) this.#marks.push({ name: data.mark, at: this.#pushed });
    };
  }

  #push(samples) {
    if (this.#queued + samples.length > QUEUE_MAX) return;
    this.#queue.push(samples);
    this.#queued += samples.length;
    this.#pushed += samples.length;
  }

  #clear() {
    this.port.postMessage({ cleared: Math.round((this.#queued * 1000) / WIRE_HZ) });
    this.#queue = [];
    this.#offset = 0;
    this.#queued = 0;
    this.#ready = [];
    this.#playing = false;
    this.#waited = 0;
    this.#played = this.#pushed;
    // The gateway counts marks that were cleared as its own; it does not want to hear of them.
    this.#marks = [];
  }

  /** Up to so many samples of the wire. */
  #take(count) {
    const taken = new Float32Array(Math.min(count, this.#queued));
    let at = 0;
    while (at < taken.length) {
      const piece = this.#queue[0];
      const part = Math.min(taken.length - at, piece.length - this.#offset);
      for (let index = 0; index < part; index += 1) taken[at + index] = piece[this.#offset + index] / 32768;
      at += part;
      this.#offset += part;
      if (this.#offset === piece.length) {
        this.#queue.shift();
        this.#offset = 0;
      }
    }
    this.#queued -= taken.length;
    this.#played += taken.length;
    return taken;
  }

  process(_inputs, [channels]) {
    const length = channels[0].length;
    const step = Math.ceil((length * WIRE_HZ) / sampleRate);
    if (!this.#playing && this.#queued > 0) {
      this.#waited += step;
      // An utterance may be shorter than what is held.
      this.#playing = this.#queued >= HELD || this.#waited >= HELD;
    }
    while (this.#ready.length < length) {
      const samples = this.#playing ? this.#take(step) : new Float32Array(0);
      if (this.#playing && samples.length === 0) {
        this.#playing = false;
        this.#waited = 0;
      }
      const padded = samples.length < step ? Float32Array.from({ length: step }, (_, at) => samples[at] ?? 0) : samples;
      this.#meter.push(padded);
      this.#ready.push(...this.#resampler.process(padded));
    }
    const block = this.#ready.splice(0, length);
    for (const channel of channels) channel.set(block);
    while (this.#marks.length > 0 && this.#marks[0].at <= this.#played) {
      this.port.postMessage({ mark: this.#marks.shift().name });
    }
    return true;
  }
}

registerProcessor('strowger-capture', Capture);
registerProcessor('strowger-playout', Playout);
