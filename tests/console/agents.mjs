// Agents for tests: as little of the protocol `strowger` (docs/agent-protocol.md) and of RFC 6455 as that takes.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const RATE_HZ = 16_000;

/** A message has at most 256 KiB. */
const PART_BYTES = 128_000;
/** Of 16 bits: louder than this, somebody speaks. */
const LOUD = 2_000;
/** Somebody has finished who was quiet for so long. */
const PAUSE_S = 0.6;

/** An agent that speaks at length and stops when a key is pressed. */
export const interruptible = () => serve(({ say, speak }) => ({
  told(message) {
    if (message.type === 'start') speak(tone(20));
    if (message.type === 'dtmf') {
      say({ type: 'clear' });
      speak(tone(0.3));
      say({ type: 'mark', name: 'sorry' });
    }
  },
}));

/** An agent that greets, stops when somebody speaks, listens to the end, and answers. */
export const receptionist = () => serve(({ say, speak }) => {
  let speaking = false;
  let heard = false;
  let quietBytes = 0;
  const utter = (name, mark) => {
    speaking = true;
    speak(speech(name));
    say({ type: 'mark', name: mark });
  };
  return {
    told(message) {
      if (message.type === 'start') utter('agent', 'greeting');
      if (message.type === 'mark') speaking = false;
    },
    heard(samples) {
      if (peak(samples) > LOUD) {
        if (speaking) say({ type: 'clear' });
        speaking = false;
        heard = true;
        quietBytes = 0;
        return;
      }
      quietBytes += samples.length;
      if (!heard || quietBytes < 2 * RATE_HZ * PAUSE_S) return;
      heard = false;
      utter('agent-reply', 'answer');
    },
  };
});

/** Serves an agent; resolves with its address, and `stop`. `behave` makes what is told of a call, and of what is heard in it. */
async function serve(behave) {
  const server = createServer();
  const sockets = new Set();
  server.on('upgrade', (request, socket) => {
    sockets.add(socket);
    socket.on('error', () => sockets.delete(socket));
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: strowger.v1\r\n\r\n`);
    const agent = behave({
      say: (message) => socket.write(frame(1, Buffer.from(JSON.stringify(message)))),
      speak: (samples) => {
        for (let at = 0; at < samples.length; at += PART_BYTES) socket.write(frame(2, samples.subarray(at, at + PART_BYTES)));
      },
    });
    let waiting = Buffer.alloc(0);
    socket.on('data', (data) => {
      waiting = Buffer.concat([waiting, data]);
      for (let read = parse(waiting); read; read = parse(waiting)) {
        waiting = waiting.subarray(read.length);
        if (read.code === 9) socket.write(frame(10, read.payload));
        if (read.code === 8) socket.end(frame(8, read.payload));
        if (read.code === 1) agent.told(JSON.parse(read.payload));
        if (read.code === 2) agent.heard?.(read.payload);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** The samples of one of the recordings (tests/speech), which have 16 kHz. */
const speech = (name) => readFileSync(new URL(`../speech/${name}.wav`, import.meta.url)).subarray(44);

function peak(samples) {
  let highest = 0;
  for (let at = 0; at + 1 < samples.length; at += 2) highest = Math.max(highest, Math.abs(samples.readInt16LE(at)));
  return highest;
}

function tone(seconds) {
  const samples = Buffer.alloc(2 * Math.round(seconds * RATE_HZ));
  for (let at = 0; at < samples.length / 2; at += 1) {
    samples.writeInt16LE(Math.round(8_000 * Math.sin((2 * Math.PI * 440 * at) / RATE_HZ)), 2 * at);
  }
  return samples;
}

/** A whole message of a server. */
function frame(code, payload) {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10);
  head[0] = 0x80 | code;
  if (head.length === 2) head[1] = payload.length;
  else if (head.length === 4) {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

/** The first message of a client, if it is there whole. The gateway sends no long ones. */
function parse(data) {
  if (data.length < 2) return null;
  const short = data[1] & 0x7f;
  const head = short < 126 ? 2 : 4;
  if (data.length < head + 4) return null;
  const size = short < 126 ? short : data.readUInt16BE(2);
  const length = head + 4 + size;
  if (data.length < length) return null;
  const mask = data.subarray(head, head + 4);
  const payload = Buffer.from(data.subarray(head + 4, length).map((byte, at) => byte ^ mask[at % 4]));
  return { code: data[0] & 0x0f, payload, length };
}
